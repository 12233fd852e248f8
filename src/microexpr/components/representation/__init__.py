"""Representations: the model input computed from a view."""
