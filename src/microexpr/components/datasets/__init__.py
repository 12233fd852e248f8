"""Readers of databases, one file each."""
