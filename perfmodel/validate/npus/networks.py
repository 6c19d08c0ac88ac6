"""Names of networks in vendors' tables, and the workloads of the library that they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from perfmodel.errors import Fault, InputError
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

__all__ = ["network"]

_TABLE = Path(__file__).with_name("networks.yaml")


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    return cast("Mapping[str, Mapping[str, Any]]", yaml.safe_load(_TABLE.read_text("utf-8")))


def network(
    table: str, name: str, batch: float = 1.0, size: tuple[float, float] | None = None
) -> Workload:
    """Return the workload that a table calls by a name.

    Parameters
    ----------
    table
        Data set.
    name
        As its rows have it, in any case.
    batch
        Frames of a run.
    size
        Rows and columns of a frame, where the table states them; the workload's own otherwise.

    Raises
    ------
    InputError
        The library has no graph of it.
    """
    known = _tables().get(table, {})
    entry = known.get(name.lower())
    if entry is None:
        raise InputError(Fault(f"no graph of the library is {table}'s '{name}'"))
    said: dict[str, Any] = {"workload": entry} if isinstance(entry, str) else dict(entry)
    workload = str(said.pop("workload"))
    numbers: dict[str, float] = {"batch": batch}
    if size is not None:
        numbers |= {"height": size[0], "width": size[1]}
    try:
        return find(workload, numbers | said)
    except InputError:
        found = find(workload, {})
        if "batch" not in found.parameters:
            raise
        kept = {k: v for k, v in (numbers | said).items() if k in found.parameters}
        return found.bind(kept)
