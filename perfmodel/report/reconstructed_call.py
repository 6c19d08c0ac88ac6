"""Reconstruction of the call that made a prediction, as command line and as Python.

A prediction stores its inputs, not how they were stated. The call is therefore assembled from them
and executed: it is shown only if it yields the same numbers. The report of a prediction quotes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.call_record import call_text
from perfmodel.errors import PerfmodelError
from perfmodel.hardware.library import hardware
from perfmodel.package_data import data_root
from perfmodel.predict import predict

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction


@dataclass(frozen=True)
class PredictCall:
    """Arguments of `predict` in terms of names.

    Attributes
    ----------
    workload, device
        Names of the library, or paths.
    settings
        Parameters of the workload and facts of the device: numbers (SI) or texts.
    options
        ``precision``, ``runtime``, ``engine``, ``model`` ... as in `predict`.
    """

    workload: str
    device: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def command(self) -> str:
        """The command line."""
        words = ["perfmodel", "predict", self.workload, self.device]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={_as_typed(value)}"]
        for name, value in self.options.items():
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        return shlex.join(words)

    @property
    def python(self) -> str:
        """The Python call."""
        settings = {"set": dict(self.settings)} if self.settings else {}
        call = call_text("predict", (self.workload, self.device), {**settings, **self.options})
        return call.replace("\npm.", "\np = pm.", 1)

    def run(self) -> Prediction:
        """Return the prediction.

        Raises
        ------
        InputError
            Every fault at once.
        """
        return predict(self.workload, self.device, set=self.settings, **self.options)


def call_of(prediction: Prediction) -> PredictCall | None:
    """Return the call of a prediction with one point; None if no call by names yields it."""
    p = prediction
    if p.shape:
        return None
    job = p.job
    workload, machine = p.workload, p.machine
    origin, device = Path(workload.origin), machine.device.name
    name = origin.stem if origin.parent == data_root("workloads") else str(workload.origin)
    try:
        if not name or hardware(device) != machine.device:
            return None
    except PerfmodelError:
        return None
    phases = {row.phase for row in job.lowered.rows} - {""}
    phase = phases.pop() if len(phases) == 1 else "request" if phases else ""
    settings: dict[str, Any] = {"phase": phase} if phase else {}
    numbers = {**workload.parameters, **machine.varied}
    settings |= {name: _number(value) for name, value in numbers.items()}
    options: dict[str, Any] = {"precision": str(job.precision), "runtime": machine.runtime.name}
    if job.model.bare:
        options["model"] = "roofline"
    options |= {word: True for word in ("warm", "relaxed") if getattr(job, word)}
    return _shortest(PredictCall(name, device, settings, options), p)


def _shortest(call: PredictCall, p: Prediction) -> PredictCall | None:
    """Return the call without redundant defaults; None if it yields other numbers."""
    if not _gives_same_numbers(call, p):
        return None
    for part in ("settings", "options"):
        for name in list(getattr(call, part)):
            others = {n: v for n, v in getattr(call, part).items() if n != name}
            changed: dict[str, Any] = {part: others}
            shorter = replace(call, **changed)
            if _gives_same_numbers(shorter, p):
                call = shorter
    return call


def _gives_same_numbers(call: PredictCall, p: Prediction) -> bool:
    """Return whether a call yields the numbers of a prediction."""
    try:
        again = call.run()
    except PerfmodelError:
        return False
    names = ("precision", "runtime", "parameters_bound")
    metrics = ("latency_s", "energy_j", "peak_memory_bytes", "macs")
    return (
        all(getattr(again, name) == getattr(p, name) for name in names)
        and again.varied.keys() == p.varied.keys()
        and all(np.array_equal(getattr(again, n), getattr(p, n), equal_nan=True) for n in metrics)
    )


def _number(value: Any) -> Any:
    """Return an integral number as an integer."""
    plain = first_number(value)
    return int(plain) if plain.is_integer() else plain


def _as_typed(value: Any) -> str:
    """Return a value as typed, with all digits."""
    return f"{value:.17g}" if isinstance(value, float) else str(value)
