"""Public function `solve`: the value of one number at which a condition starts to hold.

The number is a fact of the device, a parameter of the workload or a number of bits. Its range is
first sampled on a logarithmic grid, all points in one prediction; the sign change of the condition
nearest to the present value is then narrowed by repeated grid search within the bracket, until two
neighbouring numbers (or integers) remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.columns import TRUTH, dimension_of
from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, InputError
from perfmodel.evidence import QUANTITIES
from perfmodel.expressions import Expression, parse_expression
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.metrics import ENERGIES
from perfmodel.prediction import METRICS, Prediction
from perfmodel.prediction.fault_isolation import isolate_faults
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.settings import gathered, is_fact
from perfmodel.table import Result, plain
from perfmodel.threshold_problem import Floats, ThresholdProblem, threshold_problem
from perfmodel.units import DIMENSIONS, show

#: Points of each finer grid, which narrows the bracket by a factor of 64.
_REFINED_POINTS: Final = 65
_RELATIVE_PRECISION: Final = 1e-13


@dataclass(frozen=True, repr=False)
class Solution(Result):
    """Result of `solve`.

    Attributes
    ----------
    variable, until : str
        Name of the free number, and the condition.
    value : float or None
        Threshold at which the condition holds, on the satisfying side; ``None`` if it never holds.
    direction : str
        ``at least`` or ``at most`` (the value), ``any`` or ``none``.
    base, low, high : float
        Original value of the variable, and the ends of the search interval.
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
        columns = _columns(self.prediction, parse_expression(self.until).names)
        return {name: first_number(value) for name, value in columns.items()}

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

    def _present(self) -> str:
        """Return the present value of the variable; the base of one that is not set is assumed."""
        machine = self.prediction.machine
        path = machine.resolve(self.variable)
        known = {**machine.device.defaults, **machine.unvaried_facts}
        if is_fact(self.variable) and path not in known:
            return "not set now"
        return f"now {self._shown(self.base)}"

    def _intervals(self) -> list[str]:
        """Prediction intervals of the metrics in the condition."""
        prediction = self.prediction
        names = parse_expression(self.until).names
        bases = dict.fromkeys(prediction.basis_for(name) for name in names)
        lines = [f"  basis: {basis.name}, {basis.reason}" for basis in bases]
        for name in names:
            if name in QUANTITIES:
                ends = (prediction.interval(name, level) for level in (0.5, 0.9))
                half, most = (interval.show(dimension_of(name)) for interval in ends)
                within = f" ({prediction.energy_boundary})" if name in ENERGIES else ""
                lines.append(f"  {name}{within}, measured: half in {half}, nine of ten in {most}")
        return lines

    def _lines(self) -> list[str]:
        """Return the headline and the remarks below it."""
        span = f"from {self._shown(self.low)} to {self._shown(self.high)}"
        reached = ", ".join(_named_metric(name, value) for name, value in self.reached.items())
        where = f"{self.prediction.workload.name} on {self.prediction.machine.device.name}"
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
                f"{self.until} for {where} ({self._present()})"
            )
        lines = [head, f"  there: {reached}", *self._intervals()]
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


def _named_metric(name: str, value: float) -> str:
    dimension = dimension_of(name)
    return f"{name} = {show(value, dimension) if dimension in DIMENSIONS else f'{value:.6g}'}"


@deprecated_parameters(fits="not ignore_memory")
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
        The number to vary: a fact of the device (``memories.main.bandwidth``), a parameter of the
        workload (``batch``), or ``weight_bits``, ``activation_bits`` or ``kv_bits``.
    until
        A condition on metrics, such as "tokens_per_s >= 20" or "tpot_s <= 50 ms and energy_j < 2
        J".
    ignore_memory
        Do not require that the workload fits into the memories. By default this is part of the
        condition.

    Returns
    -------
    Solution
        Searched from 1e-3 to 1e6 times the base value, within the range of the spec's field: the
        grid first, then the bracket that lies nearest to the base. Numbers that count something (a
        parameter of the workload, channels, rows of an array) are whole.

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
        problem = faults.trying(threshold_problem, subject, variable, options)
    if problem is not None and condition is not None and not faults:
        faults += _missing_metric_faults(problem, condition)
    faults.settle()
    assert problem is not None
    assert condition is not None
    return _find_threshold(problem, condition, not ignore_memory)


def _expected(prediction: Prediction, name: str) -> str:
    """Return what a missing metric needs, or another one."""
    if reason := prediction.missing_reason(name):
        return f"the facts that it needs: {reason}"
    return "a metric that `perfmodel predict` shows"


def _missing_metric_faults(problem: ThresholdProblem, condition: Expression) -> list[Fault]:
    """Return the faults of metrics that this workload or device does not have."""
    prediction = problem.at(problem.base)
    columns = _columns(prediction, condition.names)
    unknown = [name for name in condition.names if _is_unknown(columns[name])]
    if unknown:
        # A run that does not end in the present period may end in a longer one.
        with suppress(InputError):
            highest = _columns(problem.at(problem.high), condition.names)
            unknown = [name for name in unknown if _is_unknown(highest[name])]
    rates = [m for m in ("tokens_per_s", "frames_per_s") if getattr(prediction, m) is not None]
    faults: list[Fault] = []
    for name in unknown:
        suggestion = rates[0] if name in ("tokens_per_s", "frames_per_s") else ""
        faults.append(
            Fault(
                f"there is no {name} for this workload on this device",
                file="--until",
                suggestion=suggestion,
                expected="" if suggestion else _expected(prediction, name),
            )
        )
    return faults


