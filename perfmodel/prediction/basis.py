"""Empirical basis of a prediction, and prediction intervals for measurements.

The library keeps the residuals ``ln(measured / predicted)`` of measured rows by runtime, device,
class of workloads and quantity (`perfmodel.evidence`). The basis of a prediction states which of
them apply: those of its own device (``measured``), of other devices under its runtime
(``transferred``) or of unmeasured software (``assumed``); a lower bound has none (``bound``). The
interval at a level is ``[value f_low, value f_high]``, with the factors f from quantiles of these
residuals (Vovk et al., Algorithmic Learning in a Random World, 2005), or from the posterior of the
device's calibration if there is one. An ``assumed`` time is at least the lower bound of any
software.
"""

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
    FACTORS,
    QUANTITIES,
    RATES,
    RELATED,
    Scatter,
    Spread,
    Subject,
    class_of,
    classes_of,
    library_evidence,
    quantity_of,
    scatter,
    spread,
)
from perfmodel.hardware.machine import Machine
from perfmodel.prediction.stages import execute, fuse, lower, resolve, source_graph
from perfmodel.units import DIMENSIONS, show
from perfmodel.workload.smallest_sizes import SHARES

if TYPE_CHECKING:
    from perfmodel.hardware.calibration_posterior import Posterior
    from perfmodel.prediction.prediction import Prediction

#: Coverage levels of the intervals of every headline metric.
LEVELS: Final = (0.5, 0.9)
#: Metrics of the chip, whose intervals are those of published blocks of other chips.
SILICON: Final = ["area_mm2", "leakage_w"]
#: Runtime name for software without any measurement.
GENERIC: Final = "generic"
#: Finite-difference step of the logarithm of a calibrated multiplier.
_STEP: Final = 1e-5
#: Names of size parameters that may be fractional.
_FRACTIONAL: Final = ("multiplier", "factor", "ratio", "fraction", "scale")


class Basis(NamedTuple):
    """Empirical basis of a prediction.

    Attributes
    ----------
    name
        ``measured`` (measurements of this device, under this runtime, in this class of workloads),
        ``transferred`` (the runtime's constants come from other devices), ``assumed`` (no
        measurement of the kind) or ``bound`` (lower bound of the latency).
    reason
        Explanation as a sentence.
    """

    name: str
    reason: str


class Interval(NamedTuple):
    """Prediction interval of a metric.

    Attributes
    ----------
    low, value, high
        Lower end, prediction and upper end in the unit of the metric; one end of a bound is open,
        0 or infinity.
    level
        Expected share of measurements within the interval.
    basis
        Name of the basis of the width (`Basis`), or a description of it.
    """

    low: Value
    value: Value
    high: Value
    level: float
    basis: str

    def show(self, dimension: str) -> str:
        """Return the interval as text; for a bound with ``at least`` or ``at most``."""
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
    """Return the basis of a metric of a prediction; the weakest one of several classes.

    Parameters
    ----------
    classes
        Phase -> class of workloads that the phase belongs to, if different from its own.
    """
    return weakest_basis(
        basis for _, basis in _bases_by_phase(prediction, metric, classes).values()
    )


def weakest_basis(each: Iterable[Basis]) -> Basis:
    """Return the weakest of several bases, in the order of `Basis`."""
    return max(each, key=lambda basis: BASES.index(basis.name))


def interval(prediction: Prediction, metric: str = "latency_s", level: float = 0.9) -> Interval:
    """Return the prediction interval of a metric.

    Parameters
    ----------
    metric
        A time, a rate, ``energy_j``, ``power_w``, ``process_bytes``, ``arena_bytes``, a cost, an
        emission or a time on a charge (`perfmodel.prediction.ownership_intervals`), ``area_mm2`` or
        ``leakage_w``; the ends of the last two are those of published blocks of other chips.
    level
        Expected share of measurements within the interval, below 1.

    Raises
    ------
    InputError
        There are no measurements of the metric, or the prediction does not have it.
    """
    if not 0.0 < level < 1.0:
        raise InputError(Fault(f"{level} is no share", path="level", expected="above 0, below 1"))
    known = np.asarray(getattr(prediction, metric), dtype=float) if metric in SILICON else np.nan
    if not np.isnan(known).all():
        low, high = prediction.silicon_ends(metric, level)
        return Interval(low, getattr(prediction, metric), high, level, "transferred")
    from perfmodel.prediction.ownership_intervals import INTERVALS, ownership_interval

    ownership = ownership_interval(prediction, metric, level)
    if ownership is not None:
        return ownership
    if metric not in (*QUANTITIES, *INTERVALS):
        raise InputError(
            Fault(
                f"there is no interval of {metric}",
                path="metric",
                expected="one of " + ", ".join((*QUANTITIES, *INTERVALS, *SILICON)),
            )
        )
    value = getattr(prediction, metric)
    if value is None:
        raise InputError(Fault(f"{prediction.workload.name} gives no {metric}", path="metric"))
    based = _bases_by_phase(prediction, metric)
    low, high = _interval_factors(prediction, metric, level, based)
    basis = weakest_basis(basis for _, basis in based.values())
    if QUANTITIES[metric] == "time" and basis.name == "assumed":
        low = namespace(value, low).maximum(low, _share_of_bound(prediction, metric))
    if metric in RATES:
        low, high = 1.0 / high, 1.0 / low
    return Interval(value * low, value, value * high, level, basis.name)


