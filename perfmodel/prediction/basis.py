"""What a prediction rests on, and between which values a measurement would lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.caches import cached
from perfmodel.errors import Fault, InputError
from perfmodel.evidence import (
    BASES,
    QUANTITIES,
    RATES,
    RELATED,
    Scatter,
    Subject,
    class_of,
    classes_of,
    library_evidence,
    scatter,
    spread,
)
from perfmodel.hardware.posterior import Posterior
from perfmodel.units import DIMENSIONS, show
from perfmodel.workload.sizes import SHARES

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Shares of measurements that intervals of every headline hold.
LEVELS: Final = (0.5, 0.9)
#: Runtime that stands for software which nobody measured.
GENERIC: Final = "generic"
#: Step of the logarithm of a calibrated multiplier for slopes.
_STEP: Final = 1e-5
#: Names of sizes that need not be whole numbers.
_FRACTIONAL: Final = ("multiplier", "factor", "ratio", "fraction", "scale")


class Basis(NamedTuple):
    """What a prediction rests on.

    Attributes
    ----------
    name
        ``measured`` (rows of this device, under this runtime, in this class of workloads),
        ``transferred`` (the runtime's constants come from other devices), ``assumed`` (nobody
        measured such) or ``bound`` (nothing can be faster).
    reason
        The same in words.
    """

    name: str
    reason: str


class Interval(NamedTuple):
    """A metric between the ends that hold a share of measurements.

    Attributes
    ----------
    low, value, high
        Same unit as the metric; of a bound one end is open: 0 or infinity.
    level
        Share of measurements that lie between the ends.
    basis
        Name of what the width rests on (`Basis`), or what it is in words.
    """

    low: Value
    value: Value
    high: Value
    level: float
    basis: str

    def show(self, dimension: str) -> str:
        """Return the ends as text; those of a bound as ``at least`` or ``at most``."""
        low, high = (
            show(end, dimension) if dimension in DIMENSIONS else f"{end:.4g}/s"
            for end in (self.low, self.high)
        )
        if np.isposinf(self.high):
            return f"at least {low}"
        return f"{low} to {high}" if self.low else f"at most {high}"


def basis_of(
    prediction: Prediction, metric: str = "latency_s", classes: Mapping[str, str] | None = None
) -> Basis:
    """Return what a metric of a prediction rests on: of several classes the least.

    Parameters
    ----------
    classes
        Phase -> class of workloads that it is a part of, where that is not its own.
    """
    return least(basis for _, basis in _based(prediction, metric, classes).values())


def least(each: Iterable[Basis]) -> Basis:
    """Return the weakest of several bases."""
    return max(each, key=lambda basis: BASES.index(basis.name))


def interval(prediction: Prediction, metric: str = "latency_s", level: float = 0.9) -> Interval:
    """Return a metric with the ends between which a share of measurements would lie.

    Parameters
    ----------
    metric
        A time, a rate, ``energy_j`` or ``power_w``.
    level
        The share, below 1.

    Raises
    ------
    InputError
        Nobody measured such a metric, or the prediction has none.
    """
    if not 0.0 < level < 1.0:
        raise InputError(Fault(f"{level} is no share", path="level", expected="above 0, below 1"))
    if metric not in QUANTITIES:
        raise InputError(
            Fault(
                f"there is no interval of {metric}",
                path="metric",
                expected="one of " + ", ".join(QUANTITIES),
            )
        )
    value = getattr(prediction, metric)
    if value is None:
        raise InputError(Fault(f"{prediction.workload.name} gives no {metric}", path="metric"))
    based = _based(prediction, metric)
    low, high = _ends(prediction, metric, level, based)
    if metric in RATES:
        low, high = 1.0 / high, 1.0 / low
    basis = least(basis for _, basis in based.values())
    return Interval(value * low, value, value * high, level, basis.name)


def headline_metrics(prediction: Prediction) -> list[str]:
    """Return the metrics of a headline that have intervals."""
    energy = np.asarray(prediction.energy_j, dtype=float)
    names = ["latency_s", "tokens_per_s", "frames_per_s", "ttft_s", "tpot_s"]
    names += [] if np.isnan(energy).all() else ["energy_j"]
    return [name for name in names if getattr(prediction, name) is not None]


def factors(
    prediction: Prediction, metric: str, level: float, classes: Mapping[str, str] | None = None
) -> tuple[Value, Value]:
    """Return by what a time (an energy, a power) is multiplied at both ends.

    Ends of a request are those of its phases, at once: what slows the one slows the other.
    """
    return _ends(prediction, metric, level, _based(prediction, metric, classes))


def scatter_of(prediction: Prediction, metric: str = "latency_s") -> Scatter:
    """Return how predictions of the kind are off by the evidence: of several classes the worst."""
    lineage = prediction._job.machine.runtime.lineage  # pyright: ignore[reportPrivateUsage]
    return max(
        scatter(library_evidence(), subject, _width(basis), lineage)
        for subject, basis in _based(prediction, metric).values()
    )


def slower(prediction: Prediction) -> list[Prediction]:
    """Return a calibrated prediction with each class of seconds in turn a little slower."""
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    machine, posterior = job.machine, job.machine.posterior
    return [
        replace(job, machine=machine.vary({path: machine.get(path, 1.0) * np.exp(_STEP)})).run()
        for name in (posterior.covariance if posterior else ())
        for path in (f"runtime.scale.{name}",)
    ]


def slopes_of(prediction: Prediction, metric: str = "latency_s") -> Value:
    """Return slopes of a calibrated prediction: of the logarithm of a metric over multipliers'.

    Shape ``(..., classes)``, in the order of the posterior's classes of seconds.
    """
    value = getattr(prediction, metric)
    changes = [getattr(one, metric) / value for one in prediction.slower]
    return np.log(np.stack(changes, axis=-1)) / _STEP


def _calibrated(prediction: Prediction, subject: Subject) -> Posterior | None:
    """Return what a calibration of the device says of such predictions, if there is one."""
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    posterior = job.machine.posterior
    if posterior is None or not posterior.rows or job.machine.varied or not job.as_specified:
        return None
    of_its_kind = subject.quantity == "time" and subject.workload_class in posterior.workloads
    return posterior if of_its_kind else None


def _based(
    prediction: Prediction, metric: str, classes: Mapping[str, str] | None = None
) -> dict[str, tuple[Subject, Basis]]:
    """Return phase -> what a metric is predicted of, and what that rests on."""
    based: dict[str, tuple[Subject, Basis]] = {}
    for phase, subject in _subjects(prediction, metric, classes).items():
        related = _related(subject, prediction._job.machine.runtime.lineage)  # pyright: ignore[reportPrivateUsage]
        basis = _basis(prediction, related or subject)
        if related is not None and basis.name == "measured":
            basis = Basis("transferred", f"{basis.reason}, serving many requests")
        based[phase] = related or subject, basis
    return based


def _related(subject: Subject, lineage: tuple[str, ...]) -> Subject | None:
    """Return what stands for a subject of whose class its runtime has no measured row."""
    if subject.workload_class not in RELATED:
        return None
    evidence = library_evidence()
    related = subject._replace(workload_class=RELATED[subject.workload_class])
    names = (subject.runtime, *lineage)
    if any(evidence.devices(subject._replace(runtime=name)) for name in names):
        return None
    return next(
        (related for name in names if evidence.devices(related._replace(runtime=name))), None
    )


def _ends(
    prediction: Prediction, metric: str, level: float, based: Mapping[str, tuple[Subject, Basis]]
) -> tuple[Value, Value]:
    if QUANTITIES[metric] == "time" and _is_bound(prediction):
        return 1.0, np.inf
    posteriors = [
        _calibrated(prediction, subject) if basis.name == "measured" else None
        for subject, basis in based.values()
    ]
    if posteriors[0] is not None and None not in posteriors:
        factor = posteriors[0].factor(slopes_of(prediction, metric), level)
        return 1.0 / factor, factor
    lineage = prediction._job.machine.runtime.lineage  # pyright: ignore[reportPrivateUsage]
    each = {
        phase: _factors(subject, _width(basis), lineage, level)
        for phase, (subject, basis) in based.items()
    }
    if len(each) == 1:
        return next(iter(each.values()))
    parts = {phase: prediction.phase_s(phase) for phase in each}
    total = sum(parts.values())
    low, high = (sum(each[phase][end] * parts[phase] for phase in each) / total for end in (0, 1))
    return low, high


def _width(basis: Basis) -> str:
    """Return of which basis the residuals are that give a width: a bound's are none."""
    return "assumed" if basis.name == "bound" else basis.name


