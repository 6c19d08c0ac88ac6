"""Coverage of prediction intervals on left-out devices, and its correction by a stretch factor.

The intervals of `residual_spread` pool residuals of devices, runtimes and classes, which are not
exchangeable, so their coverage may differ from the nominal level. The correction follows
conformalised quantile regression (Romano et al., NeurIPS 32, 2019): the score of a row is
``|residual - middle| / half-width`` of the interval computed without its device, and the stretch of
the 50 % (90 %) interval is the 50 % (90 %) quantile of the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evidence.residual_spread import BASES, FACTORS, LEVELS, Spread, residuals_of, spread
from perfmodel.evidence.residual_store import Evidence, Subject

#: Maximum weight of a device in rows: further rows carry no information on other devices.
MAX_WEIGHT: Final = 40
#: Shrinkage of the stretch towards 1, in devices: ``stretch ** (n / (n + 3))`` for n devices, of
#: which each counts once, under however many runtimes it was measured.
_SHRINKAGE_DEVICES: Final = 3.0
#: Limit on the stretch and its inverse: larger deviations are errors of another kind.
_MAX_STRETCH: Final = 3.0
#: Minimum half-width, in logarithms.
_MIN_HALF_WIDTH: Final = 1e-3

#: Runtime -> runtimes that it inherits from, nearest first.
Lineage = Callable[[str], Sequence[str]]
#: Runtime, device -> parts of a class of workloads to which its rows count.
Parts = Callable[[str, str], Sequence[str]]


class Coverage(NamedTuple):
    """Coverage of intervals on rows of devices that were left out of them.

    Attributes
    ----------
    quantity, workload_class, basis
        Quantity, class of workloads and basis of the predictions.
    part
        What the rows have in common: a runtime, a data set or a sort of device; empty for all.
    rows, devices
        Number of rows and devices.
    half, most
        Share of the rows inside the 50 % and the 90 % interval; devices are weighted by their
        number of rows, at most 40.
    ratio
        Median over the devices of the ratio high / low of the 90 % interval.
    """

    quantity: str
    workload_class: str
    basis: str
    part: str
    rows: int
    devices: int
    half: float
    most: float
    ratio: float

    @property
    def holds(self) -> bool:
        """Whether both shares are near the nominal ones: 42 to 58 % and 85 to 95 %."""
        return 0.42 <= self.half <= 0.58 and 0.85 <= self.most <= 0.95


class _DeviceCoverage(NamedTuple):
    """Coverage of one device's rows, and the ratio high / low of its 90 % interval."""

    device: ScoredDevice
    half: float
    most: float
    ratio: float


def coverage(
    evidence: Evidence,
    lineage: Lineage = lambda name: (),
    parts: Parts = lambda runtime, device: (runtime,),
    scored: Evidence | None = None,
) -> list[Coverage]:
    """Return the coverage of each class of workloads and basis, followed by that of its parts.

    Parameters
    ----------
    evidence
        Evidence; widths and stretches are recomputed without each device.
    lineage
        Runtime -> runtimes that it inherits from, nearest first.
    parts
        Runtime and device -> parts of a class to which its rows count.
    scored
        Rows that are compared with the intervals, such as those of a data set; all if None.
    """
    out: list[Coverage] = []
    pools = dict(scored_devices(evidence, lineage))
    judged = pools if scored is None else dict(scored_devices(evidence, lineage, scored))
    for key, devices in judged.items():
        groups: dict[str, list[_DeviceCoverage]] = {"": []}
        for device in devices:
            covered = _device_coverage(
                device, stretch_of(pools.get(key, ()), without=device.device)
            )
            for part in ("", *parts(device.runtime, device.device)):
                groups.setdefault(part, []).append(covered)
        out += [_pooled_coverage((*key, part), members) for part, members in groups.items()]
    return out


def _device_coverage(device: ScoredDevice, stretch: tuple[float, float]) -> _DeviceCoverage:
    residuals = np.exp(device.residuals)
    ends = [device.spread._replace(stretch=stretch).factors(level) for level in LEVELS]
    half, most = (float(np.mean((residuals >= low) & (residuals <= high))) for low, high in ends)
    return _DeviceCoverage(device, half, most, ends[1][1] / ends[1][0])


