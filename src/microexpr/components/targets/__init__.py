"""Targets: auxiliary labels that a network learns in addition to the class."""
