"""What a measured row is evidence of: a runtime, a class of workload, a device, a quantity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

#: Metric -> quantity that its evidence is of; a rate is evidence of a time.
QUANTITIES: Final = {
    "latency_s": "time", "ttft_s": "time", "tpot_s": "time", "tokens_per_s": "time",
    "frames_per_s": "time", "admitted_ttft_s": "time", "energy_j": "energy", "power_w": "power",
}  # fmt: skip
#: Metrics that grow as the time of a run shrinks.
RATES: Final = frozenset({"tokens_per_s", "frames_per_s"})


class Subject(NamedTuple):
    """What a row was measured of.

    Attributes
    ----------
    runtime, device
        Names of the library.
    workload_class
        As `classes_of` names it.
    quantity
        ``time``, ``energy`` or ``power``.
    """

    runtime: str
    device: str
    workload_class: str
    quantity: str = "time"


#: Phase -> class of its part of requests that a server runs beside others (`perfmodel.serve`).
SERVED: Final = {"prefill": "served/prefill", "decode": "served/decode"}
#: Class -> the one whose evidence stands for it where a runtime was not measured in its own.
RELATED: Final = {f"tokens/{phase}": served for phase, served in SERVED.items()}
#: Operators of a single kernel, at most: experts have three.
_KERNEL: Final = 3
_PHASES: Final = {"ttft_s": "prefill", "admitted_ttft_s": "prefill", "tpot_s": "decode"}


def classes_of(unit: str, phases: Collection[str], operators: int = 1) -> dict[str, str]:
    """Return phase -> class of workloads that share their evidence.

    Parameters
    ----------
    unit
        What a run yields (``tokens``, ``frames``, ``runs``).
    phases
        Of the rows of a network.
    operators
        How many it has, each counted once: a network of which nothing says what it yields is one
        of frames, and a few operators are a kernel.

    Returns
    -------
    dict
        Of a network of one class its only key is ``""``.
    """
    if unit == "tokens":
        found = {phase: f"tokens/{phase}" for phase in ("prefill", "decode") if phase in phases}
        if found:
            return found
    if unit == "runs" and operators > _KERNEL:
        unit = "frames"
    return {"": f"{unit}/training" if "backward" in phases else unit}


def class_of(classes: Mapping[str, str], metric: str) -> str:
    """Return the class that a metric belongs to; the last phase's for what is of all of them."""
    return classes.get(_PHASES.get(metric, ""), list(classes.values())[-1])
