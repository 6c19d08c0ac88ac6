"""Root finding for one number of a device or workload at which a condition starts to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.columns import TRUTH, dimension_of
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.evidence import QUANTITIES
from perfmodel.expressions import Expression, parse_expression
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import METRICS, Prediction
from perfmodel.prediction.apart import told_apart
from perfmodel.resolve import (
    DeviceLike,
    PredictionInputs,
    WorkloadLike,
    checked_bits,
    machine_of,
    resolve,
)
from perfmodel.settings import BITS, gathered, is_fact
from perfmodel.table import Result, plain
from perfmodel.units import DIMENSIONS, show
from perfmodel.workload.workload import SHARES

#: Ends of the search interval as multiples of the base value.
LOWEST: Final = 1e-3
HIGHEST: Final = 1e6

_STEPS: Final = 577
"""Points of the first look: 64 a decade, both ends included."""
_FINER: Final = 65
_PRECISION: Final = 1e-13
#: Base values for facts that are zero, by dimension.
_TYPICAL: Final = {"time": 1e-6, "bytes": 1e6, "power": 1.0, "clocks": 1e3}
_SCALED: Final = ("multiplier", "factor", "ratio", "fraction", "scale")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Solution(Result):
    """Result of `solve`.

    Attributes
    ----------
    variable : str
        Name of the free number.
    until : str
        Condition.
    value : float or None
        Threshold at which the condition holds, on the satisfying side; ``None`` if it never holds.
    direction : str
        ``at least`` or ``at most`` (the value), ``any`` or ``none``.
    base : float
        Original value of the variable.
    low, high : float
        Ends of the search interval.
    prediction : Prediction
        Prediction at the threshold, or at the value closest to satisfying the condition.
    fits : bool
        Whether fitting into memory is part of the condition.
    unknown : int
        Number of initial grid values at which the metrics are undefined; these count as not
        satisfying the condition.
    edge : str
        Reason why no prediction exists beyond the value, if applicable.
    """

    noun = "solution"
    attributes = (
        "variable",
        "until",
        "feasible",
        "value",
        "direction",
        "base",
        "reached",
        "binds",
        "memory_binds",
        "flips",
        "unknown",
        "edge",
        "prediction",
    )

    variable: str
    until: str
    value: float | None
    direction: str
    base: float
    low: float
    high: float
    prediction: Prediction
    nearest_value: float = 0.0
    fits: bool = True
    flips: int = 1
    dimension: str = ""
    memory_binds: bool = False
    unknown: int = 0
    edge: str = ""

    @property
    def feasible(self) -> bool:
        """Whether some value satisfies the condition."""
        return self.value is not None

    @cached_property
    def reached(self) -> dict[str, float]:
        """Metrics of the condition at the threshold, or at the closest value."""
        names = parse_expression(self.until).names
        columns = _columns(self.prediction, names)
        return {name: first_number(columns[name]) for name in names}

    @property
    def binds(self) -> str:
        """Bottleneck of the prediction at the threshold, or its first exceeded limit."""
        broken = (*self.prediction.violations, *self.prediction.breaches)
        return str(broken[0].message) if broken and self.fits else self.prediction.bottleneck

    def to_dict(self) -> dict[str, Any]:
        """Return the complete result as a JSON-compatible dictionary."""
        return super().to_dict() | {
            "unit": DIMENSIONS[self.dimension].unit if self.dimension else "",
            "searched": {"low": plain(self.low), "high": plain(self.high)},
            "nearest": plain(self.nearest_value),
        }

    @property
    def headline(self) -> str:
        """Title: the threshold and the condition."""
        return self._lines()[0]

    def cautions(self) -> list[str]:
        """Return the metrics at the threshold, their basis, and remarks on values beyond it."""
        return [line.strip() for line in self._lines()[1:]]

    def _shown(self, value: float) -> str:
        return show(value, self.dimension, digits=6) if self.dimension else f"{value:.9g}"

    def _spread(self) -> list[str]:
        """Prediction intervals of the metrics in the condition."""
        there = self.prediction
        lines = [f"  basis: {there.basis}, {there.basis_reason}"]
        for name in parse_expression(self.until).names:
            if name in QUANTITIES:
                half, most = (
                    there.interval(name, level).show(dimension_of(name)) for level in (0.5, 0.9)
                )
                lines.append(f"  {name}, measured: half in {half}, nine of ten in {most}")
        return lines

    def _lines(self) -> list[str]:
        span = f"from {self._shown(self.low)} to {self._shown(self.high)}"
        reached = ", ".join(_said(name, value) for name, value in self.reached.items())
        machine, workload = self.prediction.machine, self.prediction.workload
        where = f"{workload.name} on {machine.device.name}"
        unknown = f"  no number at {self.unknown} of the values searched, which do not count"
        if self.value is None:
            return [
                f"no {self.variable} {span} satisfies {self.until} for {where}",
                f"  nearest at {self._shown(self.nearest_value)}: {reached}",
                f"  what binds there: {self.binds}",
                *([unknown] if self.unknown else []),
            ]
        if self.direction == "any":
            head = f"every {self.variable} {span} satisfies {self.until} for {where}"
        else:
            head = (
                f"{self.variable} of {self.direction} {self._shown(self.value)} satisfies "
                f"{self.until} for {where} (now {self._shown(self.base)})"
            )
        lines = [head, f"  there: {reached}", *self._spread()]
        lines.append(f"  what binds there: {self.binds}")
        if self.memory_binds:
            lines.append("  beyond it the workload no longer fits")
        if self.unknown:
            lines.append(unknown)
        if self.edge:
            lines.append(f"  beyond it there is no number: {self.edge}")
        if self.flips > 1:
            lines.append(f"  the condition flips {self.flips} times: this is the value nearest now")
        return lines


def _said(name: str, value: float) -> str:
    dimension = dimension_of(name)
    if dimension in DIMENSIONS:
        return f"{name} = {show(value, dimension)}"
    return f"{name} = {value:.6g}"


@former_parameters(fits="not ignore_memory")
def solve(
    workload: WorkloadLike,
    device: DeviceLike,
    variable: str,
    until: str,
    *,
    ignore_memory: bool = False,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
) -> Solution:
    """Find the value of one number at which a condition starts, or ceases, to hold.

    Parameters
    ----------
    workload, device, set, precision, runtime, engine, model, relaxed, warm
        As for `predict`.
    variable
        A fact of the device (``memories.main.bandwidth``), a parameter of the workload (``batch``)
        or ``weight_bits``, ``activation_bits``, ``kv_bits``.
    until
        A condition on metrics: "tokens_per_s >= 20", "tpot_s <= 50 ms and energy_j < 2 J".
    ignore_memory
        The workload need not fit into the memories; by default that is part of the condition.

    Returns
    -------
    Solution
        Searched from `LOWEST` to `HIGHEST` times the base value: the grid first, then the bracket
        that lies nearest to the base, within what the spec's field allows. What is counted (a
        parameter of the workload, channels, rows of an array) is a whole number.

    Raises
    ------
    InputError
        Every fault.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.solve("llama_3_8b", "a100", "batch", "tpot_s <= 20 ms", set={"context": 4096}).value
    33.0
    """
    faults = gathered()
    settings = dict(set or {})
    if variable in settings:
        message = f"'{variable}' is both set and solved for"
        faults.append(Fault(message, path=variable, expected="one of the two"))
    condition = faults.trying(parse_expression, until, "until")
    if condition is not None:
        known = [*METRICS, "feasible"]
        faults += condition.condition_faults(known, {"feasible": TRUTH})
    subject = faults.trying(resolve, workload, device, precision, runtime, settings, engine, model)
    problem = None
    if subject is not None:
        options = {"relaxed": relaxed, "warm": warm}
        problem = faults.trying(_problem, subject, variable, options)
    if problem is not None and condition is not None and not faults:
        faults += _absent(problem, condition)
    faults.settle()
    assert problem is not None
    assert condition is not None
    return _search(problem, condition, not ignore_memory)


@dataclass(frozen=True)
class _ThresholdProblem:
    """Prediction with one free number and everything else fixed."""

    variable: str
    base: float
    low: float
    high: float
    integral: bool
    dimension: str
    at: Callable[[Any], Prediction]

    def grid(self) -> Floats:
        values = np.geomspace(self.low, self.high, _STEPS)
        values[0], values[-1] = self.low, self.high  # rounding must not exceed the allowed range
        if self.integral:
            values = np.rint(values)
        # The base is one of the grid values, so that it is never between two of them.
        return np.unique(np.append(values, self.base))


def _problem(
    subject: PredictionInputs, variable: str, options: Mapping[str, Any]
) -> _ThresholdProblem:
    def run(workload: Any, device: Any, precision: Any) -> Prediction:
        varied = subject._replace(workload=workload, device=device, precision=precision)
        return predict(**varied._asdict(), **options)

    workload, device, precision = subject.workload, subject.device, subject.precision
    if variable in BITS:
        role = BITS[variable]
        base = run(workload, device, precision).job.precision
        bits = float(getattr(base, role).element_bits)

        def with_bits(x: Any) -> Prediction:
            return run(workload, device, base.with_bits(**checked_bits({role: x})))

        return _ThresholdProblem(variable, bits, 1e-3, 64.0, False, "", with_bits)
    if is_fact(variable):
        run(workload, device, precision)  # raises faults of the other inputs
        spec = machine_of(device, subject.runtime, {}, workload, precision)
        current = spec.get(variable)
        if current is None and not spec.dimension(variable):
            spec.vary({variable: 1.0})  # raises for an unknown path, suggesting the nearest
        dimension = spec.dimension(variable)
        base = float(current) if current else _TYPICAL.get(dimension, 0.0)
        if not base:
            message = f"{spec.device.name} does not say this number: there is nothing to scale"
            raise input_error(message, path=variable, expected="--set with a value to start")
        span = spec.span(variable)
        low, high = max(base * LOWEST, span.low), min(base * HIGHEST, span.high)
        low = max(1.0, np.ceil(low)) if span.integral else low

        def at_fact(x: Any) -> Prediction:
            return run(workload, spec.vary({variable: x}), precision)

        return _ThresholdProblem(variable, base, low, high, span.integral, dimension, at_fact)
    if variable not in workload.parameters:
        workload.bind({variable: 1})  # raises for an unknown name, suggesting the nearest
    base = float(workload.parameters[variable])
    share = variable in SHARES
    integral = base.is_integer() and not variable.endswith(_SCALED) and not share
    # A share of 0 cannot be scaled.
    base = base or LOWEST if share else base
    low, high = base * LOWEST, min(base * HIGHEST, 1.0 if share else 1e12)
    low = max(1.0, np.ceil(low)) if integral else low
    # An empty network has no metrics.
    low = min(max(low, workload.least(variable)), base)

    def at_size(x: Any) -> Prediction:
        return run(workload.bind({variable: x}), device, precision)

    return _ThresholdProblem(variable, base, low, high, integral, "", at_size)


def _absent(problem: _ThresholdProblem, condition: Expression) -> list[Fault]:
    """Return the faults of metrics that this workload or device does not have."""
    prediction = problem.at(problem.base)
    columns = _columns(prediction, condition.names)
    rates = [m for m in ("tokens_per_s", "frames_per_s") if getattr(prediction, m) is not None]
    faults: list[Fault] = []
    for name in condition.names:
        if columns[name] is None or bool(np.isnan(np.asarray(columns[name], dtype=float)).all()):
            meant = rates[0] if name in ("tokens_per_s", "frames_per_s") else ""
            faults.append(
                Fault(
                    f"there is no {name} for this workload on this device",
                    file="--until",
                    suggestion=meant,
                    expected="" if meant else "a metric that `perfmodel predict` shows",
                )
            )
    return faults


def _columns(prediction: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    """Return metrics by name; those by memory are of main memory."""
    columns: dict[str, Any] = {}
    for name in names:
        value = getattr(prediction, name)
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(prediction.machine.main_memory, np.nan)
        columns[name] = value
    return columns


class _Margins:
    """Signed margins of the condition at values of the variable, and whether they fit."""

    def __init__(self, problem: _ThresholdProblem, condition: Expression, fits: bool) -> None:
        self._problem, self._condition, self._fits = problem, condition, fits
        #: Values without a prediction -> reason.
        self.reasons: dict[float, str] = {}

    def __call__(self, values: Floats) -> tuple[Floats, Floats]:
        """Return margins (-inf if undefined) and capacity margins (negative if it does not fit)."""
        try:
            columns = self._at_once(values)
        except InputError as error:
            columns = {
                "margin": np.full(values.shape, -np.inf),
                "limit": np.full(values.shape, -1.0),
            }
            steps = [np.arange(len(values))]
            for fate in told_apart(steps, lambda points: self._at_once(values[points]), error):
                if fate.columns is None:
                    self.reasons.update((float(v), fate.reason) for v in values[fate.points])
                for name, part in (fate.columns or {}).items():
                    columns[name][fate.points] = part
        return columns["margin"], columns["limit"]

    def _at_once(self, values: Floats) -> dict[str, Floats]:
        prediction = self._problem.at(values)
        margin = self._condition.margin(_columns(prediction, self._condition.names))
        fitting = np.broadcast_to(np.asarray(prediction.feasible), values.shape)
        fitting = fitting if self._fits else np.ones(values.shape, dtype=bool)
        return {
            "margin": np.broadcast_to(np.asarray(margin, dtype=float), values.shape),
            "limit": np.where(fitting, np.inf, -1.0),
        }


def _search(problem: _ThresholdProblem, condition: Expression, fits: bool) -> Solution:
    margins = _Margins(problem, condition, fits)
    grid = problem.grid()
    margin, limit = margins(grid)
    both = np.minimum(margin, limit)
    holds = both > 0
    unknown = int(np.isneginf(margin).sum())

    def solution(value: float | None, direction: str, at: float, **more: Any) -> Solution:
        return Solution(
            problem.variable,
            condition.text,
            value,
            direction,
            problem.base,
            float(grid[0]),
            float(grid[-1]),
            problem.at(at),
            at,
            fits,
            dimension=problem.dimension,
            unknown=unknown,
            **more,
        )

    if not holds.any():
        # Among feasible values the one with the largest margin; else the one closest to fitting.
        # An invalid value has no prediction.
        near = np.where(limit > 0, margin, margin - 2.0)
        at = problem.base if unknown == len(grid) else float(grid[int(np.argmax(near))])
        return solution(None, "none", at)
    if holds.all():
        return solution(float(grid[0]), "any", float(grid[0]), flips=0)
    flips = np.flatnonzero(holds[1:] != holds[:-1])
    # Prefer a sign change of the condition to the end of the valid range.
    numbers = ~np.isneginf(margin)
    among = flips[numbers[flips] & numbers[flips + 1]]
    flips = among if len(among) else flips
    distance = np.abs(np.log(grid[flips] * grid[flips + 1]) / 2 - np.log(problem.base))
    first = int(flips[int(np.argmin(distance))])
    rising = bool(holds[first + 1])
    low, high = float(grid[first]), float(grid[first + 1])
    while not _close(low, high, problem.integral):
        values = np.geomspace(low, high, _FINER)
        values[0], values[-1] = low, high
        if problem.integral:
            values = np.unique(np.rint(values))
        part, fitting = margins(values)
        good = np.minimum(part, fitting) > 0
        change = int(np.flatnonzero(good[1:] != good[:-1])[0])
        rising = bool(good[change + 1])
        low, high = float(values[change]), float(values[change + 1])
    value, failing = (high, low) if rising else (low, high)
    if not problem.integral:
        value = _settled(problem, condition, value, 1.0 if rising else -1.0)
    margin, fitting = margins(np.array([failing]))
    edge = margins.reasons.get(failing, "the condition reads what is not known there")
    return solution(
        value,
        "at least" if rising else "at most",
        value,
        flips=len(flips),
        memory_binds=bool(margin[0] > 0 >= fitting[0]),
        edge=edge if np.isneginf(margin[0]) else "",
    )


def _settled(problem: _ThresholdProblem, condition: Expression, value: float, side: float) -> float:
    """Return the value, adjusted in its last digits until a scalar prediction satisfies it."""
    candidate = value
    for step in range(6):
        margin = condition.margin(_columns(problem.at(candidate), condition.names))
        if first_number(margin) > 0:
            return candidate
        candidate = value * (1.0 + side * 1e-15 * 4.0**step)
    return value


def _close(low: float, high: float, integral: bool) -> bool:
    return high - low <= (1.0 if integral else _PRECISION * high)
