"""Temporal samplings: which frames of a clip are shown."""
