"""GPUs as measurements name them, and arrays of their facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.errors import Fault, InputError

from perfmodel_studies.tables import table

__all__ = ["device_named", "fact_columns", "finder", "with_devices"]

Floats = npt.NDArray[np.float64]

#: What a driver, a data set or a benchmark prints -> device of the library.
NAMES: Final[Mapping[str, str]] = table("gpu_names")

_MAKERS: Final = re.compile(r"^(nvidia|amd|nv|tesla|geforce|instinct|radeon)_")


def device_named(text: str, devices: Sequence[str | Path] = ()) -> pm.Device:
    """Return the device that a measurement names.

    Parameters
    ----------
    text
        Such as ``NVIDIA H100 80GB HBM3``, ``Tesla T4``, ``h200_sxm``.
    devices
        Folders with more specs.

    Raises
    ------
    InputError
        The library has none; the fault names what was printed.
    """
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    tries = [plain]
    while (short := _MAKERS.sub("", plain)) != plain:
        plain = short
        tries.append(plain)
    tries.append(re.sub(r"_(sxm|sxm5|sxm4|nvl|server|pcie)$", "", plain))
    first: InputError | None = None
    for name in dict.fromkeys(NAMES.get(each, each) for each in tries):
        try:
            return pm.hardware(name, devices)
        except InputError as error:
            first = first or error
    close = first.faults[0].suggestion if first else ""
    raise InputError(Fault(f"no device is named '{text}'", suggestion=close))


def finder(devices: Sequence[str | Path] = ()) -> Callable[[str], pm.Device | str]:
    """Return a function that finds a device by a name as written, or says why there is none."""

    @cache
    def find(text: str) -> pm.Device | str:
        try:
            return device_named(text, devices)
        except InputError as error:
            return str(error.faults[0])

    return find


class _OfHardware(Protocol):
    @property
    def hardware(self) -> str: ...


_Row = TypeVar("_Row", bound=_OfHardware)


def with_devices(
    rows: Iterable[_Row], devices: Sequence[str | Path] = ()
) -> list[tuple[_Row, pm.Device]]:
    """Return the rows of devices that are known, each with its device."""
    find = finder(devices)
    matched = [(row, find(row.hardware)) for row in rows]
    return [(row, device) for row, device in matched if isinstance(device, pm.Device)]


def fact_columns(
    devices: Sequence[pm.Device], paths: Mapping[str, str | Sequence[str]], default: float = np.nan
) -> dict[str, Floats]:
    """Return facts of devices as columns, one entry a row.

    Parameters
    ----------
    found
        Device of each row.
    paths
        Column -> path of a fact (``memories.main.bandwidth`` is main memory's, ``engine.`` stands
        for the default engine's), or paths of which the first that is stated counts.
    default
        Where a device states none of them.
    """
    cache: dict[str, dict[str, float]] = {}
    for device in devices:
        if device.name not in cache:
            cache[device.name] = {c: _fact(device, p, default) for c, p in paths.items()}
    return {c: np.array([cache[d.name][c] for d in devices]) for c in paths}


def _fact(device: pm.Device, paths: str | Sequence[str], default: float) -> float:
    machine = device.machine("ideal")
    facts: Any = machine.facts
    near = [m.name for m in machine.hierarchy()]
    swaps = {
        "engine.": f"engines.{machine.engine}.",
        "memories.main.": f"memories.{machine.main_memory}.",
        "memories.near.": f"memories.{near[0]}.",
    }
    for path in (paths,) if isinstance(paths, str) else paths:
        full = path
        for word, real in swaps.items():
            if path.startswith(word):
                full = real + path.removeprefix(word)
        if full in facts:
            return float(facts[full])
    return default
