"""Augmentations: random changes of training batches; validation and test batches are never augmented."""
