"""Prediction intervals from residuals: distribution of measurements around a prediction.

Split-conformal prediction (Vovk et al., Algorithmic Learning in a Random World, 2005): quantiles of
the residuals of rows that no constant was fitted on are an interval for the next one. Rows of one
device are correlated, so devices are the exchangeable units, and each has the same total weight
regardless of its number of rows. Evidence from few devices is pooled with the residuals of the
class of workloads over all runtimes, and that of a class with few runtimes with all classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evidence.residual_store import DeviceEvidence, Evidence, Subject

Floats = npt.NDArray[np.float64]

#: Bases of a prediction, from strongest to weakest.
BASES: Final = ("measured", "transferred", "assumed", "bound")
#: Level from which on an interval is extended to include the prediction itself.
MOST: Final = 0.9
#: Levels at which the widths are corrected on left-out devices.
LEVELS: Final = (0.5, MOST)
#: Basis -> ways of prediction (`WAYS`) of the residuals used; the first that a device has.
_WAYS: Final[Mapping[str, Sequence[str]]] = {
    "measured": ("rows_left_out", "as_is"),
    "transferred": ("left_out",),
    "assumed": ("generic",),
}
#: Quantity -> accuracy of its meters, in logarithms: NVML's power is within 5 % (NVML reference).
_METERS: Final[Mapping[str, float]] = {"class_energy": 0.05, "class_power": 0.05}
#: Quantity -> independent factors of it, whose residuals are known of many more devices: an energy
#: is the product of its time and its power.
FACTORS: Final[Mapping[str, Sequence[str]]] = {
    "class_energy": ("time", "class_power"),
    "clock_energy": ("time", "clock_power"),
}
#: Ratio of the half-widths of the 50 % and the 90 % interval of a normal distribution.
_NORMAL_QUARTILE: Final = 0.41
#: Weight of the pool of a class, in devices of a runtime, and of the pool of all classes, in
#: runtimes of a class.
_POOL_WEIGHT: Final = 1.0


class Spread(NamedTuple):
    """Weighted empirical distribution of residuals.

    Attributes
    ----------
    residuals
        ``log(measured / predicted)``, ascending.
    cumulated
        Cumulative weights up to the middle of each residual, normalised to 1.
    draws
        Effective number of devices (for a class, of runtimes), including the pool; determines the
        extra width for the next one. Infinite if the residuals already include that.
    stretch
        Factors on the widths at `LEVELS` that correct the coverage on left-out devices
        (`perfmodel.evidence.interval_coverage`).
    floor
        Spread of a stronger basis, which is never wider.
    meter
        Accuracy of the meter that was read, in logarithms: readings spread evenly within it.
    independent
        Spreads of independent factors of the quantity, in place of residuals of its own: their
        middles add up, and so do the squares of their half-widths.
    """

    residuals: Floats
    cumulated: Floats
    draws: float
    stretch: tuple[float, float] = (1.0, 1.0)
    floor: Spread | None = None
    meter: float = 0.0
    independent: tuple[Spread, ...] = ()

    def ends(self, level: float) -> tuple[float, float, float]:
        """Return the log factors at the low end, the middle and the high end.

        Quantiles q of the residuals at ``(1 - level) / 2``, 0.5 and ``(1 + level) / 2``; the ends
        are ``q_mid + stretch(level) * max(sqrt(1 + 1 / draws) * (q - q_mid), floor)``, with the
        half-width of the stronger basis on that side for the floor. An interval holds that of the
        lowest of `LEVELS`, since each level has a stretch of its own.
        """
        low, middle, high = self._ends_at(level)
        if level > LEVELS[0]:
            inner_low, _, inner_high = self._ends_at(LEVELS[0])
            low, high = min(low, inner_low), max(high, inner_high)
        return low, middle, high

    def _ends_at(self, level: float) -> tuple[float, float, float]:
        """Return the log factors of `ends` by the stretch of one level."""
        stretch = float(np.interp(level, LEVELS, self.stretch))
        if self.independent:
            ends = [one.ends(level) for one in self.independent]
            below = stretch * math.hypot(*(middle - low for low, middle, _ in ends))
            above = stretch * math.hypot(*(high - middle for _, middle, high in ends))
            centre = sum(middle for _, middle, _ in ends)
            return centre - below, centre, centre + above
        places = [(1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0]
        low, middle, high = (float(v) for v in np.interp(places, self.cumulated, self.residuals))
        # Predictive variance of the next draw given n of them: (1 + 1/n) times that of one.
        wider = np.sqrt(1.0 + 1.0 / self.draws)
        below, above = wider * (middle - low), wider * (high - middle)
        if self.floor is not None:
            floor_low, floor_middle, floor_high = self.floor.ends(level)
            below = max(below, floor_middle - floor_low)
            above = max(above, floor_high - floor_middle)
        below, above = (max(stretch * width, level * self.meter) for width in (below, above))
        return middle - below, middle, middle + above

    def beside(self, factor: float) -> Spread:
        """Return the spread with a further independent error.

        Parameters
        ----------
        factor
            Factor up or down within which nine in ten of the errors lie; they are taken as
            log-normal up to there.
        """
        quantiles = np.log(factor) * np.array([-1.0, -_NORMAL_QUARTILE, 0.0, _NORMAL_QUARTILE, 1.0])
        other = Spread(quantiles, np.array([0.05, 0.25, 0.5, 0.75, 0.95]), np.inf)
        return _product((self, other))

    def factors(self, level: float) -> tuple[float, float]:
        """Return the factors on a prediction at the ends of its central interval.

        Intervals at `MOST` and above are extended to include the prediction itself (factor 1), even
        if predictions are biased by more than they scatter; narrower ones may exclude it.
        """
        low, _, high = self.ends(level)
        least, largest = float(np.exp(low)), float(np.exp(high))
        return (least, largest) if level < MOST else (min(least, 1.0), max(largest, 1.0))


def _product(independent: tuple[Spread, ...], stretch: tuple[float, float] = (1.0, 1.0)) -> Spread:
    """Return the spread of a product of independent factors."""
    none = np.zeros(0)
    return Spread(none, none, np.inf, stretch, independent=independent)


def spread(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str] = (), without: str = ""
) -> Spread | None:
    """Return the distribution of measurements around predictions of a subject.

    Parameters
    ----------
    evidence
        Residuals of all devices.
    subject
        Subject of the prediction.
    basis
        ``measured``, ``transferred`` or ``assumed``.
    lineage
        Runtimes that the subject's inherits from, nearest first.
    without
        Device to leave out, for evaluating the result on its residuals.

    Returns
    -------
    Spread or None
        None if there is no measurement of the quantity at all. Where a quantity has `FACTORS` and
        the device has no rows of its own, the product of theirs.
    """
    key = (subject.quantity, subject.workload_class, basis)
    stretch = evidence.stretches.get(key, (1.0, 1.0))
    if basis != "measured" and subject.quantity in FACTORS:
        factors = (subject._replace(quantity=name) for name in FACTORS[subject.quantity])
        # The power of a class that has no rows under unknown software is that of known software.
        each = [
            spread(evidence, factor, basis, lineage, without)
            or spread(evidence, factor, "transferred", lineage, without)
            for factor in factors
        ]
        known = tuple(one for one in each if one is not None)
        if len(known) == len(each):
            return _product(known, stretch)
    devices, draws = _weighted_devices(evidence, subject, basis, lineage, without)
    if not devices:
        return None
    floor = None
    if basis == "transferred":
        floor = spread(evidence, subject, "measured", lineage, without)
        # Such residuals already include the variation between devices, so no extra width is needed.
        draws = np.inf
    if basis == "transferred" or _is_of_another(evidence, subject, basis, without):
        # The residual of device B by constants of A is about minus that of A by constants of B, so
        # both signs are equally likely; with only two devices one sign would be missing. So it
        # would be where all residuals are of one device, whose bias says nothing of the next one's.
        devices = [
            device._replace(residuals=np.concatenate([device.residuals, -device.residuals]))
            for device in devices
        ]
    residuals = np.concatenate([device.residuals for device in devices])
    counts = [len(device.residuals) for device in devices]
    weights = np.repeat(
        [device.weight / n for device, n in zip(devices, counts, strict=True)], counts
    )
    order = np.argsort(residuals, kind="stable")
    meter = _METERS.get(subject.quantity, 0.0)
    return Spread(residuals[order], _cumulated(weights[order]), draws, stretch, floor, meter)


class Scatter(NamedTuple):
    """Error components of predictions of a subject: a bias per device, and noise of its rows.

    Attributes
    ----------
    bias
        Standard deviation of ``log(measured / predicted)`` between devices.
    noise
        Standard deviation of ``log(measured / predicted)`` between rows of one device.
    freedom
        Degrees of freedom of `noise`; larger if devices differ less in it.
    """

    bias: float
    noise: float
    freedom: float


#: Default without any measurement of a quantity: bias of a factor of 2, noise of 0.25.
UNKNOWN: Final = Scatter(float(np.log(2.0)), 0.25, 2.0)
#: Minimum number of rows of a device for an estimate of its noise.
_MIN_ROWS: Final = 4
#: Ratio of the standard deviation to the median absolute deviation of a normal distribution.
_NORMAL_MAD: Final = 1.4826
#: Minimum variance of log variances between devices, equivalent to about 20 degrees of freedom.
_MIN_LOG_VARIANCE: Final = 0.1
#: Minimum standard deviation: residuals are stored in steps of 0.001.
_MIN_DEVIATION: Final = 0.005


def scatter(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str] = (), without: str = ""
) -> Scatter:
    """Return bias and noise of predictions of a subject, from the devices used by `spread`.

    Both are weighted medians over devices, to be robust against outliers:
    ``bias = 1.4826 * median(|median residual|)`` and ``noise = median(std of residuals)``. The
    degrees of freedom f follow from the variance v of the log variances between devices (less
    their sampling variance ``2 / (n - 1)``), assuming scaled inverse chi-squared variances:
    ``trigamma(f / 2) = v`` (Smyth, Statistical Applications in Genetics and Molecular Biology 3(1),
    2004), here with its first two terms, ``f = (1 + sqrt(1 + 2 v)) / v``. One device of a runtime
    tells nothing of the bias of another, and has nearly none itself where constants were fitted to
    it: the bias is that of `UNKNOWN` then.

    Parameters
    ----------
    evidence, subject, basis, lineage, without
        As for `spread`.

    Returns
    -------
    Scatter
        `UNKNOWN` if there is no measurement of the quantity.
    """
    devices, draws = _weighted_devices(evidence, subject, basis, lineage, without)
    several = [device for device in devices if len(device.residuals) >= _MIN_ROWS]
    if not several:
        return UNKNOWN
    biases = [abs(float(np.median(device.residuals))) for device in devices]
    bias = _NORMAL_MAD * _median(biases, [device.weight for device in devices])
    if draws <= 1.0 + _POOL_WEIGHT:
        bias = UNKNOWN.bias
    noises = [max(float(np.std(device.residuals, ddof=1)), _MIN_DEVIATION) for device in several]
    weights = [device.weight for device in several]
    logs = 2.0 * np.log(noises)
    # Sampling variance of the logarithm of a variance estimated from n values: 2 / (n - 1).
    sampling_variance = np.array([2.0 / (len(device.residuals) - 1) for device in several])
    centre = np.average(logs, weights=weights)
    between = max(
        float(np.average((logs - centre) ** 2 - sampling_variance, weights=weights)),
        _MIN_LOG_VARIANCE,
    )
    freedom = (1.0 + (1.0 + 2.0 * between) ** 0.5) / between
    return Scatter(max(bias, _MIN_DEVIATION), _median(noises, weights), freedom)


def _median(numbers: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted median of numbers."""
    ordered: Floats = np.array(sorted(zip(numbers, weights, strict=True)), dtype=float)
    return float(np.interp(0.5, _cumulated(ordered[:, 1]), ordered[:, 0]))