@cached(200)
def _factors(
    subject: Subject, basis: str, lineage: tuple[str, ...], level: float
) -> tuple[float, float]:
    """Return by what a prediction of a subject is multiplied at both ends."""
    residuals = spread(library_evidence(), subject, basis, lineage)
    return (0.0, np.inf) if residuals is None else residuals.factors(level)


def _subjects(
    prediction: Prediction, metric: str, classes: Mapping[str, str] | None
) -> Mapping[str, Subject]:
    """Return phase -> what a metric is predicted of; of a request two phases."""
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    if classes is None:
        blocks = job.lowered.graph.blocks
        operators = sum(len(block.operators) for block in blocks)
        classes = classes_of(job.workload.unit, {block.phase for block in blocks}, operators)
    if metric in ("ttft_s", "tpot_s"):
        classes = {"": class_of(classes, metric)}
    names = (job.machine.runtime.name, job.machine.device.name)
    quantity = QUANTITIES[metric]
    return {phase: Subject(*names, name, quantity) for phase, name in classes.items()}


def _is_bound(prediction: Prediction) -> bool:
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    return job.model.bare or "bound" in job.machine.runtime.tags


def _basis(prediction: Prediction, subject: Subject) -> Basis:
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    machine = job.machine
    runtime, device = subject.runtime, subject.device
    if _is_bound(prediction):
        what = "the bare roofline" if job.model.bare else f"the runtime {runtime}"
        return Basis("bound", f"{what} leaves out what software costs")
    flaw = next(misfits(prediction), None)
    if flaw is not None:
        return Basis("assumed", flaw)
    posterior = _calibrated(prediction, subject)
    if posterior is not None:
        rows = "1 row" if posterior.rows == 1 else f"{posterior.rows} rows"
        return Basis("measured", f"calibrated on {rows} of {device} under {runtime}")
    if runtime == GENERIC:
        return Basis("assumed", "nobody measured such software here: a plain runtime stands for it")
    evidence = library_evidence()
    own = evidence.of(subject)
    if own is not None and not machine.varied and job.as_specified:
        rows = "1 measured row" if own.rows == 1 else f"{own.rows} measured rows"
        return Basis("measured", f"{rows} of {device} under {runtime}")
    for name in (runtime, *machine.runtime.lineage):
        others = evidence.devices(subject._replace(runtime=name))
        if not others:
            continue
        if own is not None:
            return Basis("transferred", f"{device} was measured as its spec states it, this is not")
        few = "1 other device" if len(others) == 1 else f"{len(others)} other devices"
        return Basis("transferred", f"{few} measured under {name}")
    return Basis("assumed", f"nobody measured {subject.workload_class} under {runtime}")


