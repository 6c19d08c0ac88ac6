"""Cores and caches at 100 GHz: speed-ups from one run's counts at 4 GHz.

Counts are those of the study's own simulations at 4 GHz (gem5: ``plots/csv`` and
``plots/gem5-stat-files`` of its repository), in ``high_frequency_cores_runs.csv``, with the seconds
that it simulated at 100 GHz; the two-thread GAPBS runs sum both cores. Demand misses and prefetched
lines by requester are known of the out-of-order runs alone and stand for the runs in order too,
which fetch the same lines.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant, left_out
from perfmodel.calibrate.fit import Forward

from perfmodel_studies.core_profile import CacheClocks, CoreProfile, MainMemory, profile_seconds

__all__ = ["ALONE", "LATENCY", "LAW", "counts", "fitted", "predicted", "seconds", "speedup"]

Vector = npt.NDArray[np.float64]

#: A miss of instructions, which come one by one, takes 59.3 to 61.9 ns in the eight runs at 4 GHz.
LATENCY: Final = 61e-9
#: DDR3-1600, one channel of 64 bits.
BANDWIDTH: Final = 12.8e9
_BASE, _FAST = 4e9, 100e9
_FILE: Final = Path(__file__).parent / "high_frequency_cores_runs.csv"
_COUNTS: Final = (
    "fetches",
    "l2_accesses",
    "l3_accesses",
    "fetch_misses",
    "data_misses",
    "prefetched",
)

CORES: Final = ("o3", "in_order")
WORKLOADS: Final[tuple[str, ...]] = ("bt", "lu", "ft", "is", "cg", "minisat", "tc", "bfs")


@cache
def _runs() -> Mapping[tuple[str, str], Mapping[str, str]]:
    """Return core and workload -> columns of the file."""
    with _FILE.open(encoding="utf-8") as file:
        return {(row["core"], row["workload"]): row for row in csv.DictReader(file)}


def _column(core: str, name: str) -> Vector:
    return np.array([float(_runs()[core, workload][name]) for workload in WORKLOADS])


#: Fitted to the published seconds of the eight workloads; a test repeats the fits.
LAW: Final[Mapping[str, Mapping[str, float]]] = {
    "o3": {"parallelism": 1.764, "fetch": 0.666, "refill": 1.339, "share": 0.289},
    "in_order": {"parallelism": 1.0, "far": 20.5, "share": 0.536},
}
#: Constants of the caches' clock by core.
ALONE: Final = {"o3": ("fetch", "refill", "share"), "in_order": ("far", "share")}
#: Start, lowest and highest value of a fit.
_RANGE: Final = {
    "parallelism": (1.6, 1.0, 10.0),
    "fetch": (0.5, 1e-4, 60.0),
    "refill": (0.5, 1e-4, 60.0),
    "far": (2.0, 1e-4, 60.0),
    "share": (0.4, 1e-4, 1.0),
}


def counts(core: str) -> CoreProfile:
    """Return the runs at 4 GHz, arrays over `WORKLOADS`.

    Parameters
    ----------
    core : {"o3", "in_order"}
    """
    fields = {name: _column(core, name) for name in _COUNTS}
    return CoreProfile(_column(core, "base_s"), **fields, clock=_BASE)


def published(core: str, *, caches: bool) -> Vector:
    """Return the simulated seconds with the core at 100 GHz, and the caches too or not."""
    return _column(core, "both_s" if caches else "core_s")


def seconds(core: str, law: Mapping[str, float], *, caches: bool, clock: float = _FAST) -> Vector:
    """Return predicted seconds with the core at a higher clock, and the caches too or not."""
    memory = MainMemory(LATENCY, BANDWIDTH, law.get("parallelism", 1.0))
    clocks = CacheClocks(
        law.get("fetch", 0.0), law.get("refill", 0.0), law.get("far", 0.0), law.get("share", 0.0)
    )
    return profile_seconds(counts(core), memory, clocks, clock, clock if caches else _BASE)


def fitted(core: str, *, caches: bool) -> tuple[list[Constant], Forward]:
    """Return the constants of a fit and its law: constants -> seconds of all workloads."""
    names = ("parallelism",) if caches else ALONE[core]
    known = {} if caches else {"parallelism": LAW[core]["parallelism"]}

    def law(constants: Mapping[str, float]) -> Vector:
        return seconds(core, {**known, **constants}, caches=caches)

    return [Constant(name, *_RANGE[name]) for name in names], law


def speedup(core: str, times: Vector) -> dict[str, float]:
    """Return workload -> speed-up over 4 GHz, and their geometric mean."""
    values: Vector = counts(core).seconds / times
    out: dict[str, float] = dict(zip(WORKLOADS, (float(v) for v in values), strict=True))
    out["geomean"] = float(np.exp(np.mean(np.log(values))))
    return out


def predicted() -> dict[str, float]:
    """Return the predicted number of each claim."""
    out: dict[str, float] = {}
    for core in CORES:
        for caches, name in ((True, "super_cache"), (False, "cryo_cache")):
            head = f"{core}_{name}_"
            speedups = speedup(core, seconds(core, LAW[core], caches=caches))
            out |= {head + w: value for w, value in speedups.items()}
            if core == "in_order" and caches:
                continue  # nothing was fitted
            start, law = fitted(core, caches=caches)
            tried = left_out(law, published(core, caches=caches), start, WORKLOADS)
            speedups = speedup(core, tried.predicted)
            out |= {f"left_out_{head}{w}": value for w, value in speedups.items()}
    speedups = speedup("o3", seconds("o3", LAW["o3"], caches=True, clock=2e10))
    return out | {f"o3_super_cache_20ghz_{w}": value for w, value in speedups.items()}
