"""What a calibration found, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from perfmodel.calibrate.next_rows import NextMeasurements, next_rows
from perfmodel.errors import Fault, InputError
from perfmodel.evidence import Scatter
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.posterior import Posterior
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.marks import Marks
from perfmodel.prediction.basis import LEVELS
from perfmodel.settings import FaultList
from perfmodel.specfile import read, validate

Number = Annotated[float, Field(allow_inf_nan=False)]


class Overlay(BaseModel):
    """A file of calibrated facts: what `perfmodel calibrate -o` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    overlay_version: int = Field(ge=1, le=2)
    device: str = Field(min_length=1)
    runtime: str = Field(min_length=1)
    fitted_on: str = ""
    facts: dict[str, Number] = Field(min_length=1)
    posterior: Posterior | None = None
    left_out: dict[str, Any] | None = None
    """Of version 1, read and of no effect: an interval of all predictions alike."""

    def values(self) -> dict[str, Quantity]:
        """Return path -> value with its provenance, as `Machine` takes an overlay."""
        return {
            path: Quantity(value=value, confidence="fitted", fitted_on=self.fitted_on or None)
            for path, value in self.facts.items()
        }


@dataclass(frozen=True, slots=True)
class LeaveOneOutRow:
    """A measured row, and what multipliers fitted to all others say of it.

    Attributes
    ----------
    name
        Of the row.
    measured_s, predicted_s
        Latency; `plain_s` is the prediction without a calibration.
    """

    name: str
    measured_s: float
    predicted_s: float
    plain_s: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted_s / self.measured_s - 1.0


