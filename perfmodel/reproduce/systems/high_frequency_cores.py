"""Cores and caches at 100 GHz: speed-ups from one run's counts at 4 GHz.

Counts are those of the study's own simulations at 4 GHz (gem5: ``plots/csv`` and
``plots/gem5-stat-files`` of its repository); the two-thread GAPBS runs sum both cores. Demand
misses and prefetched lines by requester are known of the out-of-order runs alone and stand for the
runs in order too, which fetch the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate import Constant, left_out
from perfmodel.calibrate.fit import Forward
from perfmodel.kinds.core_profile import CacheClocks, CoreProfile, MainMemory, profile_seconds

__all__ = ["ALONE", "LATENCY", "LAW", "counts", "fitted", "predicted", "seconds", "speedup"]

Vector = npt.NDArray[np.float64]

#: A miss of instructions, which come one by one, takes 59.3 to 61.9 ns in the eight runs at 4 GHz.
LATENCY: Final = 61e-9
#: DDR3-1600, one channel of 64 bits.
BANDWIDTH: Final = 12.8e9
_BASE, _FAST = 4e9, 100e9


class _Run(NamedTuple):
    """Counts of a run at 4 GHz, then seconds: 4 GHz; core and caches at 100 GHz; core alone."""

    fetches: float
    l2: float
    l3: float
    base: float
    both: float
    core: float


#: L3 misses at 4 GHz by requester: instructions, data, prefetchers.
_MISSES: Final[Mapping[str, tuple[float, float, float]]] = {
    "bt": (1912, 1480, 5468), "lu": (1987, 2727, 4756), "ft": (1303, 27656, 134639),
    "is": (640, 5728, 2926), "cg": (1245, 4800, 15721), "minisat": (938, 18774, 32775),
    "tc": (1907, 3694, 5026), "bfs": (1672, 3306, 3552),
}  # fmt: skip
_OUT_OF_ORDER: Final[Mapping[str, _Run]] = {
    "bt": _Run(26546882, 1673609, 9318, 48.554e-3, 2.090e-3, 19.773e-3),
    "lu": _Run(9665676, 3811363, 10502, 19.371e-3, 0.964e-3, 8.448e-3),
    "ft": _Run(55058002, 26215623, 2915860, 70.051e-3, 4.633e-3, 42.820e-3),
    "is": _Run(3549061, 261320, 26841, 7.074e-3, 0.502e-3, 3.311e-3),
    "cg": _Run(8435756, 6893725, 6501925, 58.551e-3, 2.622e-3, 21.474e-3),
    "minisat": _Run(9539316, 352158, 208577, 11.341e-3, 1.450e-3, 6.215e-3),
    "tc": _Run(13330092, 211873, 11718, 7.975e-3, 0.547e-3, 4.455e-3),
    "bfs": _Run(2718009, 93180, 9088, 3.093e-3, 0.329e-3, 1.692e-3),
}
_IN_ORDER: Final[Mapping[str, _Run]] = {
    "bt": _Run(26490379, 1641317, 9019, 162.297e-3, 6.683e-3, 82.871e-3),
    "lu": _Run(9593197, 3752197, 10128, 58.265e-3, 2.605e-3, 36.702e-3),
    "ft": _Run(59112109, 24752339, 2913536, 220.601e-3, 11.184e-3, 138.068e-3),
    "is": _Run(4363072, 260333, 26585, 11.426e-3, 0.768e-3, 6.377e-3),
    "cg": _Run(47737827, 6828830, 6455550, 130.437e-3, 5.616e-3, 102.108e-3),
    "minisat": _Run(8031514, 340733, 202131, 18.912e-3, 1.969e-3, 13.252e-3),
    "tc": _Run(14330383, 111604, 9884, 17.344e-3, 1.044e-3, 7.606e-3),
    "bfs": _Run(2918137, 84550, 8862, 3.920e-3, 0.467e-3, 2.704e-3),
}
#: Out of order, core and caches at 20 GHz; no constant is fitted on these.
_TWENTY: Final[Mapping[str, float]] = {
    "bt": 9.831e-3, "lu": 4.027e-3, "ft": 15.471e-3, "is": 1.577e-3, "cg": 11.929e-3,
    "minisat": 3.109e-3, "tc": 1.769e-3, "bfs": 0.775e-3,
}  # fmt: skip
WORKLOADS: Final = tuple(_OUT_OF_ORDER)
_RUNS: Final = {"o3": _OUT_OF_ORDER, "in_order": _IN_ORDER}

#: Fitted to the published seconds of the eight workloads; a test repeats the fits.
LAW: Final[Mapping[str, Mapping[str, float]]] = {
    "o3": {"parallelism": 1.764, "fetch": 0.666, "refill": 1.339, "share": 0.289},
    "in_order": {"parallelism": 1.0, "far": 20.5, "share": 0.536},
}
#: Constants of the caches' clock by core.
ALONE: Final = {"o3": ("fetch", "refill", "share"), "in_order": ("far", "share")}
#: Start, lowest and highest value of a fit.
_RANGE: Final = {
    "parallelism": (1.6, 1.0, 10.0), "fetch": (0.5, 1e-4, 60.0), "refill": (0.5, 1e-4, 60.0),
    "far": (2.0, 1e-4, 60.0), "share": (0.4, 1e-4, 1.0),
}  # fmt: skip


def counts(core: str) -> CoreProfile:
    """Return the runs at 4 GHz, arrays over `WORKLOADS`.

    Parameters
    ----------
    core : {"o3", "in_order"}
    """
    runs = _RUNS[core]

    def column(values: list[float]) -> Vector:
        return np.array(values)

    first, second, third = (column([_MISSES[w][i] for w in WORKLOADS]) for i in range(3))
    return CoreProfile(
        column([runs[w].base for w in WORKLOADS]), column([runs[w].fetches for w in WORKLOADS]),
        column([runs[w].l2 for w in WORKLOADS]), column([runs[w].l3 for w in WORKLOADS]),
        first, second, third, _BASE,
    )  # fmt: skip


def published(core: str, *, caches: bool) -> Vector:
    """Return the simulated seconds with the core at 100 GHz, and the caches too or not."""
    return np.array([_RUNS[core][w].both if caches else _RUNS[core][w].core for w in WORKLOADS])


def at_twenty() -> Vector:
    """Return the simulated seconds out of order with core and caches at 20 GHz."""
    return np.array([_TWENTY[w] for w in WORKLOADS])


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

    def law(given: Mapping[str, float]) -> Vector:
        return seconds(core, {**known, **given}, caches=caches)

    return [Constant(name, *_RANGE[name]) for name in names], law


def speedup(core: str, found: Vector) -> dict[str, float]:
    """Return workload -> speed-up over 4 GHz, and their geometric mean."""
    values: Vector = counts(core).seconds / found
    out = dict(zip(WORKLOADS, (float(v) for v in values), strict=True))
    out["geomean"] = float(np.exp(np.mean(np.log(values))))
    return out


def predicted() -> dict[str, float]:
    """Return the predicted number of each claim."""
    out: dict[str, float] = {}
    for core in _RUNS:
        for caches, name in ((True, "super_cache"), (False, "cryo_cache")):
            head = f"{core}_{name}_"
            found = speedup(core, seconds(core, LAW[core], caches=caches))
            out |= {head + w: value for w, value in found.items()}
            if core == "in_order" and caches:
                continue  # nothing was fitted
            start, law = fitted(core, caches=caches)
            tried = left_out(law, published(core, caches=caches), start, WORKLOADS)
            found = speedup(core, tried.predicted)
            out |= {f"left_out_{head}{w}": value for w, value in found.items()}
    found = speedup("o3", seconds("o3", LAW["o3"], caches=True, clock=2e10))
    return out | {f"o3_super_cache_20ghz_{w}": value for w, value in found.items()}
