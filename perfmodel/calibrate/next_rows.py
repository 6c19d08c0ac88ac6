"""Which measurements to make next: greedy A-optimal experimental design.

The posterior of a few-shot calibration gives the variance of every prediction. The next measurement
is the candidate that reduces the mean variance of the target predictions most (A-optimality:
Chaloner and Verdinelli, "Bayesian Experimental Design", Statistical Science 10(3), 1995), chosen
one after another. ``perfmodel calibrate --next`` prints the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError, input_error, one_of
from perfmodel.hardware.calibration_posterior import Posterior
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.prediction.basis import slopes_of
from perfmodel.resolve import resolve
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table, plain

Vector = npt.NDArray[np.float64]

_IMAGES: Final = (
    "mobilenet_v2",
    "mobilenet_v3_small",
    "squeezenet1_1",
    "shufflenet_v2",
    "efficientnet_b0",
    "googlenet",
    "resnet18",
    "resnet50",
    "densenet121",
    "resnext50_32x4d",
    "alexnet",
    "vgg16",
    "inception_v3",
    "convnext_tiny",
    "yolov8n",
    "unet",
    "vit_b_16",
    "swin_tiny",
)
_LANGUAGE: Final = (
    "qwen3_0_6b",
    "llama_3_2_1b",
    "llama_3_2_3b",
    "llama_3_8b",
    "gpt_oss_20b",
    "qwen3_14b",
)
#: Class of workloads -> models of the library with diverse operators, and settings.
VARIED: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]]] = {
    "frames": (_IMAGES, {}),
    "tokens/decode": (_LANGUAGE, {"phase": "decode"}),
    "tokens/prefill": (_LANGUAGE, {"phase": "prefill"}),
}
#: Level of the reported prediction interval.
_LEVEL: Final = 0.9


class Narrowing(NamedTuple):
    """A measurement and its effect on the predictions.

    Attributes
    ----------
    place
        Index of the candidate.
    before, after
        Mean over the targets of the predictive variance of the log measurement.
    """

    place: int
    before: float
    after: float


def narrowing(
    covariance: Vector, noise: float, candidates: Vector, targets: Vector, count: int
) -> list[Narrowing]:
    """Return the measurements that reduce the variance of targets most, one after another.

    A measurement with derivatives ``j`` reduces the covariance ``C`` of the linear parameters by
    ``C j j' C / (noise ** 2 + j' C j)``; the next one is that with the least resulting mean
    variance over the targets: greedy A-optimal design (Chaloner and Verdinelli, Bayesian
    Experimental Design: A Review, Statistical Science 10(3), 1995).

    Parameters
    ----------
    covariance
        Posterior covariance, shape ``(classes, classes)``.
    noise
        Standard deviation of a measurement.
    candidates, targets
        Derivatives, shape ``(candidates, classes)`` and ``(targets, classes)``.
    count
        Number of measurements, at most that of candidates; none is repeated.
    """
    open_ = list(range(len(candidates)))
    steps: list[Narrowing] = []
    for _ in range(min(count, len(candidates))):
        before = np.einsum("ti,ij,tj->", targets, covariance, targets) / len(targets) + noise**2
        seen = candidates[open_] @ covariance
        own = noise**2 + np.einsum("ci,ci->c", seen, candidates[open_])
        gains = ((seen @ targets.T) ** 2).mean(axis=1) / own
        best = int(np.argmax(gains))
        steps.append(Narrowing(open_.pop(best), before, before - gains[best]))
        covariance = covariance - np.outer(seen[best], seen[best]) / own[best]
    return steps


@dataclass(frozen=True, slots=True)
class NextMeasurement:
    """A measurement to make, and its effect.

    Attributes
    ----------
    model, settings
        The workload and its settings.
    command
        Command line of its prediction.
    row
        Cells of the row to add to the file of measurements, except the time.
    latency_s
        Predicted latency, for reference.
    before, after
        Geometric mean over targets of the ratio of the ends of 90 % intervals, before and after the
        measurement.
    """

    model: str
    settings: Mapping[str, Any]
    command: str
    row: Mapping[str, str]
    latency_s: float
    before: float
    after: float


@dataclass(frozen=True, repr=False)
class NextMeasurements(Result):
    """Measurements to make, in order.

    Attributes
    ----------
    device, runtime
        Device and runtime to measure.
    each
        The measurements, first one first.
    targets
        Workloads whose prediction intervals they narrow.
    """

    noun = "next_measurements"

    device: str
    runtime: str
    each: tuple[NextMeasurement, ...]
    targets: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements as JSON-ready values."""
        each = [asdict(one) for one in self.each]
        names = ("device", "runtime", "targets")
        return plain({**{name: getattr(self, name) for name in names}, "next": each})

    @cached_property
    def table(self) -> Table:
        """One row per measurement."""
        names = ("model", "command", "latency_s", "before", "after")
        return Table({name: [getattr(one, name) for one in self.each] for name in names})

    @property
    def headline(self) -> str:
        """Device, runtime and number of target workloads."""
        subject = f"what to measure next, for predictions of {len(self.targets)} workloads"
        return f"{self.device} under {self.runtime}: {subject}"

    def sections(self) -> list[str]:
        """Return the intervals before and after, the command and the row of each measurement."""
        lines: list[str] = []
        for i, one in enumerate(self.each, 1):
            ends = f"from x{one.before:.3g} to x{one.after:.3g}, highest over lowest"
            lines += [
                f"  {i}. {one.model}: 90 % intervals {ends}",
                f"     {one.command}",
                f"     row: {','.join(one.row)},latency_s = {','.join(one.row.values())},...",
            ]
        return ["\n".join(lines)]


