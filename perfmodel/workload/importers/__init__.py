"""Readers of network files, one folder for each format; each returns a `Workload`."""