def _share_of_bound(prediction: Prediction, metric: str) -> Value:
    """Return the share of a time that the lower bound of any software takes, at most 1.

    Where nobody measured the software, residuals of other software may promise less than the
    hardware can do (the runtime ``ideal``).
    """
    job = prediction.job
    if job.plan is not None or job.machine.runtime.name == "ideal":
        return 0.0
    machine = Machine(job.machine.device, "ideal").vary(job.machine.varied)
    try:
        resolved = resolve(job.workload, machine, job.precision, engine=job.model.engine)
    except InputError:  # facts that only this runtime has are varied
        return 0.0
    lowered = lower(execute(resolved, source_graph(resolved)), fuse(resolved), resolved.precision)
    bound = type(job).of(resolved, lowered, warm=job.warm).run()
    value, least = getattr(prediction, metric), getattr(bound, metric)
    share = value / least if metric in RATES else least / value
    return namespace(share).minimum(share, 1.0)


def headline_metrics(prediction: Prediction) -> list[str]:
    """Return the headline metrics that have intervals, and are known at some point."""
    from perfmodel.prediction.ownership_intervals import INTERVALS

    names = ["latency_s", "tokens_per_s", "frames_per_s", "ttft_s", "tpot_s", "energy_j"]
    names += [] if isinstance(prediction.silicon, str) else SILICON
    values = {name: getattr(prediction, name) for name in (*names, *INTERVALS)}
    return [
        name
        for name, value in values.items()
        if value is not None and not np.isnan(np.asarray(value, dtype=float)).all()
    ]


def factors(
    prediction: Prediction, metric: str, level: float, classes: Mapping[str, str] | None = None
) -> tuple[Value, Value]:
    """Return the factors of both interval ends on a time, an energy or a power.

    The ends of a request combine those of its phases as fully correlated.
    """
    return _interval_factors(
        prediction, metric, level, _bases_by_phase(prediction, metric, classes)
    )


def scatter_of(prediction: Prediction, metric: str = "latency_s") -> Scatter:
    """Return the residual scatter of such predictions; the largest one of several classes."""
    lineage = prediction.job.machine.runtime.lineage
    return max(
        scatter(library_evidence(), subject, _width(basis), lineage)
        for subject, basis in _bases_by_phase(prediction, metric).values()
    )


def slower(prediction: Prediction) -> list[Prediction]:
    """Return one prediction per calibrated class of seconds, its multiplier slightly increased."""
    job = prediction.job
    machine, posterior = job.machine, job.machine.posterior
    return [
        replace(job, machine=machine.vary({path: machine.get(path, 1.0) * np.exp(_STEP)})).run()
        for name in (posterior.covariance if posterior else ())
        for path in (f"runtime.scale.{name}",)
    ]


def slopes_of(prediction: Prediction, metric: str = "latency_s") -> Value:
    """Return the derivatives of a log metric with respect to the log calibration multipliers.

    The shape is ``(..., classes)``, in the order of the posterior's classes of seconds.
    """
    value = getattr(prediction, metric)
    changes = [getattr(one, metric) / value for one in prediction.slower]
    return np.log(np.stack(changes, axis=-1)) / _STEP


def _applicable_posterior(prediction: Prediction, subject: Subject) -> Posterior | None:
    """Return the posterior of the device's calibration for such predictions, if there is one."""
    job = prediction.job
    posterior = job.machine.posterior
    stated = job.machine.runs_as_stated and job.as_specified
    if posterior is None or not posterior.rows or not stated:
        return None
    applies = subject.quantity == "time" and subject.workload_class in posterior.workloads
    return posterior if applies else None


