"""Models: torch modules and scikit-learn classifiers."""
