"""Rows of kernels: hardware, what ran, its shape as ``name=number`` words, a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.measurements import read_rows

__all__ = ["KernelRow", "device_of", "kernel_rows"]

COLUMNS: Final = ("hardware", "model_or_op", "shape", "dtype")

_WORD: Final = re.compile(r"(\w+)=(\S+)")
_SECONDS: Final[Mapping[str, float]] = {"ms": 1e-3, "us": 1e-6, "s": 1.0}


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One measured kernel.

    Attributes
    ----------
    hardware, operation, dtype
        As the file has them.
    shape
        Word -> number.
    words
        Word -> text, for those that are no numbers (``dist=balanced``).
    seconds
        Measured.
    """

    hardware: str
    operation: str
    dtype: str
    shape: Mapping[str, float]
    words: Mapping[str, str]
    seconds: float

    def lacks(self, *words: str) -> str:
        """Return why the row cannot be predicted where its shape lacks words; else nothing."""
        missing = [word for word in words if word not in self.shape]
        return f"a shape without {', '.join(missing)}" if missing else ""

    @property
    def name(self) -> str:
        """How reports name the row."""
        shape = " ".join(f"{k}={v:g}" for k, v in self.shape.items())
        return f"{self.hardware} {self.operation} {self.dtype} {shape}".replace("  ", " ")


def kernel_rows(path: Path, *, value: str = "value", unit: str = "") -> Iterator[KernelRow]:
    """Yield the rows of a file whose value is a time.

    Parameters
    ----------
    path
        CSV, or gzipped CSV.
    value
        Column of the time.
    unit
        Its unit; by default the one that the column ``unit`` names.

    Raises
    ------
    InputError
        Columns that are missing, values that are no numbers: all at once.
    """
    rows = read_rows(path)
    faults = rows.missing((*COLUMNS, value, *(() if unit else ("unit",))))
    if faults:
        raise InputError(faults)
    for row in rows:
        scale = _SECONDS.get(unit or row.get("unit"))
        if scale is None:  # tokens a second of whole models
            continue
        seconds = rows.number(row, value, faults, scale=scale)
        if seconds is None:
            continue
        shape: dict[str, float] = {}
        words: dict[str, str] = {}
        for name, text in _WORD.findall(row.get("shape")):
            try:
                shape[name] = float(text)
            except ValueError:
                words[name] = text
        yield KernelRow(
            row.get("hardware"), row.get("model_or_op"), row.get("dtype"), shape, words, seconds
        )
    if faults:
        raise InputError(faults)


def device_of(name: str, devices: Sequence[str | Path]) -> Device:
    """Return the device that a file calls by its product name (``NVIDIA H100 80GB HBM3``).

    Devices have such names, in snake case, among their aliases.

    Raises
    ------
    InputError
        There is no such device.
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    for tried in (plain, plain.removeprefix("nvidia_")):
        try:
            return hardware(tried, devices)
        except InputError:
            continue
    raise InputError(Fault(f"no device of the library is '{name}'", path="hardware"))
