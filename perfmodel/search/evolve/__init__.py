"""Evolutionary and sampling-based search over a space of choices: `evolve` returns `Evolution`."""

from perfmodel.search.evolve.run import evolve

__all__ = ["evolve"]
