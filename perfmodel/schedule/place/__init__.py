"""Where weights and KV cache live: memories of several levels, percentages of layers, caches.

`place` chooses a memory for every tensor so that reading them all takes the least time (or
energy); `popularity` holds what is known of caches and experts.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.place.levels import PlacementLevel
from perfmodel.schedule.place.place import place
from perfmodel.schedule.place.popularity import (
    Geometric,
    Popularity,
    cycle_hit_rates,
    visit_probabilities,
)
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.place.solve import assign_items

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
    __getattr__ = former_names(__name__, Assignment="Certified", Level="PlacementLevel")