def _cumulated(weights: Floats) -> Floats:
    """Return the cumulative weights up to the middle of each, normalised to 1."""
    return (np.cumsum(weights) - weights / 2.0) / weights.sum()


class _WeightedDevice(NamedTuple):
    """Residuals of one device, and the total weight of its rows."""

    residuals: Floats
    weight: float


def _weighted_devices(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str], without: str
) -> tuple[list[_WeightedDevice], float]:
    """Return the devices whose residuals apply to a subject, and the effective number of draws."""
    runtimes = evidence.runtimes(subject)
    of_runtime: list[Floats] = []
    for name in (subject.runtime, *lineage) if basis != "assumed" else ():
        of_runtime = of_runtime or list(_residuals(runtimes.get(name, {}), basis, without))
    classes = [
        _by_runtime(others, basis, without)
        for (quantity, _), others in evidence.classes.items()
        if quantity == subject.quantity
    ]
    classes = [runtimes_of_class for runtimes_of_class in classes if runtimes_of_class]
    if not classes:
        return [], 0.0
    pool = _by_runtime(runtimes, basis, without)
    share = len(pool) / (len(pool) + _POOL_WEIGHT)
    pooled = list(_equally_weighted(pool, share))
    for runtimes_of_class in classes:
        pooled += _equally_weighted(runtimes_of_class, (1 - share) / len(classes))
    if of_runtime:
        # The pool counts as one additional device of the runtime.
        pooled = [
            *(_WeightedDevice(residuals, 1.0) for residuals in of_runtime),
            *(device._replace(weight=_POOL_WEIGHT * device.weight) for device in pooled),
        ]
    return pooled, len(of_runtime or pool) + _POOL_WEIGHT


