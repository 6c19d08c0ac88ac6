"""Names of networks in vendors' tables, and the workloads of the library that they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import yaml
from perfmodel.errors import Fault, InputError
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

__all__ = ["listed", "network"]

_TABLE = Path(__file__).with_name("networks.yaml")


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    return cast("Mapping[str, Mapping[str, Any]]", yaml.safe_load(_TABLE.read_text("utf-8")))


def listed(table: str, name: str) -> dict[str, Any] | None:
    """Return the workload that a table calls by a name, with its settings; ``None`` if unlisted.

    Parameters
    ----------
    table
        Data set.
    name
        As its rows have it, in lower case.
    """
    entry = _tables().get(table, {}).get(name)
    if entry is None:
        return None
    return {"workload": entry} if isinstance(entry, str) else dict(entry)


@lru_cache(maxsize=1024)
def network(
    table: str, name: str, batch: float = 1.0, size: tuple[float, float] | None = None
) -> Workload:
    """Return the workload that a table calls by a name.

    Parameters
    ----------
    table
        Data set.
    name
        As its rows have it; one that the table of names lacks is looked up in the library itself.
    batch
        Frames of a run.
    size
        Rows and columns of a frame, where the table states them; the workload's own otherwise.

    Raises
    ------
    InputError
        The library has no graph of it.
    """
    bare = name.lower().rstrip("\u2b50 ")
    said = listed(table, bare) or {"workload": re.sub(r"[^a-z0-9]+", "_", bare).strip("_")}
    try:
        found = find(str(said.pop("workload")), {})
    except InputError:
        raise InputError(Fault(f"no graph of the library is {table}'s '{bare}'")) from None
    numbers: dict[str, float] = {"batch": batch}
    if size is not None:
        numbers |= {"height": size[0], "width": size[1]}
    return found.bind({k: v for k, v in (numbers | said).items() if k in found.parameters})
