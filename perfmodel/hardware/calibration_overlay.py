"""Calibration files: read fitted facts and apply them to a device.

`perfmodel calibrate -o FILE` writes the multipliers that it fitted, with their posterior; a
prediction with ``--overlay FILE`` reads them here and checks that they belong to its device.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.calibration_posterior import Posterior
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import FaultList
from perfmodel.source_positions import Marks
from perfmodel.specfile import read, validate

Number = Annotated[float, Field(allow_inf_nan=False)]


class Overlay(BaseModel):
    """File of calibrated facts, as written by `perfmodel calibrate -o`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    overlay_version: int = Field(ge=1, le=2)
    device: str = Field(min_length=1)
    runtime: str = Field(min_length=1)
    fitted_on: str = ""
    facts: dict[str, Number] = Field(min_length=1)
    posterior: Posterior | None = None
    left_out: dict[str, Any] | None = None
    """Field of version 1, accepted and ignored: a single interval for all predictions."""

    def values(self) -> dict[str, Quantity]:
        """Return path -> value with provenance, in the form of a `Machine` overlay."""
        return {
            path: Quantity(value=value, confidence="fitted", fitted_on=self.fitted_on or None)
            for path, value in self.facts.items()
        }


def read_overlay(path: str | Path) -> Overlay:
    """Read an overlay file.

    Raises
    ------
    InputError
        Lists every fault of the file, with its location.
    """
    file = Path(path)
    data, marks = read(file)
    return validate(Overlay, data, marks, str(file))


def apply_calibration(path: str | Path, device: Device, runtime: Runtime | None) -> Machine:
    """Return a device with the facts of an overlay file.

    Parameters
    ----------
    path
        An overlay file.
    device, runtime
        Device and runtime that the file must be a calibration of; None accepts the file's runtime.

    Raises
    ------
    InputError
        Lists every fault of the file, with its location: another device or runtime, an unknown
        fact, a value out of range.
    """
    file = Path(path)
    data, marks = read(file)
    overlay = validate(Overlay, data, marks, str(file))
    faults = FaultList()
    names = {"device": (device.name, overlay.device)}
    if runtime is None:
        runtime = faults.trying(find_runtime, overlay.runtime)
    else:
        names["runtime"] = (runtime.name, overlay.runtime)
    for key, (wanted, stated) in names.items():
        if wanted != stated:
            faults.append(Fault(f"is a calibration of {stated}", path=key, expected=wanted))
    machine = (
        None
        if runtime is None
        else faults.trying(Machine, device, runtime, overlay.values(), overlay.posterior)
    )
    if machine is not None and not faults:
        return machine
    placed = [_with_position(fault, marks, str(file)) for fault in faults]
    placed.sort(key=lambda fault: (fault.line, fault.column))
    raise InputError(placed)


def _with_position(fault: Fault, marks: Marks, file: str) -> Fault:
    """Return a fault with the location of its key; the path of a fact is one key of ``facts``."""
    at = ("facts", fault.path) if marks.has(("facts", fault.path)) else (fault.path or "runtime",)
    line, column = marks.at(at, key=at[0] == "facts")
    return replace(fault, file=file, line=line, column=column)


def apply_calibration_by_name(
    device: str | Path | Device, runtime: str | Path | Runtime | None, path: str | Path
) -> Machine:
    """Return a device, by name or path, with the facts of an overlay file.

    Parameters
    ----------
    device, runtime
        Device and runtime that the file must be a calibration of; None accepts the file's runtime.
    path
        An overlay file, as `perfmodel calibrate -o` writes it.

    Raises
    ------
    InputError
        Lists every fault of the names and of the file.
    """
    faults = FaultList()
    spec = faults.trying(hardware, device)
    used = None if runtime is None else faults.trying(find_runtime, runtime)
    if spec is not None and not faults:
        return apply_calibration(path, spec, used)
    faults.trying(read_overlay, path)
    raise InputError(faults)