def _is_of_another(evidence: Evidence, subject: Subject, basis: str, without: str) -> bool:
    """Return whether one other device has all residuals of a quantity that apply to a basis."""
    names = {
        name
        for (quantity, _), runtimes in evidence.classes.items()
        if quantity == subject.quantity
        for devices in runtimes.values()
        for name, device in devices.items()
        if name != without and residuals_of(device, basis) is not None
    }
    return len(names) == 1 and subject.device not in names


def residuals_of(device: DeviceEvidence, basis: str) -> Floats | None:
    """Return the residuals of a device that are evidence for a basis, if it has any."""
    return next((device.residuals[way] for way in _WAYS[basis] if way in device.residuals), None)


def _residuals(devices: Mapping[str, DeviceEvidence], basis: str, without: str) -> Iterator[Floats]:
    """Yield the residuals of each device that has any for a basis."""
    for name, device in devices.items():
        residuals = None if name == without else residuals_of(device, basis)
        if residuals is not None:
            yield residuals


def _by_runtime(
    runtimes: Mapping[str, Mapping[str, DeviceEvidence]], basis: str, without: str
) -> list[list[Floats]]:
    """Return the residuals by runtime and device, without runtimes that have none."""
    by_runtime = [list(_residuals(devices, basis, without)) for devices in runtimes.values()]
    return [devices for devices in by_runtime if devices]


def _equally_weighted(
    runtimes: Sequence[Sequence[Floats]], share: float
) -> Iterator[_WeightedDevice]:
    """Yield the devices with equal weights of runtimes that sum to `share`."""
    for devices in runtimes:
        for residuals in devices:
            yield _WeightedDevice(residuals, share / (len(devices) * len(runtimes)))
