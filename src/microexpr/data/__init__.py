"""Databases as experiments use them: cached frames, composites, checks of folders, tables and statistics."""
