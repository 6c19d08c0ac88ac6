"""Readers of network files, each of which returns a `Workload`."""
