"""``make validate``: what tests, intervals and whole studies do where the truth is known."""
