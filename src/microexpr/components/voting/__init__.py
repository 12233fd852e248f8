"""Votes: from the views of a clip to its class."""
