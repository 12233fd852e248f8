"""Augmentations: how training batches are changed; validation and test batches never are."""
