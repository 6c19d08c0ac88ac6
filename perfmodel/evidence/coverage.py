"""Whether intervals hold: each device's residuals held against widths that know nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perfmodel.evidence.spread import LEVELS
from perfmodel.evidence.store import Evidence
from perfmodel.evidence.stretch import Lineage, ScoredDevice, scored_devices, stretch_of


class Coverage(NamedTuple):
    """How many measurements lay in intervals that knew nothing of their devices.

    Attributes
    ----------
    quantity, workload_class, basis
        What the rows are of.
    runtime
        Of the rows; empty for all runtimes together.
    rows, devices
        How many there are.
    half, most
        Share of the rows inside the 50 % and the 90 % interval; a device counts for its rows, at
        most 40 of them.
    ratio
        Median over the devices of high over low of the 90 % interval.
    """

    quantity: str
    workload_class: str
    basis: str
    runtime: str
    rows: int
    devices: int
    half: float
    most: float
    ratio: float

    @property
    def holds(self) -> bool:
        """Whether both shares are near what the intervals promise."""
        return 0.42 <= self.half <= 0.58 and 0.85 <= self.most <= 0.95


class _DeviceCoverage(NamedTuple):
    """Shares inside of one device's rows, and high over low."""

    device: ScoredDevice
    half: float
    most: float
    ratio: float


def coverage(evidence: Evidence, lineage: Lineage = lambda name: ()) -> list[Coverage]:
    """Return the coverage of each class of workloads and basis, then of each runtime of them.

    Parameters
    ----------
    evidence
        What is known; the stretch of each width is worked out again without the device.
    lineage
        Runtime -> runtimes that it inherits from, nearest first.
    """
    out: list[Coverage] = []
    for of, devices in scored_devices(evidence, lineage):
        groups: dict[str, list[_DeviceCoverage]] = {"": []}
        for device in devices:
            one = _covered(device, stretch_of(devices, without=device.device))
            groups[""].append(one)
            groups.setdefault(device.runtime, []).append(one)
        out += [_joined((*of, runtime), some) for runtime, some in groups.items()]
    return out


def _covered(device: ScoredDevice, stretch: tuple[float, float]) -> _DeviceCoverage:
    residuals = np.exp(device.residuals)
    ends = [device.spread._replace(stretch=stretch).factors(level) for level in LEVELS]
    half, most = (float(np.mean((residuals >= low) & (residuals <= high))) for low, high in ends)
    return _DeviceCoverage(device, half, most, ends[1][1] / ends[1][0])


def _joined(of: tuple[str, str, str, str], devices: Sequence[_DeviceCoverage]) -> Coverage:
    weights = np.array([one.device.counted for one in devices], dtype=float)
    half, most = (
        float(np.average([getattr(one, share) for one in devices], weights=weights))
        for share in ("half", "most")
    )
    ratio = float(np.median([one.ratio for one in devices]))
    rows = sum(one.device.rows for one in devices)
    return Coverage(*of, rows, len(devices), half, most, ratio)
