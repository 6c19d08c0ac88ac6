"""Prediction as a function of one free number, whose threshold `perfmodel.solve` searches.

The number is a fact of the device, a parameter of the workload or a number of bits. It is varied
from `LOWEST` to `HIGHEST` times its present value, as far as its spec allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import PredictionInputs, checked_bits, machine_of
from perfmodel.settings import BITS, OPERATING_POINT, is_fact
from perfmodel.workload.workload import SHARES

#: Ends of the search interval as multiples of the base value.
LOWEST: Final = 1e-3
HIGHEST: Final = 1e6

_GRID_POINTS: Final = 577
"""Points of the initial grid: 64 per decade over nine decades, both ends included."""
#: Base values for facts that are zero or not stated, by path or else by dimension.
_TYPICAL_BASE: Final = {
    "time": 1e-6,
    "bytes": 1e6,
    "power": 1.0,
    "clocks": 1e3,
    "fraction": 0.1,
    "price": 100.0,
    "thermal_resistance": 1.0,
    "heat_capacity": 100.0,
    "use.period": 1.0,
    "power.battery": 3.6e4,
    "volume": 1e4,
}
#: Parameters of a workload that end in these scale something, and need not be whole numbers.
_SCALE_SUFFIXES: Final = ("multiplier", "factor", "ratio", "fraction", "scale")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdProblem:
    """Prediction with one free number and everything else fixed.

    Attributes
    ----------
    base, low, high
        Present value of the number, and the ends of its range.
    integral
        Whether only whole numbers are valid.
    dimension
        Dimension of its unit; empty for a plain number.
    at
        Returns the prediction at a value, or at an array of values.
    """

    variable: str
    base: float
    low: float
    high: float
    integral: bool
    dimension: str
    at: Callable[[Any], Prediction]

    def values(self, low: float, high: float, count: int) -> Floats:
        """Return values at equal ratios between two ends; whole numbers if it counts something."""
        values = np.geomspace(low, high, count)
        values[0], values[-1] = low, high  # rounding must not exceed the allowed range
        return np.unique(np.rint(values)) if self.integral else values

    def grid(self) -> Floats:
        """Return the initial values; the base is one of them, never between two of them."""
        values = self.values(self.low, self.high, _GRID_POINTS)
        return np.unique(np.append(values, self.base))


def _typical_base(path: str, dimension: str) -> float:
    return _TYPICAL_BASE.get(path, _TYPICAL_BASE.get(dimension, 0.0))


def threshold_problem(
    subject: PredictionInputs, variable: str, options: Mapping[str, Any]
) -> ThresholdProblem:
    """Return the problem of a number of bits, a fact, or a parameter of the workload."""

    def run(workload: Any, device: Any, precision: Any) -> Prediction:
        varied = subject._replace(workload=workload, device=device, precision=precision)
        return predict(**varied._asdict(), **options)

    workload, device, precision = subject.workload, subject.device, subject.precision
    if variable == OPERATING_POINT:
        message = "modes have names, and only numbers are solved for"
        raise input_error(message, path=variable, expected="a sweep or a search over them")
    if variable in BITS:
        role = BITS[variable]
        base = run(workload, device, precision).job.precision
        bits = float(getattr(base, role).element_bits)

        def with_bits(x: Any) -> Prediction:
            return run(workload, device, base.with_bits(**checked_bits({role: x})))

        return ThresholdProblem(variable, bits, 1e-3, 64.0, False, "", with_bits)
    if is_fact(variable):
        run(workload, device, precision)  # raises faults of the other inputs
        spec = machine_of(device, subject.runtime, {}, workload, precision)
        current = spec.get(variable)
        if current is None and not spec.dimension(variable):
            spec.vary({variable: 1.0})  # raises for an unknown path, suggesting the nearest
        dimension = spec.dimension(variable)
        base = float(current) if current else _typical_base(variable, dimension)
        if not base:
            message = (
                f"{spec.device.name} does not state this number, so there is no value to scale"
            )
            raise input_error(
                message,
                path=variable,
                expected="a fact that `perfmodel hardware show` lists with a value",
            )
        span = spec.span(variable)
        low, high = max(base * LOWEST, span.low), min(base * HIGHEST, span.high)
        low = max(1.0, np.ceil(low)) if span.integral else low

        def at_fact(x: Any) -> Prediction:
            return run(workload, spec.vary({variable: x}), precision)

        return ThresholdProblem(variable, base, low, high, span.integral, dimension, at_fact)
    if variable not in workload.parameters:
        workload.bind({variable: 1})  # raises for an unknown name, suggesting the nearest
    base = float(workload.parameters[variable])
    share = variable in SHARES
    integral = base.is_integer() and not variable.endswith(_SCALE_SUFFIXES) and not share
    # A share of 0 cannot be scaled.
    base = base or LOWEST if share else base
    low, high = base * LOWEST, min(base * HIGHEST, 1.0 if share else 1e12)
    low = max(1.0, np.ceil(low)) if integral else low
    # An empty network has no metrics.
    low = min(max(low, workload.least(variable)), base)

    def at_size(x: Any) -> Prediction:
        return run(workload.bind({variable: x}), device, precision)

    return ThresholdProblem(variable, base, low, high, integral, "", at_size)
