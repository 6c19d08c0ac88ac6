"""Readers of network files; each ends in a `Workload`."""
