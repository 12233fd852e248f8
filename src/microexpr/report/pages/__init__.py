"""The kinds of pages: each a first screen and sections of blocks."""
