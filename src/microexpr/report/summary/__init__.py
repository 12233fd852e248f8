"""The summary: what a report's pages are made from, and how it is computed from results."""
