"""Launchers: start the workers of a study on this machine or on a cluster."""
