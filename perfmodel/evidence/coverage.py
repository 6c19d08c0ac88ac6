"""Whether intervals hold: each device's residuals against widths that know nothing of it.

Widths are stretched until they hold on such devices.

The widths of `perfmodel.evidence.spread` pool residuals of devices, runtimes and classes, which are
not drawn alike: they may promise more than they hold, or less. Scaled residuals say by how much
(conformalised quantile regression; Romano et al., NeurIPS 32, 2019): how far each row of a device
lies from the middle of an interval that was made without the device, in half-widths of it. The
quantile at 50 % of these scores is the stretch of the 50 % interval, that at 90 % of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evidence.spread import LEVELS, Spread, spread
from perfmodel.evidence.store import Evidence, Subject


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


#: Basis -> how the rows were predicted that its intervals are held against.
HELD_AGAINST: Final[Mapping[str, str]] = {
    "measured": "as_is",
    "transferred": "left_out",
    "assumed": "generic",
}
#: Rows of a device that count at most: more of them say more of that device, not of others.
COUNTED: Final = 40
#: Devices without a stretch that a class's own count beside: few devices say little of the next.
_PLAIN: Final = 3.0
#: A width is multiplied or divided by this at most: what lies farther off is another kind of error.
_MOST_STRETCHED: Final = 3.0
#: Half-widths are at least so much of a logarithm.
_NARROW: Final = 1e-3

#: Runtime -> runtimes that it inherits from, nearest first.
Lineage = Callable[[str], Sequence[str]]


class ScoredDevice(NamedTuple):
    """Residuals of a device, beside the interval that was made without it and not stretched."""

    runtime: str
    device: str
    rows: int
    residuals: npt.NDArray[np.float64]
    spread: Spread

    @property
    def counted(self) -> int:
        """Rows that count."""
        return min(self.rows, COUNTED)

    def scores(self, level: float) -> npt.NDArray[np.float64]:
        """Return how far each residual lies from the middle, in half-widths on its side."""
        low, middle, high = self.spread.ends(level)
        off = self.residuals - middle
        half = np.where(off > 0, high - middle, middle - low)
        return np.abs(off) / np.maximum(half, _NARROW)


def scored_devices(
    evidence: Evidence, lineage: Lineage
) -> Iterator[tuple[tuple[str, str, str], list[ScoredDevice]]]:
    """Yield (quantity, class of workloads, basis) and its devices that have residuals of it."""
    for (quantity, name), runtimes in sorted(evidence.classes.items()):
        for basis, way in HELD_AGAINST.items():
            each: list[ScoredDevice] = []
            for runtime, devices in runtimes.items():
                bases = tuple(lineage(runtime))
                for device, known in devices.items():
                    if way not in known.residuals:
                        continue
                    subject = Subject(runtime, device, name, quantity)
                    width = spread(evidence, subject, basis, bases, without=device)
                    if width is not None:
                        width = width._replace(stretch=(1.0, 1.0))
                        each.append(
                            ScoredDevice(runtime, device, known.rows, known.residuals[way], width)
                        )
            if each:
                yield (quantity, name, basis), each


def stretch_of(devices: Sequence[ScoredDevice], without: str = "") -> tuple[float, float]:
    """Return by what the widths at 50 and 90 % are multiplied.

    Parameters
    ----------
    devices
        Of one quantity, class of workloads and basis.
    without
        A device whose rows are left out.
    """
    others = [one for one in devices if one.device != without]
    if not others:
        return 1.0, 1.0
    weights = np.concatenate(
        [np.full(len(one.residuals), one.counted / len(one.residuals)) for one in others]
    )
    share = len(others) / (len(others) + _PLAIN)
    scores = [np.concatenate([one.scores(level) for one in others]) for level in LEVELS]
    half, most = [
        _quantile(of, weights, level) ** share for of, level in zip(scores, LEVELS, strict=True)
    ]
    return _limited(half), _limited(most)


def stretched(evidence: Evidence, lineage: Lineage) -> Evidence:
    """Return the evidence with the stretches of all its classes."""
    stretches = {of: stretch_of(devices) for of, devices in scored_devices(evidence, lineage)}
    return Evidence(evidence.classes, stretches)


def _limited(stretch: float) -> float:
    return min(max(stretch, 1.0 / _MOST_STRETCHED), _MOST_STRETCHED)


def _quantile(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], level: float
) -> float:
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2.0
    value: float = np.interp(level * float(weights.sum()), middles, values[order]).item()
    return max(value, _NARROW)
