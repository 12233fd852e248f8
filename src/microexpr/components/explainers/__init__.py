"""Explainers: attribution maps of trained models over a view."""
