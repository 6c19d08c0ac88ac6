"""From residuals to widths: where a measurement would lie beside a prediction.

Split-conformal prediction (Vovk et al., Algorithmic Learning in a Random World, 2005): the width
that held the residuals of rows which no constant was fitted on holds those of the next one. Rows of
a device are alike, so that it is devices which are drawn and not rows: each counts as one, however
many rows it has. What few devices leave open is filled with the residuals of the class of workloads
over all runtimes, and of a class with few runtimes with those of all classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evidence.store import DeviceEvidence, Evidence, Subject

Floats = npt.NDArray[np.float64]

#: What a prediction may rest on, from the best to the least.
BASES: Final = ("measured", "transferred", "assumed", "bound")
#: Share of the measurements from which on an interval holds the prediction as well.
MOST: Final = 0.9
#: Shares at which widths are held against devices that they know nothing of.
LEVELS: Final = (0.5, MOST)
#: Basis -> how the rows were predicted that its width is taken from, the first that a device has.
_WAYS: Final[Mapping[str, Sequence[str]]] = {
    "measured": ("as_is",),
    "transferred": ("left_out",),
    "assumed": ("generic",),
}
#: Devices that the pool of the class counts as beside those of a runtime, and runtimes that the
#: pool of all classes counts as beside those of a class.
_POOLED: Final = 1.0


class Spread(NamedTuple):
    """Residuals with weights.

    Attributes
    ----------
    residuals
        Logarithms of measured over predicted, ascending.
    cumulated
        Sum of the weights up to the middle of each, as a share of all.
    draws
        Devices, or for a class runtimes, that they are of, the pool counted in: how much wider the
        next one may lie; infinite where they say so themselves.
    stretch
        By what the widths at `LEVELS` are multiplied, so that they hold what they promise on
        devices that they know nothing of (`perfmodel.evidence.coverage`).
    """

    residuals: Floats
    cumulated: Floats
    draws: float
    stretch: tuple[float, float] = (1.0, 1.0)

    def ends(self, level: float) -> tuple[float, float, float]:
        """Return the logarithms of the factors at the low end, the middle and the high end."""
        places = [(1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0]
        low, middle, high = (float(v) for v in np.interp(places, self.cumulated, self.residuals))
        # What few draws tell of the next one: a prediction from n of them is so much wider.
        wider = np.sqrt(1.0 + 1.0 / self.draws) * float(np.interp(level, LEVELS, self.stretch))
        return middle + wider * (low - middle), middle, middle + wider * (high - middle)

    def factors(self, level: float) -> tuple[float, float]:
        """Return by what a prediction is multiplied at the ends of the central share `level`.

        The prediction itself lies between those of `MOST` and above, also where predictions are off
        to one side by more than they scatter; half of the measurements may lie to one side of it.
        """
        low, _, high = self.ends(level)
        least, largest = float(np.exp(low)), float(np.exp(high))
        return (least, largest) if level < MOST else (min(least, 1.0), max(largest, 1.0))


def spread(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str] = (), without: str = ""
) -> Spread | None:
    """Return where measurements lie beside predictions of a subject.

    Parameters
    ----------
    evidence
        What is known.
    subject
        What is predicted.
    basis
        ``measured``, ``transferred`` or ``assumed``.
    lineage
        Runtimes that the subject's inherits from, nearest first.
    without
        A device whose rows are left out, so that its own residuals may be held against the answer.

    Returns
    -------
    Spread or None
        None where nothing at all was measured of the quantity.
    """
    parts, draws = _weighted(evidence, subject, basis, lineage, without)
    if not parts:
        return None
    if basis == "transferred":
        # What constants of one device say of another, that one's say of the first the other way
        # round: both signs are as likely, and two devices would else know one of them. They are
        # wide enough for the next device.
        parts = [(np.concatenate([one, -one]), weight) for one, weight in parts]
        draws = np.inf
    residuals = np.concatenate([one for one, _ in parts])
    weights = np.concatenate([np.full(len(one), weight / len(one)) for one, weight in parts])
    order = np.argsort(residuals, kind="stable")
    of = (subject.quantity, subject.workload_class, basis)
    stretch = evidence.stretches.get(of, (1.0, 1.0))
    return Spread(residuals[order], _cumulated(weights[order]), draws, stretch)


class Scatter(NamedTuple):
    """How predictions of a subject are off: each device by a bias, its rows around that by noise.

    Attributes
    ----------
    bias
        Standard deviation of the logarithm of measured over predicted, from device to device.
    noise
        The same from row to row of one device.
    freedom
        Degrees of freedom of `noise`: the more, the less devices differ in it.
    """

    bias: float
    noise: float
    freedom: float


#: Where nothing at all was measured of a quantity: a factor of two, and rows within a quarter.
UNKNOWN: Final = Scatter(float(np.log(2.0)), 0.25, 2.0)
#: Rows of a device from which on it says how they scatter.
_SCATTERED: Final = 4
#: Standard deviation of normal numbers over the median of their distances from the centre.
_NORMAL: Final = 1.4826
#: Variances of devices differ by this at least: what twenty degrees of freedom say.
_ALIKE: Final = 0.1
#: No device scatters by less: residuals are kept as thousandths.
_LEAST: Final = 0.005


def scatter(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str] = (), without: str = ""
) -> Scatter:
    """Return how predictions of a subject are off, of the devices that `spread` takes.

    Both deviations are medians over the devices, with the same weights, so that a few devices which
    are far off decide nothing. The degrees of freedom follow from how much the variances of devices
    differ, as if each were a scaled inverse chi-squared number: the trigamma function of half of
    them is the variance of the logarithms (Smyth, Statistical Applications in Genetics and
    Molecular Biology 3(1), 2004), here by its first two terms.

    Parameters
    ----------
    evidence, subject, basis, lineage, without
        As `spread` takes them.

    Returns
    -------
    Scatter
        `UNKNOWN` where nothing was measured of the quantity.
    """
    parts, _ = _weighted(evidence, subject, basis, lineage, without)
    several = [(one, weight) for one, weight in parts if len(one) >= _SCATTERED]
    if not several:
        return UNKNOWN
    bias = _NORMAL * _median([(abs(float(np.median(one))), weight) for one, weight in parts])
    noises = [(max(float(np.std(one, ddof=1)), _LEAST), weight) for one, weight in several]
    weights = np.array([weight for _, weight in noises])
    logs = 2.0 * np.log([noise for noise, _ in noises])
    # A variance from n numbers scatters by itself: by 2 / (n - 1).
    own = np.array([2.0 / (len(one) - 1) for one, _ in several])
    centre = np.average(logs, weights=weights)
    apart = max(float(np.average((logs - centre) ** 2 - own, weights=weights)), _ALIKE)
    return Scatter(max(bias, _LEAST), _median(noises), (1.0 + (1.0 + 2.0 * apart) ** 0.5) / apart)


def _median(numbers: Sequence[tuple[float, float]]) -> float:
    """Return the median of numbers with weights."""
    ordered: Floats = np.array(sorted(numbers), dtype=float)
    values, weights = ordered[:, 0], ordered[:, 1]
    return float(np.interp(0.5, _cumulated(weights), values))


def _cumulated(weights: Floats) -> Floats:
    """Return the sum of the weights up to the middle of each, as a share of all."""
    return (np.cumsum(weights) - weights / 2.0) / weights.sum()


def _weighted(
    evidence: Evidence, subject: Subject, basis: str, lineage: Sequence[str], without: str
) -> tuple[list[tuple[Floats, float]], float]:
    """Return residuals of devices with their weights, and how many draws they are."""
    runtimes = evidence.runtimes(subject)
    own: list[Floats] = []
    for name in (subject.runtime, *lineage) if basis != "assumed" else ():
        own = own or list(_residuals(runtimes.get(name, {}), basis, without))
    each = [
        _by_runtime(others, basis, without)
        for (quantity, _), others in evidence.classes.items()
        if quantity == subject.quantity
    ]
    each = [classes for classes in each if classes]
    if not each:
        return [], 0.0
    pool = _by_runtime(runtimes, basis, without)
    share = len(pool) / (len(pool) + _POOLED)
    parts = [*_alike(pool, share), *(p for of in each for p in _alike(of, (1 - share) / len(each)))]
    if own:
        # The pool is one draw more beside the devices of the runtime.
        parts = [*((one, 1.0) for one in own), *((one, _POOLED * w) for one, w in parts)]
    return parts, len(own or pool) + _POOLED


def _residuals(devices: Mapping[str, DeviceEvidence], basis: str, without: str) -> Iterator[Floats]:
    """Yield the residuals of each device that has some of a basis."""
    for name, device in devices.items():
        if name == without:
            continue
        way = next((way for way in _WAYS[basis] if way in device.residuals), None)
        if way is not None:
            yield device.residuals[way]


def _by_runtime(
    runtimes: Mapping[str, Mapping[str, DeviceEvidence]], basis: str, without: str
) -> list[list[Floats]]:
    """Return the residuals of each device of each runtime that has some."""
    each = [list(_residuals(devices, basis, without)) for devices in runtimes.values()]
    return [devices for devices in each if devices]


def _alike(runtimes: Sequence[Sequence[Floats]], share: float) -> Iterator[tuple[Floats, float]]:
    """Yield the residuals of all devices with weights that sum up to `share`, runtimes alike."""
    for devices in runtimes:
        for one in devices:
            yield one, share / (len(devices) * len(runtimes))
