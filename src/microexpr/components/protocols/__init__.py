"""Evaluation protocols: which clips are used for training and which for testing."""