def _bases_by_phase(
    prediction: Prediction, metric: str, classes: Mapping[str, str] | None = None
) -> dict[str, tuple[Subject, Basis]]:
    """Return a mapping from phase to the subject of the prediction and its basis."""
    based: dict[str, tuple[Subject, Basis]] = {}
    for phase, subject in _subjects(prediction, metric, classes).items():
        lineage = prediction.job.machine.runtime.lineage
        related = _substitute_subject(subject, lineage)
        if related is None and subject.quantity in FACTORS:
            # What stands for the time of a workload stands for its energy.
            time = _substitute_subject(subject._replace(quantity="time"), lineage)
            related = time and time._replace(quantity=subject.quantity)
        basis = _basis_of_subject(prediction, related or subject)
        if related is not None and basis.name == "measured":
            basis = Basis("transferred", f"{basis.reason}, serving many requests")
        based[phase] = related or subject, basis
    return based


def _substitute_subject(subject: Subject, lineage: tuple[str, ...]) -> Subject | None:
    """Return a substitute for a subject whose class has no measurement under its runtime."""
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


def _interval_factors(
    prediction: Prediction, metric: str, level: float, based: Mapping[str, tuple[Subject, Basis]]
) -> tuple[Value, Value]:
    if QUANTITIES[metric] == "time" and _is_bound(prediction):
        return 1.0, np.inf
    posteriors = [
        _applicable_posterior(prediction, subject) if basis.name == "measured" else None
        for subject, basis in based.values()
    ]
    if posteriors[0] is not None and None not in posteriors:
        factor = posteriors[0].factor(slopes_of(prediction, metric), level)
        return 1.0 / factor, factor
    lineage = prediction.job.machine.runtime.lineage
    each = {
        phase: _residual_factors(
            subject,
            _width_of(prediction, subject, basis),
            lineage,
            level,
            _unmeasured_factor(prediction, subject, basis),
        )
        for phase, (subject, basis) in based.items()
    }
    if len(each) == 1:
        return next(iter(each.values()))
    parts = {phase: prediction.phase_s(phase) for phase in each}
    total = sum(parts.values())
    low, high = (sum(each[phase][end] * parts[phase] for phase in each) / total for end in (0, 1))
    return low, high


def _width_of(prediction: Prediction, subject: Subject, basis: Basis) -> str:
    """Return the basis whose residuals determine the width of a prediction.

    An energy that nobody measured is as wide as its power left out where its time was measured: the
    software is known then.
    """
    if basis.name == "assumed" and subject.quantity in FACTORS:
        time = _basis_of_subject(prediction, subject._replace(quantity="time"))
        if time.name in ("measured", "transferred"):
            return "transferred"
    return _width(basis)


def _unmeasured_factor(prediction: Prediction, subject: Subject, basis: Basis) -> float:
    """Return the factor that holds 90 % of the powers of a class on a sort of device, or 1."""
    if subject.quantity != "class_energy" or basis.name == "measured":
        return 1.0
    from perfmodel.hardware.technology.power_classes import unmeasured_factor

    device = prediction.job.machine.device
    return unmeasured_factor(device, device.engine(prediction.job.model.engine))


def _width(basis: Basis) -> str:
    """Return the basis whose residuals determine the width; a bound uses those of ``assumed``."""
    return "assumed" if basis.name == "bound" else basis.name


@cached(200)
def _residual_factors(
    subject: Subject,
    basis: str,
    lineage: tuple[str, ...],
    level: float,
    unmeasured: float = 1.0,
) -> tuple[float, float]:
    """Return the factors of both interval ends for a subject."""
    residuals = _residual_spread(subject, basis, lineage)
    if residuals is None:
        return 0.0, np.inf
    return (residuals if unmeasured == 1.0 else residuals.beside(unmeasured)).factors(level)


@cached(64 << 10)
def _residual_spread(subject: Subject, basis: str, lineage: tuple[str, ...]) -> Spread | None:
    """Return the residuals for a subject, pooled once for all levels.

    Where a quantity has no rows of that basis (constants of a class, which no device was left out
    of), those of the weakest one stand for them.
    """
    known = spread(library_evidence(), subject, basis, lineage)
    return spread(library_evidence(), subject, "assumed", lineage) if known is None else known


