"""Certified answers (value with lower bound), best-first search, and integer programming."""
