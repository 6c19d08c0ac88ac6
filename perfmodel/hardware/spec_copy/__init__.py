"""Copies of library specs under a new name, with some of their facts set."""
