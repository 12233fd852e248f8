"""Preprocessings: what part of a frame is shown, how large and in which colours."""
