"""Training and predicting with one model."""
