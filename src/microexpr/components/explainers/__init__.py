"""Where a trained model looks: maps over a view."""
