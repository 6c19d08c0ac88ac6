"""Tiled traffic: the bytes that must cross a memory boundary under the best tile of a nest."""
