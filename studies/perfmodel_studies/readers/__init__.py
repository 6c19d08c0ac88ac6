"""Readers of files whose form no YAML can state, a file or a folder each."""
