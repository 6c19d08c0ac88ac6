"""A device calibrated on a user's own measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from perfmodel.calibrate.few_shot import class_seconds, multipliers, predicted
from perfmodel.calibrate.overlay import Calibration, LeftOut
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import SCALE_CLASSES, Runtime
from perfmodel.predict import machine_for, predict
from perfmodel.validate.case import Case
from perfmodel.validate.user_rows import load

__all__ = ["calibrate"]

#: Measured columns that say how long a run took; the first that a row has counts.
_TIMES: Final = ("latency_s", "tokens_per_s", "frames_per_s")


def calibrate(
    measurements: str | Path,
    device: Device | None = None,
    runtime: Runtime | str | None = None,
    *,
    devices: Sequence[str | Path] = (),
) -> Calibration:
    """Fit multipliers of the seconds of each class to measured rows of one device.

    Parameters
    ----------
    measurements
        A CSV file as ``perfmodel validate my.csv`` takes it, with ``latency_s``, ``tokens_per_s``
        or ``frames_per_s``.
    device, runtime
        That the rows are of; those that they name where left out.
    devices
        Folders with more specs of devices.

    Raises
    ------
    InputError
        Every fault of the file, rows of several devices or runtimes, rows that cannot be predicted.
    """
    path = Path(measurements)
    cases = load(path, devices)
    faults: list[Fault] = []
    parts: list[list[float]] = []
    truth: list[float] = []
    machines: list[Machine] = []
    names_of: list[str] = []
    for case in cases.cases:
        found = _row(case, device, runtime, str(path), faults)
        if found is not None:
            machine, seconds, measured = found
            machines.append(machine)
            parts.append(seconds)
            truth.append(measured)
            names_of.append(case.name)
    names = {(m.device.name, m.runtime.name) for m in machines}
    if len(names) > 1:
        told = "; ".join(sorted(f"{d} under {r}" for d, r in names))
        faults.append(Fault(f"rows of several machines: {told}", file=str(path),
                            expected="rows of one device under one runtime"))  # fmt: skip
    if not machines and not faults:
        faults.append(Fault("no row says how long a run took", file=str(path),
                            expected=f"a column {', '.join(_TIMES)}"))  # fmt: skip
    if faults:
        raise InputError(faults)
    seconds, measured = np.array(parts), np.array(truth)
    scale = multipliers(seconds, measured)

    def error(found: Sequence[float] | np.ndarray) -> float:
        return float(np.abs(np.asarray(found) / measured - 1.0).mean())

    n = len(truth)
    others = [
        float(predicted(seconds[i : i + 1], multipliers(seconds, measured, rows=np.arange(n) != i))
              [0])
        for i in range(n) if n > 1
    ]  # fmt: skip
    plain = predicted(seconds, {})
    first = machines[0]
    return Calibration(
        first.device, first.runtime, scale, f"{path.name}, {n} row{'s' if n > 1 else ''}", n,
        error(plain), error(predicted(seconds, scale)),
        error(others) if others else None,
        tuple(
            LeftOut(name, float(m), o, float(s))
            for name, m, o, s in zip(names_of, measured, others, plain, strict=True)
        ) if others else (),
    )  # fmt: skip


def _row(
    case: Case, device: Device | None, runtime: Runtime | str | None, file: str,
    faults: list[Fault],
) -> tuple[Machine, list[float], float] | None:  # fmt: skip
    """Return the machine of a row, its seconds by class and what was measured, or add faults."""
    questions = {q.metric: q for q in case.questions}
    question = next((questions[m] for m in _TIMES if m in questions), None)
    if case.machine is None or question is None:
        reason = case.reason or "no column says how long the run took"
        faults.append(Fault(f"{case.name}: {reason}", file=file,
                            expected=f"a row with one of {', '.join(_TIMES)}"))  # fmt: skip
        return None
    chosen = find_runtime(runtime) if isinstance(runtime, str) else runtime
    given = case.machine
    spec = given.device if isinstance(given, Machine) else given
    if device is not None and spec.name != device.name:
        faults.append(Fault(f"{case.name}: is of {spec.name}", file=file, expected=device.name))
        return None
    if chosen is not None and case.runtime not in (None, chosen.name, chosen):
        named = case.runtime if isinstance(case.runtime, str) else getattr(case.runtime, "name", "")
        faults.append(Fault(f"{case.name}: ran under {named}", file=file, expected=chosen.name))
        return None
    try:
        machine = machine_for(question.workload, given, case.runtime or chosen, case.engine)
        found = predict(question.workload, machine, precision=case.precision, warm=case.warm)
        latency = float(found.latency_s)
        rate = getattr(found, question.metric)
        if rate is None:
            raise InputError(Fault(f"{spec.name} gives no {question.metric}"))
    except InputError as error:
        faults.append(Fault(f"{case.name}: {error.faults[0].message}", file=file))
        return None
    measured = question.measured
    if question.metric != "latency_s":
        measured = latency * float(rate) / question.measured
    seconds = class_seconds(found)
    return machine, [*(seconds[c] for c in SCALE_CLASSES), seconds["fixed"]], measured
