"""Temporal sampling: which frames of a clip are used."""
