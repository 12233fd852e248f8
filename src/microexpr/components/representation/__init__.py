"""Representations: what a model sees of a view."""
