"""What the columns of the HELP files are: devices of the library, runtimes, and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from perfmodel.hardware import Source, Spec
from perfmodel.specfile import read, validate
from pydantic import Field

__all__ = ["Column", "Skipped", "columns_of"]

_FILE = Path(__file__).parent / "columns.yaml"

#: Batches that a suffix may name.
_BATCHES: Final = ("1", "32", "64", "256")


class HelpPlatform(Spec):
    """Where a column's networks ran."""

    device: str
    """Device of the library."""
    runtime: str
    """Runtime of the library."""
    group: Literal["gpu", "server_cpu", "phone", "compiled"]
    """Class of machines that errors are reported by."""
    form: Literal["eager", "compiled"] = "eager"
    """Dispatched operator by operator, or converted first."""
    note: str | None = None
    """What was assumed."""


class Devices(Spec):
    """The file of all columns."""

    schema_version: Literal[1]
    """Version of this form."""
    sources: Mapping[str, Source] = Field(default_factory=dict[str, Source])
    """Documents, by key."""
    devices: Mapping[str, HelpPlatform]
    """Name of a column, without its batch -> where it was measured."""
    sums: Mapping[str, tuple[str, ...]]
    """Space -> columns that are sums of a table's or a simulator's terms."""


class Column(NamedTuple):
    """A column that can be predicted.

    Attributes
    ----------
    name
        As in the file.
    place
        Device, runtime and form.
    batch
        Images at once.
    """

    name: str
    place: HelpPlatform
    batch: int


class Skipped(NamedTuple):
    """A column that is not predicted, and why."""

    name: str
    reason: str


@lru_cache(maxsize=1)
def _devices() -> Devices:
    data, marks = read(_FILE)
    return validate(Devices, data, marks, _FILE.name)


def columns_of(space: str, names: Sequence[str]) -> tuple[list[Column], list[Skipped]]:
    """Return the columns of a file that are latencies, told apart.

    Parameters
    ----------
    space
        Name of the space of architectures.
    names
        Columns, without those that name the architecture.
    """
    known = _devices()
    sums = {*known.sums["all"], *known.sums.get(space, ())}
    columns: list[Column] = []
    skipped: list[Skipped] = []
    for name in names:
        head, _, tail = name.rpartition("_")
        batched = tail in _BATCHES and head in known.devices
        device = head if batched else name
        if device in sums:
            skipped.append(Skipped(name, "sums of a table's or a simulator's terms, not measured"))
        elif device not in known.devices:
            skipped.append(Skipped(name, "no device of the library is known by this column"))
        else:
            columns.append(Column(name, known.devices[device], int(tail) if batched else 1))
    return columns, skipped
