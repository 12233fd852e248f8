"""Databases as experiments use them: cached frames, composites, the check of a folder, numbers of clips."""
