"""What a calibration found, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.marks import Marks
from perfmodel.settings import FaultList
from perfmodel.specfile import read, validate

__all__ = ["Calibration", "Overlay", "calibrated", "read_overlay"]

Number = Annotated[float, Field(allow_inf_nan=False)]


class Overlay(BaseModel):
    """A file of calibrated facts: what `perfmodel calibrate -o` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    overlay_version: int = Field(ge=1, le=1)
    device: str = Field(min_length=1)
    runtime: str = Field(min_length=1)
    fitted_on: str = ""
    facts: dict[str, Number] = Field(min_length=1)

    def values(self) -> dict[str, Quantity]:
        """Return path -> value with its provenance, as `Machine` takes an overlay."""
        return {
            path: Quantity(value=value, confidence="fitted", fitted_on=self.fitted_on or None)
            for path, value in self.facts.items()
        }


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
    """

    device: Device
    runtime: Runtime
    scale: Mapping[str, float]
    fitted_on: str
    rows: int
    before: float
    after: float
    left_out: float | None

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
        )  # fmt: skip

    def to_yaml(self) -> str:
        """Return the text of an overlay file (`read_overlay`)."""
        import yaml

        data = self._file().model_dump()
        data["facts"] = {path: float(f"{value:.6g}") for path, value in data["facts"].items()}
        return yaml.safe_dump(data, sort_keys=False, width=100)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration ready for JSON."""
        return {
            "device": self.device.name, "runtime": self.runtime.name, "scale": dict(self.scale),
            "fitted_on": self.fitted_on, "rows": self.rows, "mape_before": self.before,
            "mape_after": self.after, "mape_left_out": self.left_out,
        }  # fmt: skip

    def __str__(self) -> str:
        def percent(value: float | None) -> str:
            return "-" if value is None else f"{100 * value:.1f} %"

        errors = (percent(value) for value in (self.before, self.after, self.left_out))
        lines = [
            f"{self.device.name} under {self.runtime.name}, {self.fitted_on}",
            "  mean error {} before, {} after, {} on each row by the others".format(*errors),
        ]
        lines += [f"  runtime.scale.{name:<12} {value:.4g}" for name, value in self.scale.items()]
        return "\n".join(lines)


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
