"""Names of networks in vendors' tables, and the workloads of the library that they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

__all__ = ["listed"]

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
