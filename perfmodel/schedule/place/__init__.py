"""Placement of weights and KV cache over several memory levels, with pinned or cached experts.

`place` chooses a memory for every tensor so that reading all of them takes the least time (or
energy); `popularity` models the visits to experts and the hit rates of caches.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.place.knapsack import assign_items
from perfmodel.schedule.place.levels import PlacementLevel
from perfmodel.schedule.place.place import place
from perfmodel.schedule.place.popularity import (
    Geometric,
    Popularity,
    cycle_hit_rates,
    visit_probabilities,
)
from perfmodel.schedule.place.result import PlacementResult

__all__ = [
    "Certified",
    "Geometric",
    "PlacementLevel",
    "PlacementResult",
    "Popularity",
    "assign_items",
    "cycle_hit_rates",
    "place",
    "visit_probabilities",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Assignment="Certified", Level="PlacementLevel")
