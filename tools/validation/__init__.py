"""``make validate``: tests, intervals and whole studies on simulated data with a known truth."""