def misfits(prediction: Prediction) -> Iterator[str]:
    """Yield why a prediction is of what does not run: its software, or its sizes."""
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    machine, workload = job.machine, job.workload
    runtime = machine.runtime
    if not runtime.suits(machine.device):
        yield f"the runtime {runtime.name} is not meant for {machine.device.name}"
    elif not runtime.takes(workload.unit, job.precision):
        runs = ", ".join(runtime.runs) or "anything"
        formats = ", ".join(runtime.formats) or "any format"
        yield f"the runtime {runtime.name} runs {runs} with weights in {formats}"
    if not job.relaxed:
        yield from _broken_sizes(workload.parameters)
    trained = workload.trained_context
    if trained and (most := workload.longest_context) > trained:
        yield (
            f"a context of {most:g} tokens, and the model is trained on contexts up to {trained}"
        )


def _broken_sizes(parameters: Mapping[str, Value]) -> Iterator[str]:
    """Yield sizes that are no whole numbers."""
    for name, value in parameters.items():
        if type(value) is int or name in SHARES or name.endswith(_FRACTIONAL):
            continue
        if is_array(value) and namespace(value) is not np:
            continue
        numbers = np.asarray(value, dtype=float).reshape(-1)
        broken = numbers[numbers != np.rint(numbers)]
        if broken.size:
            yield f"{name} is {broken[0]:g}: nothing runs a size that is no whole number"
