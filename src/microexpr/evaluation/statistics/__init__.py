"""Intervals and tests over stored predictions."""
