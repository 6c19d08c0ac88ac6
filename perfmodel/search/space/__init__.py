"""Spaces of configurations: their decisions, and the workload of each choice."""

from perfmodel.search.space.choices import configurations_of
from perfmodel.search.space.configurations import ConfigurationSpace
from perfmodel.search.space.decision import Decision
from perfmodel.search.space.product import product_space

__all__ = ["ConfigurationSpace", "Decision", "configurations_of", "product_space"]