@dataclass(frozen=True)
class Calibration:
    """Multipliers of the seconds of each class, found on measured rows of one device.

    Attributes
    ----------
    device, runtime
        That were measured.
    scale
        Class of seconds -> multiplier.
    fitted_on
        The rows.
    rows
        How many.
    before, after
        Mean absolute percentage error on the rows, as a fraction, without and with the multipliers.
    left_out
        The same of each row by multipliers fitted to all others; ``None`` for a single row.
    each
        Those rows one by one; none of a single row.
    notes
        What of the file was left out.
    pool
        How predictions of the kind are off by the evidence of other devices: what the multipliers
        are pulled by.
    posterior
        What the rows leave open: the error to expect of new predictions.
    slopes
        Of the logarithms of the rows over those of the multipliers, shape ``(rows, classes)``.
    precision
        Of the first row.
    measured
        Workload and sizes of each row.
    """

    device: Device
    runtime: Runtime
    scale: Mapping[str, float]
    fitted_on: str
    rows: int
    before: float | None
    after: float | None
    left_out: float | None
    each: tuple[LeaveOneOutRow, ...]
    notes: tuple[str, ...]
    pool: Scatter
    posterior: Posterior
    slopes: npt.NDArray[np.float64]
    precision: str | None = None
    measured: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def expected(self) -> dict[str, float]:
        """Per cent of new rows -> factor either way that they lie within, the mean over rows."""
        return {
            f"{100 * level:g}": float(np.asarray(self.posterior.factor(self.slopes, level)).mean())
            for level in (LEVELS if self.rows else ())
        }

    @property
    def overlay(self) -> dict[str, Quantity]:
        """Facts by path, as `perfmodel.hardware.machine.Machine` takes an overlay."""
        return self._file().values()

    def machine(self) -> Machine:
        """Return the device under the runtime with the calibrated facts, for `predict`."""
        return Machine(self.device, self.runtime, self.overlay, self.posterior)

    def next(
        self, count: int = 1, candidates: Sequence[str] = (), targets: Sequence[str] = ()
    ) -> NextMeasurements:
        """Return the measurements that would narrow predictions of the device most.

        Parameters
        ----------
        count
            How many, chosen one after another.
        candidates, targets
            Models that may be measured, and those whose predictions matter; where left out, a
            varied list of the library's models of the class of workloads that the rows are of.

        Raises
        ------
        InputError
            Unknown names, models that do not run on the device, no list for the class.

        Notes
        -----
        See `perfmodel.calibrate.next_rows.narrowing` for what is chosen.
        """
        return next_rows(
            self.machine(),
            self.posterior,
            count,
            candidates,
            targets,
            self.precision,
            self.measured,
        )

    def _file(self) -> Overlay:
        return Overlay(
            overlay_version=2,
            device=self.device.name,
            runtime=self.runtime.name,
            fitted_on=self.fitted_on,
            facts={f"runtime.scale.{name}": value for name, value in self.scale.items()},
            posterior=self.posterior,
        )

    def to_yaml(self) -> str:
        """Return the text of an overlay file (`read_overlay`)."""
        import yaml

        text = self._file().model_dump_json(exclude_none=True)
        data = json.loads(text, parse_float=lambda number: float(f"{float(number):.6g}"))
        return yaml.safe_dump(data, sort_keys=False, width=100, default_flow_style=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration ready for JSON."""
        return {
            "device": self.device.name,
            "runtime": self.runtime.name,
            "scale": dict(self.scale),
            "fitted_on": self.fitted_on,
            "rows": self.rows,
            "mape_before": self.before,
            "mape_after": self.after,
            "mape_left_out": self.left_out,
            "expected": self.expected,
            "pool": self.pool._asdict(),
            "posterior": self.posterior.model_dump(),
            "left_out": [asdict(row) for row in self.each],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        def percent(value: float | None) -> str:
            return "-" if value is None else f"{100 * value:.1f} %"

        bias, noise = (f"{100 * np.expm1(part):.0f} %" for part in self.pool[:2])
        pool = f"such predictions are off by {bias} from device to device, {noise} from row to row"
        if not self.rows:
            return f"{self.device.name} under {self.runtime.name}, no rows\n  {pool}"
        errors = (percent(value) for value in (self.before, self.after, self.left_out))
        factors = [f"{level} % within x{factor:.3g}" for level, factor in self.expected.items()]
        lines = [
            f"{self.device.name} under {self.runtime.name}, {self.fitted_on}",
            "  mean error {} before, {} after, {} on each row by the others".format(*errors),
            f"  to expect of a new row: {', '.join(factors)} of the prediction, either way",
            f"  {pool}",
        ]
        worst = sorted(self.each, key=lambda row: -abs(row.error))[:3]
        if worst:
            names = ", ".join(f"{row.name} {100 * row.error:+.1f} %" for row in worst)
            lines.append(f"  farthest off when left out: {names}")
        lines += [f"  runtime.scale.{name:<12} {value:.4g}" for name, value in self.scale.items()]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def read_overlay(path: str | Path) -> Overlay:
    """Read an overlay file.

    Raises
    ------
    InputError
        Every fault of the file, with its place.
    """
    file = Path(path)
    data, marks = read(file)
    return validate(Overlay, data, marks, str(file))


def calibrated(path: str | Path, device: Device, runtime: Runtime | None) -> Machine:
    """Return a device with the facts of an overlay file.

    Parameters
    ----------
    path
        An overlay file.
    device, runtime
        What it must be a calibration of; its own runtime where that is left out.

    Raises
    ------
    InputError
        Every fault of the file, with its place: another device or runtime, no such fact, a value
        out of its range.
    """
    file = Path(path)
    data, marks = read(file)
    found = validate(Overlay, data, marks, str(file))
    faults = FaultList()
    given = {"device": (device.name, found.device)}
    if runtime is None:
        runtime = faults.trying(find_runtime, found.runtime)
    else:
        given["runtime"] = (runtime.name, found.runtime)
    for key, (mine, its) in given.items():
        if mine != its:
            faults.append(Fault(f"is a calibration of {its}", path=key, expected=mine))
    made = (
        None
        if runtime is None
        else faults.trying(Machine, device, runtime, found.values(), found.posterior)
    )
    if made is not None and not faults:
        return made
    placed = [_placed(fault, marks, str(file)) for fault in faults]
    placed.sort(key=lambda fault: (fault.line, fault.column))
    raise InputError(placed)


def _placed(fault: Fault, marks: Marks, file: str) -> Fault:
    """Return a fault with the place of its key: of a fact, whose path is one key of ``facts``."""
    at = ("facts", fault.path) if marks.has(("facts", fault.path)) else (fault.path or "runtime",)
    line, column = marks.at(at, key=at[0] == "facts")
    return replace(fault, file=file, line=line, column=column)