def _is_unknown(value: Any) -> bool:
    """Return whether a metric is not known at any point."""
    return value is None or bool(np.isnan(np.asarray(value, dtype=float)).all())


def _columns(prediction: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    """Return metrics by name; those by memory are of main memory."""
    return {name: prediction.metric(name) for name in names}


class _ConditionMargins:
    """Signed margins of the condition at values of the variable, and whether they fit."""

    def __init__(self, problem: ThresholdProblem, condition: Expression, fits: bool) -> None:
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
            for fate in isolate_faults(steps, lambda points: self._at_once(values[points]), error):
                if fate.columns is None:
                    self.reasons.update((float(v), fate.reason) for v in values[fate.points])
                for name, part in (fate.columns or {}).items():
                    columns[name][fate.points] = part
        return columns["margin"], columns["limit"]

    def _at_once(self, values: Floats) -> dict[str, Floats]:
        """Return both margins at values that all have a prediction."""
        prediction = self._problem.at(values)
        margin = self._condition.margin(_columns(prediction, self._condition.names))
        fitting = np.broadcast_to(np.asarray(prediction.feasible), values.shape)
        fitting = fitting if self._fits else np.ones(values.shape, dtype=bool)
        return {
            "margin": np.broadcast_to(np.asarray(margin, dtype=float), values.shape),
            "limit": np.where(fitting, np.inf, -1.0),
        }


def _closest(grid: Floats, closeness: Floats, base: float) -> float:
    """Return the value of the largest closeness; of equal ones that nearest to the present value.

    Without any closeness (values without a prediction) it is the present value.
    """
    most = closeness.max()
    if not np.isfinite(most):
        return base
    # Beyond a plateau's edge only rounding errors differ.
    alike = grid[closeness >= most - 1e-14 * max(abs(most), 1.0)]
    return float(alike[np.abs(np.log(alike / base)).argmin()])


def _find_threshold(problem: ThresholdProblem, condition: Expression, fits: bool) -> Solution:
    """Return the threshold: scan the grid, select a sign change, and narrow it by finer grids."""
    margins = _ConditionMargins(problem, condition, fits)
    grid = problem.grid()
    margin, limit = margins(grid)
    holds = np.minimum(margin, limit) > 0
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
        closeness = np.where(limit > 0, margin, margin - 2.0)
        return solution(None, "none", _closest(grid, closeness, problem.base))
    if holds.all():
        return solution(float(grid[0]), "any", float(grid[0]), flips=0)
    first, flips = _nearest_flip(grid, margin, holds, problem.base)
    low, high = float(grid[first]), float(grid[first + 1])
    low, high, rising = _narrow_bracket(problem, margins, low, high, bool(holds[first + 1]))
    value, failing = (high, low) if rising else (low, high)
    if not problem.integral:
        value = _satisfying_value(problem, condition, value, 1.0 if rising else -1.0)
    margin, fitting = margins(np.array([failing]))
    edge = margins.reasons.get(failing, "the condition reads what is not known there")
    return solution(
        value,
        "at least" if rising else "at most",
        value,
        flips=flips,
        memory_binds=bool(margin[0] > 0 >= fitting[0]),
        edge=edge if np.isneginf(margin[0]) else "",
    )


def _nearest_flip(grid: Floats, margin: Floats, holds: Any, base: float) -> tuple[int, int]:
    """Return the interval of the grid with the sign change nearest to the base, and their number.

    The distance is that of logarithms, from the geometric mean of the interval to the base.
    """
    flips = np.flatnonzero(holds[1:] != holds[:-1])
    # Prefer a sign change of the condition to the end of the valid range.
    is_known = ~np.isneginf(margin)
    between_known = flips[is_known[flips] & is_known[flips + 1]]
    flips = between_known if len(between_known) else flips
    distance = np.abs(np.log(grid[flips] * grid[flips + 1]) / 2 - np.log(base))
    return int(flips[int(np.argmin(distance))]), len(flips)


def _narrow_bracket(
    problem: ThresholdProblem, margins: _ConditionMargins, low: float, high: float, rising: bool
) -> tuple[float, float, bool]:
    """Return the bracket narrowed by repeated grid search, and whether its upper end satisfies."""
    while high - low > (1.0 if problem.integral else _RELATIVE_PRECISION * high):
        values = problem.values(low, high, _REFINED_POINTS)
        holds = np.minimum(*margins(values)) > 0
        change = int(np.flatnonzero(holds[1:] != holds[:-1])[0])
        rising = bool(holds[change + 1])
        low, high = float(values[change]), float(values[change + 1])
    return low, high, rising


def _satisfying_value(
    problem: ThresholdProblem, condition: Expression, value: float, side: float
) -> float:
    """Return the value, adjusted in its last digits until a scalar prediction satisfies it."""
    candidate = value
    for step in range(6):
        margin = condition.margin(_columns(problem.at(candidate), condition.names))
        if first_number(margin) > 0:
            return candidate
        candidate = value * (1.0 + side * 1e-15 * 4.0**step)
    return value
