"""Public function `calibrate`: multipliers of a device, fitted to a user's measurements.

Rows of a CSV file become cases (`perfmodel.evaluate.user_rows`) with their uncalibrated
predictions; the multipliers are fitted by `perfmodel.calibrate.few_shot`, with priors from the
evidence on other devices. The result predicts with the calibrated device, or proposes the next
measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.ask import (
    Device,
    DeviceLike,
    Machine,
    Prediction,
    Runtime,
    hardware,
    predict,
    resolve,
)
from perfmodel.ask import runtime as runtime_of
from perfmodel.calibrate.few_shot import SCALE_CLASSES, few_shot, unmeasured
from perfmodel.calibrate.next_rows import VARIED
from perfmodel.calibrate.overlay import Calibration, LeaveOneOutRow
from perfmodel.calibrate.scaled_predictions import ScaledPredictions
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.evaluate.refit import case_on_machine
from perfmodel.evaluate.user_rows import is_left_out, load
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase, classes_in
from perfmodel.settings import gathered

__all__ = ["calibrate", "scaled_rows"]

#: Measured columns that determine the run time; the first one that a row has is used.
_TIMES: Final = ("latency_s", "tokens_per_s", "frames_per_s")


def scaled_rows(rows: Sequence[tuple[ValidationCase, MeasuredQuantity]]) -> ScaledPredictions:
    """Return seconds of rows as a function of the device and class multipliers of seconds.

    Parameters
    ----------
    rows
        Cases with a known machine, each with measured seconds. The result is the forward
        model of `perfmodel.calibrate.few_shot.few_shot`.
    """
    ones = {f"runtime.scale.{name}": 1.0 for name in SCALE_CLASSES}
    predictions: list[Prediction] = []
    for case, quantity in rows:
        case, machine = case_on_machine(case, quantity)
        predictions.append(
            case.predict(quantity.workload, machine.vary({**machine.varied, **ones}))
        )
    return ScaledPredictions(predictions)


def calibrate(
    device: DeviceLike | None = None,
    runtime: str | Path | Runtime | None = None,
    measurements: str | Path | None = None,
    *,
    devices: Sequence[str | Path] = (),
    skip_bad_rows: bool = False,
    models: Sequence[str] = (),
) -> Calibration:
    """Fit multipliers of the seconds of each class to measured rows of one device.

    The prior of each multiplier is centred at 1, with a width from the evidence of other devices
    with predictions on the same basis (`perfmodel.calibrate.few_shot.few_shot`).

    Parameters
    ----------
    device
        Device of all rows. By default the one that they name.
    runtime
        Runtime of all rows, if they do not name one.
    measurements
        A .csv file in the form of `perfmodel validate`: model, device, and latency_s, tokens_per_s
        or frames_per_s. Without it, nothing has been measured yet: name a device, and the
        multipliers are those that the evidence of other devices predicts, as a basis for --next.
    devices
        Folders with further device specs.
    skip_bad_rows
        Fit without the rows that contain invalid cells, and report them.
    models
        Models that will run on a device without measurements. By default networks on images or
        language models, whichever the runtime takes.

    Returns
    -------
    Calibration
        Result whose ``machine()`` can be passed to `predict`; ``to_yaml()`` returns a file's text.

    Raises
    ------
    InputError
        Lists every fault of the file, rows of several devices or runtimes, and rows that cannot be
        predicted.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.calibrate("raspberry_pi_4", "ncnn").rows
    0
    """
    faults = gathered()
    if not isinstance(measurements, str | Path | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"a {type(measurements).__name__} is not a file"
        faults.append(Fault(message, "measurements", expected="a path to a .csv file"))
    spec = device.device if isinstance(device, Machine) else device
    if spec is not None:
        spec = faults.trying(hardware, spec, devices)
    elif measurements is None:
        message = "the device is needed where nothing is measured"
        faults.append(Fault(message, "device", expected="a name"))
    used = None if runtime is None else faults.trying(runtime_of, runtime, devices)
    faults.settle()
    if measurements is None:
        assert spec is not None
        return _unmeasured(spec, used, models)
    path = Path(measurements)
    cases = load(path, devices, skip_bad_rows=skip_bad_rows)
    rows: list[_Measured] = []
    for case in cases.cases:
        if not is_left_out(case):
            try:
                rows.append(_row(case, spec, used))
            except InputError as error:
                faults += [replace(fault, file=str(path)) for fault in error.faults]
    names = {(row.plain.device, row.plain.runtime) for row in rows}
    if len(names) > 1:
        several = "; ".join(sorted(f"{d} under {r}" for d, r in names))
        message, expected = (
            f"rows of several machines: {several}",
            "rows of one device under one runtime",
        )
        faults.append(Fault(message, file=str(path), expected=expected))
    if not rows and not faults:
        message, expected = "no row says how long a run took", f"a column {', '.join(_TIMES)}"
        faults.append(Fault(message, file=str(path), expected=expected))
    faults.settle()
    return _calibration(rows, path.name, cases.notes)


class _Measured(NamedTuple):
    """A measured row with its uncalibrated prediction."""

    case: ValidationCase
    quantity: MeasuredQuantity
    plain: Prediction


def _calibration(rows: Sequence[_Measured], file: str, notes: tuple[str, ...]) -> Calibration:
    """Return the calibration fitted to rows, with each row also left out in turn."""
    measured = np.array([row.quantity.measured for row in rows])
    n = len(rows)
    forward = scaled_rows([(row.case, row.quantity) for row in rows])
    pool = max(row.plain.scatter() for row in rows)
    others = [np.arange(n) != i for i in range(n)] if n > 1 else []
    result, *without = few_shot(forward, measured, pool, [np.ones(n, dtype=np.bool_), *others])
    plain = np.array([float(row.plain.latency_s) for row in rows])
    each = tuple(
        LeaveOneOutRow(row.case.name, row.quantity.measured, float(one.predicted[i]), plain[i])
        for i, (row, one) in enumerate(zip(rows, without, strict=False))
    )
    machine = rows[0].plain.machine
    classes = {name for row in rows for name in classes_in(row.quantity.workload).values()}
    return Calibration(
        machine.device,
        machine.runtime,
        result.scale,
        f"{file}, {n} row{'s' if n > 1 else ''}",
        n,
        _error(plain, measured),
        _error(result.predicted, measured),
        float(np.mean([abs(row.error) for row in each])) if each else None,
        each,
        notes,
        pool,
        result.posterior(sorted(classes)),
        result.slopes,
        rows[0].plain.precision.partition(" (")[0],
        tuple((row.plain.workload.name, row.plain.parameters_bound) for row in rows),
    )


def _unmeasured(device: Device, runtime: Runtime | None, models: Sequence[str]) -> Calibration:
    """Return the calibration of an unmeasured device, with the prior from the evidence."""
    lists: list[tuple[str, Mapping[str, Any]]] = [(model, {}) for model in models]
    lists = lists or [(names[0], settings) for names, settings in VARIED.values()]
    first: Prediction | None = None
    for model, settings in lists:
        subject = resolve(model, device, None, runtime, settings)
        first = predict(subject.workload, subject.device, runtime=subject.runtime)
        if first.machine.runtime.takes(subject.workload.unit):
            break
    assert first is not None
    pool = first.scatter()
    nothing = unmeasured(pool)
    return Calibration(
        device,
        first.machine.runtime,
        nothing.scale,
        "no rows",
        0,
        None,
        None,
        None,
        (),
        (),
        pool,
        nothing.posterior(sorted(set(classes_in(first.workload).values()))),
        nothing.slopes,
    )


def _error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the mean absolute relative error."""
    return float(np.abs(predicted / measured - 1.0).mean())


