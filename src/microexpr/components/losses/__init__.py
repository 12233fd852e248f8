"""Losses against class imbalance."""
