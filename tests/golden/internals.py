"""The one file of the golden net that imports modules which are not public.

A module that moves changes an import here, and no figure.
"""

from __future__ import annotations

from typing import Any

from perfmodel_studies.contest import contest, read_instance

from perfmodel.catalog import loaded
from perfmodel.cost.mapping import KNOWN, best_mapping, loma_mapping, map_network, tpu_like
from perfmodel.cost.traffic.bounds import compulsory_bound, relaxed_bound, root_bound
from perfmodel.cost.traffic.closed_forms import (
    attention_traffic,
    convolution_traffic,
    depthwise_traffic,
    gemm_traffic,
)
from perfmodel.cost.traffic.fused_chains import chain
from perfmodel.cost.traffic.multilevel_search import multilevel_tiling
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.cost.traffic.two_level_tiling import levels_front, two_levels
from perfmodel.formats import format_named
from perfmodel.hardware.grade import grade
from perfmodel.hardware.library import names as spec_names
from perfmodel.hardware.library import runtime
from perfmodel.hardware.similarity.distance import as_records, nearest_devices, summary_of
from perfmodel.schedule.allocate import Lifetime
from perfmodel.schedule.assign import solve as solve_assignment
from perfmodel.schedule.latency import latency as least_latency
from perfmodel.schedule.levels import RetentionLevel, over_levels
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.portfolio import fewest_bytes
from perfmodel.schedule.recompute import recompute
from perfmodel.search.evolve import evolve
from perfmodel.search.exact.solve import solve as solve_choices

__all__ = [
    "KNOWN",
    "Conventions",
    "Lifetime",
    "RetentionLevel",
    "TileNest",
    "Widths",
    "as_records",
    "attention_traffic",
    "best_mapping",
    "chain",
    "compulsory_bound",
    "contest",
    "convolution_traffic",
    "depthwise_traffic",
    "evolve",
    "fewest_bytes",
    "format_named",
    "gemm_traffic",
    "grade",
    "least_latency",
    "levels_front",
    "loaded",
    "loma_mapping",
    "map_network",
    "minimum_peak",
    "multilevel_tiling",
    "nearest_devices",
    "over_levels",
    "read_instance",
    "recompute",
    "relaxed_bound",
    "root_bound",
    "runtimes",
    "solve_assignment",
    "solve_choices",
    "spec_names",
    "staircase",
    "summary_of",
    "tpu_like",
    "two_levels",
]


def runtimes() -> list[Any]:
    """Return every runtime of the library, by name."""
    return [runtime(name) for name in spec_names("runtimes")]
