"""Fewest bytes spilled and reloaded: an exact search with proof, and beam search."""

from perfmodel.schedule.exact.method import beam, search

__all__ = ["beam", "search"]
