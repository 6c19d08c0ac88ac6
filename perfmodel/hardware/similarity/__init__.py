"""Similarity of devices by bandwidth, peak, age and tags, and well-known products."""
