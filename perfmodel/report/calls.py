"""The call that makes a prediction again, as it is typed and as Python has it.

A prediction knows what it was made of, not how it was asked for. So the call is put together from
its parts and then run: it is shown only where it gives the same numbers.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.asked import call_text
from perfmodel.errors import PerfmodelError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.shipped import data_root

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction


@dataclass(frozen=True)
class PredictCall:
    """What `predict` is asked, by names alone.

    Attributes
    ----------
    workload, device
        Names of the library, or paths.
    settings
        Parameters of the workload and facts of the device: numbers (SI) or texts.
    options
        ``precision``, ``runtime``, ``engine``, ``model`` ... as `predict` takes them.
    """

    workload: str
    device: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def command(self) -> str:
        """As it is typed."""
        words = ["perfmodel", "predict", self.workload, self.device]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={_typed(value)}"]
        for name, value in self.options.items():
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        return shlex.join(words)

    @property
    def python(self) -> str:
        """As Python has it."""
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
    """Return the call that gives a prediction of one point; None where none by names does."""
    p = prediction
    if p.shape:
        return None
    job = p._job  # pyright: ignore[reportPrivateUsage]
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
    """Return the call without what the defaults say anyway; None where it gives other numbers."""
    if not _same(call, p):
        return None
    for part in ("settings", "options"):
        for name in list(getattr(call, part)):
            others = {n: v for n, v in getattr(call, part).items() if n != name}
            changed: dict[str, Any] = {part: others}
            shorter = replace(call, **changed)
            if _same(shorter, p):
                call = shorter
    return call


def _same(call: PredictCall, p: Prediction) -> bool:
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
    plain = first_number(value)
    return int(plain) if plain.is_integer() else plain


def _typed(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)
