"""Schedules that spill and reload the fewest bytes: exact search with proof, and beam search."""

from perfmodel.schedule.exact.fewest_spills import beam, search

__all__ = ["beam", "search"]
