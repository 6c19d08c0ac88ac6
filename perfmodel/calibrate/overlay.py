"""What a calibration found, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.marks import Marks
from perfmodel.prediction import Interval, Prediction
from perfmodel.settings import FaultList
from perfmodel.specfile import read, validate

Number = Annotated[float, Field(allow_inf_nan=False)]


class LeaveOneOutSpread(BaseModel):
    """How far measured rows lay from what the other rows predicted of them.

    Attributes
    ----------
    rows
        How many rows, each left out once.
    low, high
        Least and largest measured latency over the predicted one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int = Field(ge=2)
    low: float = Field(gt=0, allow_inf_nan=False)
    high: float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self

    @property
    def chance(self) -> float:
        """Chance that one more row of the same kind lies between.

        Between the extremes of n exchangeable numbers, one more lies with (n - 1) / (n + 1) (Vovk
        et al., Algorithmic Learning in a Random World, 2005; near it for numbers from rows left
        out, Barber et al., Annals of Statistics 49(1), 2021).
        """
        return (self.rows - 1) / (self.rows + 1)


class Overlay(BaseModel):
    """A file of calibrated facts: what `perfmodel calibrate -o` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    overlay_version: int = Field(ge=1, le=1)
    device: str = Field(min_length=1)
    runtime: str = Field(min_length=1)
    fitted_on: str = ""
    facts: dict[str, Number] = Field(min_length=1)
    left_out: LeaveOneOutSpread | None = None

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
    """

    device: Device
    runtime: Runtime
    scale: Mapping[str, float]
    fitted_on: str
    rows: int
    before: float
    after: float
    left_out: float | None
    each: tuple[LeaveOneOutRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> LeaveOneOutSpread | None:
        """Between which factors of the prediction a new row is to be expected."""
        factors = [row.measured_s / row.predicted_s for row in self.each]
        if len(factors) < 2:
            return None
        return LeaveOneOutSpread(rows=len(factors), low=min(factors), high=max(factors))

    @property
    def overlay(self) -> dict[str, Quantity]:
        """Facts by path, as `perfmodel.hardware.machine.Machine` takes an overlay."""
        return self._file().values()

    def machine(self) -> Machine:
        """Return the device under the runtime with the calibrated facts, for `predict`."""
        return Machine(self.device, self.runtime, self.overlay)

    def _file(self) -> Overlay:
        return Overlay(
            overlay_version=1, device=self.device.name, runtime=self.runtime.name,
            fitted_on=self.fitted_on,
            facts={f"runtime.scale.{name}": value for name, value in self.scale.items()},
            left_out=self.spread,
        )  # fmt: skip

    def to_yaml(self) -> str:
        """Return the text of an overlay file (`read_overlay`)."""
        import yaml

        data = self._file().model_dump(exclude_none=True)
        data["facts"] = {path: float(f"{value:.6g}") for path, value in data["facts"].items()}
        for end in ("low", "high") if "left_out" in data else ():
            data["left_out"][end] = float(f"{data['left_out'][end]:.6g}")
        return yaml.safe_dump(data, sort_keys=False, width=100)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration ready for JSON."""
        return {
            "device": self.device.name, "runtime": self.runtime.name, "scale": dict(self.scale),
            "fitted_on": self.fitted_on, "rows": self.rows, "mape_before": self.before,
            "mape_after": self.after, "mape_left_out": self.left_out,
            "spread": None if self.spread is None else self.spread.model_dump(),
            "left_out": [asdict(row) for row in self.each], "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        def percent(value: float | None) -> str:
            return "-" if value is None else f"{100 * value:.1f} %"

        errors = (percent(value) for value in (self.before, self.after, self.left_out))
        lines = [
            f"{self.device.name} under {self.runtime.name}, {self.fitted_on}",
            "  mean error {} before, {} after, {} on each row by the others".format(*errors),
        ]
        if self.spread is not None:
            lines.append(f"  a new row: {_told(self.spread)}")
            worst = sorted(self.each, key=lambda row: -abs(row.error))[:3]
            told = ", ".join(f"{row.name} {100 * row.error:+.1f} %" for row in worst)
            lines.append(f"  farthest off when left out: {told}")
        lines += [f"  runtime.scale.{name:<12} {value:.4g}" for name, value in self.scale.items()]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _told(spread: LeaveOneOutSpread) -> str:
    return (
        f"{spread.low:.3g} to {spread.high:.3g} times the prediction, {100 * spread.chance:.0f} %"
        f" of those like the {spread.rows} measured"
    )


def expected(found: Prediction, spread: LeaveOneOutSpread) -> Interval:
    """Return the latency of a calibrated prediction with what the left-out rows let expect.

    Parameters
    ----------
    found
        A prediction on the calibrated device (`calibrated`).
    spread
        Of its overlay file, or of the `Calibration`.
    """
    value = found.latency_s
    return Interval(value * spread.low, value, value * spread.high, spread.chance, _told(spread))


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
    made = None if runtime is None else faults.trying(Machine, device, runtime, found.values())
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