def _pooled_coverage(
    key: tuple[str, str, str, str], devices: Sequence[_DeviceCoverage]
) -> Coverage:
    weights = np.array([member.device.weight for member in devices], dtype=float)
    half, most = (
        float(np.average([getattr(member, share) for member in devices], weights=weights))
        for share in ("half", "most")
    )
    ratio = float(np.median([member.ratio for member in devices]))
    rows = sum(member.device.rows for member in devices)
    return Coverage(*key, rows, len(devices), half, most, ratio)


class ScoredDevice(NamedTuple):
    """Residuals of a device, with the unstretched spread computed without it.

    Attributes
    ----------
    scores
        ``|residual - middle| / half-width`` at each of `LEVELS`, with the half-width of the
        residual's side, ``(levels, residuals)``.
    """

    runtime: str
    device: str
    rows: int
    residuals: npt.NDArray[np.float64]
    spread: Spread
    scores: npt.NDArray[np.float64]

    @property
    def weight(self) -> int:
        """Weight of the device: its number of rows, at most `MAX_WEIGHT`."""
        return min(self.rows, MAX_WEIGHT)


def scored_devices(
    evidence: Evidence, lineage: Lineage, scored: Evidence | None = None
) -> Iterator[tuple[tuple[str, str, str], list[ScoredDevice]]]:
    """Yield (quantity, class of workloads, basis) with its devices that have such residuals.

    They are those of `scored` where there is any, beside spreads of `evidence` without the device.
    """
    for (quantity, name), runtimes in sorted((scored or evidence).classes.items()):
        for basis in BASES[:-1]:  # a bound has no interval
            each: list[ScoredDevice] = []
            for runtime, devices in runtimes.items():
                bases = tuple(lineage(runtime))
                for device, known in devices.items():
                    residuals = residuals_of(known, basis)
                    if residuals is None:
                        continue
                    subject = Subject(runtime, device, name, quantity)
                    width = spread(evidence, subject, basis, bases, without=device)
                    if width is not None:
                        width = width._replace(stretch=(1.0, 1.0))
                        scores = np.array([_scores(residuals, width, n) for n in LEVELS])
                        own = ScoredDevice(runtime, device, known.rows, residuals, width, scores)
                        each.append(own)
            if each:
                yield (quantity, name, basis), each


def _scores(
    residuals: npt.NDArray[np.float64], width: Spread, level: float
) -> npt.NDArray[np.float64]:
    low, middle, high = width.ends(level)
    off = residuals - middle
    half = np.where(off > 0, high - middle, middle - low)
    return np.abs(off) / np.maximum(half, _MIN_HALF_WIDTH)


def stretch_of(devices: Sequence[ScoredDevice], without: str = "") -> tuple[float, float]:
    """Return the factors on the widths at 50 and 90 %.

    The weighted quantile of the scores at each level, to the power ``n / (n + 3)`` for n devices,
    limited to [1/3, 3].

    Parameters
    ----------
    devices
        Devices of one quantity, class of workloads and basis.
    without
        Device to leave out.
    """
    others = [device for device in devices if device.device != without]
    if not others:
        return 1.0, 1.0
    weights = np.concatenate(
        [np.full(len(device.residuals), device.weight / len(device.residuals)) for device in others]
    )
    names = len({device.device for device in others})
    share = names / (names + _SHRINKAGE_DEVICES)
    scores = np.concatenate([device.scores for device in others], axis=1)
    half, most = [
        _quantile(values, weights, level) ** share
        for values, level in zip(scores, LEVELS, strict=True)
    ]
    return _clipped(half), _clipped(most)


def stretched(evidence: Evidence, lineage: Lineage) -> Evidence:
    """Return the evidence with the stretches of all classes computed."""
    known = Evidence(evidence.classes, {})
    # The widths of products follow from the stretched ones of their factors.
    for products in (False, True):
        stretches = {
            key: stretch_of(devices)
            for key, devices in scored_devices(known, lineage)
            if (key[0] in FACTORS) == products
        }
        known = Evidence(evidence.classes, {**known.stretches, **stretches})
    return known


def _clipped(stretch: float) -> float:
    return min(max(stretch, 1.0 / _MAX_STRETCH), _MAX_STRETCH)


def _quantile(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], level: float
) -> float:
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2.0
    value: float = np.interp(level * float(weights.sum()), middles, values[order]).item()
    return max(value, _MIN_HALF_WIDTH)
