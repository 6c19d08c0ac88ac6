"""Monotonicity laws: direction in which a prediction may change with one fact of a machine.

A higher rate and a shorter delay never increase latency, more capacity never increases traffic, and
a larger batch never decreases latency. `perfmodel.testing.kinds` and the tests of the library check
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.hardware.machine import Machine
from perfmodel.prediction import Prediction

Steps: TypeAlias = npt.NDArray[np.float64]

#: Delays of a runtime.
_DELAYS: Final = frozenset(
    {
        "per_run",
        "per_operator",
        "per_subgraph",
        "per_layer",
        "per_layer_clocks",
        "per_sequence",
        "per_prompt",
        "per_layer_doubling",
        "lines_per_operator",
    }
)
#: Delays of a runtime's kernels.
_KERNEL_DELAYS: Final = frozenset({"launch", "per_group", "start_clocks", "host_floor"})
_FACTORS: Final = np.array([0.1, 0.3, 0.5, 0.9, 1.0, 1.1, 2.0, 4.0, 20.0])


def rising(machine: Machine) -> list[str]:
    """Return the facts whose increase is an improvement, except capacities."""
    engine = f"engines.{machine.engine}."
    parts = {f"{engine}clock", f"{engine}units"}
    kind = machine.device.engine(machine.engine).kind
    if kind == "tensor_core" or machine.facts.get("runtime.serial_share"):
        # With a stated peak, more units have less throughput each, which slows work on few units.
        parts.remove(f"{engine}units")
    return [
        path
        for path in machine.facts
        if (path.startswith("memories.") and path.endswith((".bandwidth", ".sustained_fraction")))
        or path in parts
        or path.startswith((f"{engine}peaks.", f"{engine}vector_peaks.", "runtime.efficiency."))
    ]


def falling(machine: Machine) -> list[str]:
    """Return the facts whose decrease is an improvement, including those not stated."""

    def delays(path: str) -> bool:
        head, _, last = path.rpartition(".")
        if head == "runtime":
            return last in _DELAYS
        if path.startswith("runtime.kernels."):
            return last in _KERNEL_DELAYS
        return path.startswith("memories.") and last == "latency"

    launch = f"engines.{machine.engine}.launch_overhead"
    return [path for path in machine.paths if delays(path) or path == launch]


def capacities(machine: Machine) -> list[str]:
    """Return the stated capacities of memories."""
    return [
        path
        for path in machine.facts
        if path.startswith("memories.") and path.endswith(".capacity")
    ]


def allowed(machine: Machine, path: str, wanted: npt.ArrayLike) -> Steps:
    """Return the values clipped to the range of the fact, and rounded if it is a count."""
    low, high, integral = machine.span(path)
    values = np.clip(np.asarray(wanted, dtype=float), low, high)
    if machine.dimension(path) == "fraction":
        values = np.minimum(values, 1.0)
    return np.maximum(np.round(values), 1.0) if integral else values


def steps(machine: Machine, path: str) -> Steps:
    """Return values from 0.1 to 20 times that of a fact, or from 0 if it is not stated."""
    own = machine.facts.get(path)
    if own is None or own == 0.0:
        unit = 100.0 if path.endswith("clocks") else 1e-6
        return allowed(machine, path, unit * np.array([0.0, 0.1, 1.0, 10.0]))
    return allowed(machine, path, own * _FACTORS)


def never_rises(values: Any, points: int, tolerance: float = 1e-12) -> bool:
    """Return whether values are non-increasing along the points, within rounding."""
    series = np.broadcast_to(np.asarray(values, dtype=float), (points,))
    return bool(np.all(np.diff(series) <= tolerance * np.abs(series[:-1])))


def broken(machine: Machine, path: str, run: Callable[[Machine], Prediction]) -> str:
    """Return the metrics that change in the wrong direction along a fact; empty if none.

    Parameters
    ----------
    path
        Fact of `rising`, `falling` or `capacities`.
    run
        Function that predicts on a machine; called once, with an array for the fact.
    """
    values = steps(machine, path)
    prediction = run(machine.vary({path: values}))
    seconds = np.broadcast_to(np.asarray(prediction.latency_s, dtype=float), values.shape)
    # Values ascend, so that along a delay the latency is checked in reverse.
    if not never_rises(seconds[::-1] if path in falling(machine) else seconds, values.size):
        return f"latency {seconds} along {values}"
    if path in capacities(machine):
        bytes_by_level: dict[str, Any] = dict(prediction.traffic_bytes)
        if machine.facts.get(f"engines.{machine.engine}.kept_share"):
            # Activations stay where the memories of weights and activations move fewer bytes
            # together: one of them may move more.
            setting = prediction.setting
            beyond_chip = {setting.levels[-1], setting.weights_memory}
            name = " and ".join(sorted(beyond_chip))
            bytes_by_level[name] = sum(bytes_by_level.pop(level) for level in beyond_chip)
        for level, traffic in bytes_by_level.items():
            if not never_rises(traffic, values.size, 1e-9):
                return f"traffic of {level} {traffic} along {values}"
    return ""
