"""Side-by-side measurements: this package against what a good user would otherwise write, with equal results."""
