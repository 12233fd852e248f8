"""Blocks of pages by subject: one function for each table, figure and piece of prose."""
