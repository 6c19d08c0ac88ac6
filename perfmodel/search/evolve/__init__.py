"""Evolution and its likes over a space of choices: `evolve` gives an `Evolution`."""

from perfmodel.search.evolve.question import Objective
from perfmodel.search.evolve.result import Evolution
from perfmodel.search.evolve.run import METHODS, Progress, evolve

__all__ = ["METHODS", "Evolution", "Objective", "Progress", "evolve"]