def _row(case: ValidationCase, device: Device | None, runtime: Runtime | None) -> _Measured:
    """Return a row with its measured run time and uncalibrated prediction.

    Raises
    ------
    InputError
        The row has no run time, is of another device or runtime, or cannot be predicted.
    """
    quantities = {q.metric: q for q in case.quantities}
    quantity = next((quantities[m] for m in _TIMES if m in quantities), None)
    if case.machine is None or quantity is None:
        reason = case.reason or "no column says how long the run took"
        expected = f"a row with one of {', '.join(_TIMES)}"
        raise input_error(f"{case.name}: {reason}", expected=expected)
    spec = case.machine.device if isinstance(case.machine, Machine) else case.machine
    if device is not None and spec.name != device.name:
        raise input_error(f"{case.name}: is of {spec.name}", expected=device.name)
    if runtime is not None and case.runtime not in (None, runtime.name, runtime):
        named = case.runtime if isinstance(case.runtime, str) else getattr(case.runtime, "name", "")
        raise input_error(f"{case.name}: ran under {named}", expected=runtime.name)
    try:
        plain = case.predict(quantity.workload, runtime=case.runtime or runtime)
        rate = getattr(plain, quantity.metric)
        if rate is None:
            raise InputError(f"{spec.name} gives no {quantity.metric}")
    except InputError as error:
        raise input_error(f"{case.name}: {error.faults[0].message}") from None
    measured = quantity.measured
    if quantity.metric != "latency_s":
        measured = float(plain.latency_s) * float(rate) / quantity.measured
    case = replace(case, machine=plain.machine, runtime=None, engine=None)
    quantity = replace(quantity, target="latency_s", metric="latency_s", measured=float(measured))
    return _Measured(case, quantity, plain)
