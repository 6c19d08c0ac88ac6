"""A device calibrated on a user's own measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from perfmodel.api import (
    Device,
    DeviceLike,
    Machine,
    Runtime,
    Workload,
    hardware,
    predict,
)
from perfmodel.api import runtime as runtime_of
from perfmodel.calibrate.few_shot import class_seconds, multipliers, predicted
from perfmodel.calibrate.overlay import Calibration, LeaveOneOutRow
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import ValidationCase
from perfmodel.evaluate.user_rows import is_left_out, load
from perfmodel.settings import FaultList

#: Measured columns that say how long a run took; the first that a row has counts.
_TIMES: Final = ("latency_s", "tokens_per_s", "frames_per_s")


def calibrate(
    device: DeviceLike | None,
    runtime: str | Path | Runtime | None,
    measurements: str | Path,
    *,
    devices: Sequence[str | Path] = (),
    skip_bad_rows: bool = False,
) -> Calibration:
    """Fit multipliers of the seconds of each class to measured rows of one device.

    Parameters
    ----------
    device, runtime
        That the rows are of; ``None`` for those that they name.
    measurements
        A CSV file as ``perfmodel validate my.csv`` takes it, with ``latency_s``, ``tokens_per_s``
        or ``frames_per_s``.
    devices
        Folders with more specs of devices.
    skip_bad_rows
        Fit without the rows that have a cell at fault; the notes name the cells.

    Returns
    -------
    Calibration
        Its ``machine()`` is what `predict` takes; ``to_yaml()`` the text of a file.

    Raises
    ------
    InputError
        Every fault of the file, rows of several devices or runtimes, rows that cannot be predicted.
    """
    faults = FaultList()
    if not isinstance(measurements, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        faults.append(
            Fault(
                f"a {type(measurements).__name__} is no file",
                path="measurements",
                expected="a path to a .csv file",
            )
        )
    spec = device.device if isinstance(device, Machine) else device
    if spec is not None:
        spec = faults.trying(hardware, spec, devices)
    chosen = None if runtime is None else faults.trying(runtime_of, runtime, devices)
    faults.settle()
    path = Path(measurements)
    cases = load(path, devices, skip_bad_rows=skip_bad_rows)
    rows: list[_Measured] = []
    for case in cases.cases:
        if is_left_out(case):
            continue
        found = _row(case, spec, chosen, str(path), faults)
        if found is not None:
            rows.append(found)
    names = {(row.machine.device.name, row.machine.runtime.name) for row in rows}
    if len(names) > 1:
        told = "; ".join(sorted(f"{d} under {r}" for d, r in names))
        faults.append(Fault(f"rows of several machines: {told}", file=str(path),
                            expected="rows of one device under one runtime"))  # fmt: skip
    if not rows and not faults:
        faults.append(Fault("no row says how long a run took", file=str(path),
                            expected=f"a column {', '.join(_TIMES)}"))  # fmt: skip
    faults.settle()
    seconds = np.array([row.seconds for row in rows])
    measured = np.array([row.measured_s for row in rows])
    n = len(rows)
    scale = multipliers(seconds, measured)
    plain = predicted(seconds, {})
    after = [row.predicted_s(scale) for row in rows]
    others = [
        row.predicted_s(multipliers(seconds, measured, rows=np.arange(n) != i))
        for i, row in enumerate(rows)
        if n > 1
    ]

    def error(found: Sequence[float] | np.ndarray) -> float:
        return float(np.abs(np.asarray(found) / measured - 1.0).mean())

    first = rows[0].machine
    return Calibration(
        first.device, first.runtime, scale, f"{path.name}, {n} row{'s' if n > 1 else ''}", n,
        error(plain), error(after), error(others) if others else None,
        tuple(
            LeaveOneOutRow(row.name, row.measured_s, found, float(before))
            for row, found, before in zip(rows, others, plain, strict=True)
        ) if others else (),
        cases.notes,
    )  # fmt: skip


class _Measured(NamedTuple):
    """A measured row: its machine, its seconds by class, and what was measured."""

    name: str
    machine: Machine
    case: ValidationCase
    workload: Workload
    seconds: list[float]
    measured_s: float

    def predicted_s(self, scale: Mapping[str, float]) -> float:
        """Return the latency with multipliers, as a prediction with their overlay has it.

        Where classes overlap this is not the sum of their seconds, times the multipliers.
        """
        machine = self.machine.vary({f"runtime.scale.{name}": v for name, v in scale.items()})
        found = predict(
            self.workload, machine, precision=self.case.precision, warm=self.case.warm
        )  # fmt: skip
        return float(found.latency_s)


def _row(
    case: ValidationCase, device: Device | None, runtime: Runtime | None, file: str,
    faults: list[Fault],
) -> _Measured | None:  # fmt: skip
    """Return a row, or add faults."""
    questions = {q.metric: q for q in case.questions}
    question = next((questions[m] for m in _TIMES if m in questions), None)
    if case.machine is None or question is None:
        reason = case.reason or "no column says how long the run took"
        faults.append(Fault(f"{case.name}: {reason}", file=file,
                            expected=f"a row with one of {', '.join(_TIMES)}"))  # fmt: skip
        return None
    given = case.machine
    spec = given.device if isinstance(given, Machine) else given
    if device is not None and spec.name != device.name:
        faults.append(Fault(f"{case.name}: is of {spec.name}", file=file, expected=device.name))
        return None
    if runtime is not None and case.runtime not in (None, runtime.name, runtime):
        named = case.runtime if isinstance(case.runtime, str) else getattr(case.runtime, "name", "")
        faults.append(Fault(f"{case.name}: ran under {named}", file=file, expected=runtime.name))
        return None
    try:
        found = predict(
            question.workload,
            given,
            precision=case.precision,
            runtime=case.runtime or runtime,
            engine=case.engine,
            warm=case.warm,
        )
        latency = float(found.latency_s)
        rate = getattr(found, question.metric)
        if rate is None:
            raise InputError(f"{spec.name} gives no {question.metric}")
    except InputError as error:
        faults.append(Fault(f"{case.name}: {error.faults[0].message}", file=file))
        return None
    measured = question.measured
    if question.metric != "latency_s":
        measured = latency * float(rate) / question.measured
    seconds = list(class_seconds(found).values())
    return _Measured(case.name, found.machine, case, question.workload, seconds, float(measured))
