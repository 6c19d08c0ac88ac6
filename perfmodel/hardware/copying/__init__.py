"""New specs derived from copies of library specs."""
