"""From stored predictions to scores, intervals and tests."""
