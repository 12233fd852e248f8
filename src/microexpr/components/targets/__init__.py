"""Targets: auxiliary labels that a network learns beside the class."""
