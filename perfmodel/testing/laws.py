"""Laws of physics on any machine: which way a prediction may move when one fact does.

A faster part is never slower, a shorter delay is never slower, more room never adds traffic, and a
larger batch is never quicker.
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
        "per_layer_doubling",
        "lines_per_operator",
    }
)
#: Delays of a runtime's kernels.
_KERNEL_DELAYS: Final = frozenset({"launch", "per_group", "start_clocks", "host_floor"})
_FACTORS: Final = np.array([0.1, 0.3, 0.5, 0.9, 1.0, 1.1, 2.0, 4.0, 20.0])


def rising(machine: Machine) -> list[str]:
    """Return facts that are better when they are larger, capacities apart."""
    engine = f"engines.{machine.engine}."
    parts = {f"{engine}clock", f"{engine}units"}
    kind = machine.device.engine(machine.engine).kind
    if kind == "tensor_core" or machine.facts.get("runtime.serial_share"):
        # Peaks are stated: more units share them out, and what runs on few of them is slower.
        parts.remove(f"{engine}units")
    return [
        path
        for path in machine.facts
        if (path.startswith("memories.") and path.endswith((".bandwidth", ".sustained_fraction")))
        or path in parts
        or path.startswith((f"{engine}peaks.", f"{engine}vector_peaks.", "runtime.efficiency."))
    ]


def falling(machine: Machine) -> list[str]:
    """Return facts that are better when they are smaller; those too that nobody states."""

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
    """Return the capacities of memories that are stated."""
    return [
        path
        for path in machine.facts
        if path.startswith("memories.") and path.endswith(".capacity")
    ]


def allowed(machine: Machine, path: str, wanted: npt.ArrayLike) -> Steps:
    """Return values as near to those wanted as the fact may be: in range, whole where counted."""
    low, high, whole = machine.span(path)
    found = np.clip(np.asarray(wanted, dtype=float), low, high)
    if machine.dimension(path) == "fraction":
        found = np.minimum(found, 1.0)
    return np.maximum(np.round(found), 1.0) if whole else found


def steps(machine: Machine, path: str) -> Steps:
    """Return values of a fact from a tenth to twenty times its own, or from 0 where it has none."""
    own = machine.facts.get(path)
    if own is None or own == 0.0:
        unit = 100.0 if path.endswith("clocks") else 1e-6
        return allowed(machine, path, unit * np.array([0.0, 0.1, 1.0, 10.0]))
    return allowed(machine, path, own * _FACTORS)


def never_rises(values: Any, points: int, tolerance: float = 1e-12) -> bool:
    """Tell whether values along an axis of points never rise, rounding apart."""
    found = np.broadcast_to(np.asarray(values, dtype=float), (points,))
    return bool(np.all(np.diff(found) <= tolerance * np.abs(found[:-1])))


def broken(machine: Machine, path: str, run: Callable[[Machine], Prediction]) -> str:
    """Return what of a prediction moves the wrong way along a fact; empty where nothing does.

    Parameters
    ----------
    path
        A fact of `rising`, `falling` or `capacities`.
    run
        Predicts on a machine; called once, with an array for the fact.
    """
    values = steps(machine, path)
    found = run(machine.vary({path: values}))
    seconds = np.broadcast_to(np.asarray(found.latency_s, dtype=float), values.shape)
    # Steps rise: along a delay the latency is looked at from the last to the first.
    if not never_rises(seconds[::-1] if path in falling(machine) else seconds, values.size):
        return f"latency {seconds} along {values}"
    if path in capacities(machine):
        for level, moved in found.traffic_bytes.items():
            if not never_rises(moved, values.size, 1e-9):
                return f"traffic of {level} {moved} along {values}"
    return ""