def _subjects(
    prediction: Prediction, metric: str, classes: Mapping[str, str] | None
) -> Mapping[str, Subject]:
    """Return a mapping from phase to the subject of the prediction; two phases for a request."""
    job = prediction.job
    if classes is None:
        blocks = job.lowered.graph.blocks
        operators = sum(len(block.operators) for block in blocks)
        classes = classes_of(job.workload.unit, {block.phase for block in blocks}, operators)
    names = (job.machine.runtime.name, job.machine.device.name)
    quantity = quantity_of(metric, job.machine, job.model.engine)
    if all(known != quantity for known, _ in library_evidence().classes):
        quantity = QUANTITIES[metric]
    # Memory is that of the network, not a sum over its phases.
    if metric in ("ttft_s", "tpot_s") or quantity.endswith("memory"):
        classes = {"": class_of(classes, metric)}
    return {phase: Subject(*names, name, quantity) for phase, name in classes.items()}


def _is_bound(prediction: Prediction) -> bool:
    job = prediction.job
    return job.model.bare or "bound" in job.machine.runtime.tags


def _basis_of_subject(prediction: Prediction, subject: Subject) -> Basis:
    job = prediction.job
    machine = job.machine
    runtime, device = subject.runtime, subject.device
    if _is_bound(prediction):
        model = "the bare roofline" if job.model.bare else f"the runtime {runtime}"
        return Basis("bound", f"{model} leaves out what software costs")
    flaw = next(misfit_reasons(prediction), None)
    if flaw is not None:
        return Basis("assumed", flaw)
    posterior = _applicable_posterior(prediction, subject)
    if posterior is not None:
        rows = "1 row" if posterior.rows == 1 else f"{posterior.rows} rows"
        return Basis("measured", f"calibrated on {rows} of {device} under {runtime}")
    if runtime == GENERIC:
        return Basis("assumed", "nobody measured such software here: a plain runtime stands for it")
    evidence = library_evidence()
    own = evidence.of(subject)
    if own is not None and machine.runs_as_stated and job.as_specified:
        rows = "1 measured row" if own.rows == 1 else f"{own.rows} measured rows"
        return Basis("measured", f"{rows} of {device} under {runtime}")
    lineage = machine.runtime.lineage
    if own is None and "assumed" in machine.runtime.tags and lineage:
        return Basis("assumed", f"nobody measured {runtime} here: {lineage[0]} stands for it")
    for name in (runtime, *lineage):
        others = evidence.devices(subject._replace(runtime=name))
        if not others:
            continue
        if own is not None:
            return Basis("transferred", f"{device} was measured as its spec states it, this is not")
        few = "1 other device" if len(others) == 1 else f"{len(others)} other devices"
        return Basis("transferred", f"{few} measured under {name}")
    measured = "energies of " if subject.quantity.endswith(QUANTITIES["energy_j"]) else ""
    return Basis("assumed", f"nobody measured {measured}{subject.workload_class} under {runtime}")


def misfit_reasons(prediction: Prediction) -> Iterator[str]:
    """Yield reasons why a workload cannot run as predicted: unsuitable software or sizes."""
    job = prediction.job
    machine, workload = job.machine, job.workload
    runtime = machine.runtime
    if not runtime.suits(machine.device):
        yield f"the runtime {runtime.name} is not meant for {machine.device.name}"
    elif not runtime.takes(workload.unit, job.precision):
        runs = ", ".join(runtime.runs) or "anything"
        formats = ", ".join(runtime.formats) or "any format"
        yield f"the runtime {runtime.name} runs {runs} with weights in {formats}"
    if not job.relaxed:
        yield from _fractional_sizes(workload.parameters)
    trained = workload.trained_context
    if trained and (most := workload.longest_context) > trained:
        yield (
            f"a context of {most:g} tokens, and the model is trained on contexts up to {trained}"
        )


def _fractional_sizes(parameters: Mapping[str, Value]) -> Iterator[str]:
    """Yield the sizes that should be integers but are not."""
    for name, value in parameters.items():
        if type(value) is int or name in SHARES or name.endswith(_FRACTIONAL):
            continue
        if is_array(value) and namespace(value) is not np:
            continue
        numbers = np.asarray(value, dtype=float).reshape(-1)
        broken = numbers[numbers != np.rint(numbers)]
        if broken.size:
            yield f"{name} is {broken[0]:g}: nothing runs a size that is no whole number"
