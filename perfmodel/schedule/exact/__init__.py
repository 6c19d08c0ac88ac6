"""The fewest bytes spilled and reloaded: a search that proves, and beams."""

from perfmodel.schedule.exact.method import beam, search

__all__ = ["beam", "search"]
