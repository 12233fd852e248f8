"""Preprocessing: crop, size and colour of the frames."""
