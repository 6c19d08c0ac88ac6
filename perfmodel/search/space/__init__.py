"""Spaces of configurations: their decisions, and the workload of each choice."""

from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.search.space.decision import Decision
from perfmodel.search.space.joint_space import product_space
from perfmodel.search.space.space_construction import configurations_of

__all__ = ["ConfigurationSpace", "Decision", "configurations_of", "product_space"]
