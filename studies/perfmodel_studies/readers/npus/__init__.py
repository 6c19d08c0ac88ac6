"""Data sets of vendors' neural processors, and how the constants of their runtimes are refitted."""
