"""Losses for imbalanced classes."""
