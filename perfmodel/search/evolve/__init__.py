"""Evolution and its likes over a space of choices: `evolve` gives an `Evolution`."""

from perfmodel.search.evolve.run import evolve

__all__ = ["evolve"]