class _PricedModel(NamedTuple):
    """A candidate workload with its prediction."""

    model: str
    settings: Mapping[str, Any]
    prediction: Prediction
    slopes: Vector

    @property
    def question(self) -> tuple[str, Mapping[str, Any]]:
        """Workload and sizes, in the form of measured rows."""
        return self.prediction.workload.name, self.prediction.parameters_bound


def next_rows(
    machine: Machine,
    posterior: Posterior,
    count: int,
    candidates: Sequence[str],
    targets: Sequence[str],
    precision: str | None,
    measured: Sequence[tuple[str, Mapping[str, Any]]],
) -> NextMeasurements:
    """Return the measurements that would narrow the predictions of a calibrated device most.

    Parameters
    ----------
    machine
        Machine with the calibrated facts.
    posterior
        Posterior of the calibration.
    count
        Number of measurements.
    candidates, targets
        Models that may be measured, and those whose predictions matter; if empty, a diverse list
        for the class of workloads.
    precision
        Precision of all of them.
    measured
        Measured models and their sizes, excluded from the default candidates.

    Raises
    ------
    InputError
        Unknown names, models that do not run on the device, no list for the class.
    """
    faults = FaultList()
    if count < 1:
        faults.append(Fault(f"{count} measurements", path="next", expected="one or more"))
    kind = next((name for name in posterior.workloads if name in VARIED), "")
    nothing: tuple[tuple[str, ...], Mapping[str, Any]] = ((), {})
    models, settings = VARIED.get(kind, nothing)
    if not (candidates or models):
        faults.append(
            Fault(
                f"there is no list of {', '.join(posterior.workloads)} to choose from",
                path="candidates",
                expected=f"names of models; there are lists of {one_of(list(VARIED))}",
            )
        )
    choices, wanted = (
        [
            one
            for name in names or models
            if (one := _priced(machine, name, settings, precision, path if names else "", faults))
        ]
        for path, names in (("candidates", candidates), ("targets", targets))
    )
    faults.settle()
    if not candidates:
        choices = [one for one in choices if one.question not in measured]
    if not choices or not wanted:
        raise input_error(
            "nothing is left to measure", path="candidates", expected="names of models"
        )
    first, second = (np.array([one.slopes for one in models]) for models in (choices, wanted))
    steps = narrowing(posterior.matrix, posterior.noise, first, second, count)
    each = tuple(_next(machine, choices[step.place], posterior, step) for step in steps)
    names = tuple(one.model for one in wanted)
    return NextMeasurements(machine.device.name, machine.runtime.name, each, names)


def _priced(
    machine: Machine,
    model: str,
    settings: Mapping[str, Any],
    precision: str | None,
    path: str,
    faults: FaultList,
) -> _PricedModel | None:
    """Return a workload with its derivatives; a fault only for names given by the user."""
    try:
        subject = resolve(model, machine, precision, settings=settings)
        plain = predict(subject.workload, machine, precision=subject.precision)
        if not plain.feasible:
            raise InputError(f"{model} does not fit on {machine.device.name}")
    except InputError as error:
        if path:
            faults.extend(replace(fault, path=path) for fault in error.faults)
        return None
    return _PricedModel(model, settings, plain, slopes_of(plain))


def _next(
    machine: Machine, one: _PricedModel, posterior: Posterior, step: Narrowing
) -> NextMeasurement:
    """Return a measurement as a command, a row to fill in, and the intervals before and after."""
    precision = str(one.prediction.precision).partition(" (")[0]
    device, runtime = machine.device.name, machine.runtime.name
    sets = [f"--set {name}={value}" for name, value in one.settings.items()]
    words = ["perfmodel predict", one.model, device, *sets, f"--precision {precision}"]
    row = {"model": one.model, "device": device, "runtime": runtime, "precision": precision}
    before, after = (
        float(posterior.times(_LEVEL, variance)) ** 2 for variance in (step.before, step.after)
    )
    return NextMeasurement(
        one.model,
        one.settings,
        " ".join([*words, f"--runtime {runtime}"]),
        {**row, **{name: str(value) for name, value in one.settings.items()}},
        float(one.prediction.latency_s),
        before,
        after,
    )
