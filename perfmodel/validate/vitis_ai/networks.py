"""Networks of Vitis AI's tables as workloads of the library, and which of their names have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.specfile import read, validate
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

__all__ = ["Network", "network", "why_not", "workload_of"]

_FILE: Final = Path(__file__).parent / "networks.yaml"
#: How far a workload's operations may be from those that a table states of its network.
TOLERANCE: Final = 0.05
_PRUNED: Final = re.compile(r"pruned|prune_|_0\.\d+_3\.5$|_0\.\d{2}(?:_|$)")


class Network(BaseModel):
    """A network of the tables.

    Attributes
    ----------
    workload, settings
        In the library.
    family
        What errors are grouped by.
    stated
        Whether the table counts operations or multiply-accumulates of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: str
    settings: Mapping[str, Any] = Field(default_factory=dict)
    family: str
    stated: Literal["operations", "macs"] = "operations"


class _Networks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    networks: Mapping[str, Network]


@cache
def _networks() -> Mapping[str, Network]:
    data, marks = read(_FILE)
    return validate(_Networks, data, marks, _FILE.name).networks


def network(model: str) -> Network | None:
    """Return the network of a name in the tables; ``None`` where the library has no graph."""
    return _networks().get(model)


@cache
def workload_of(name: str, images: int) -> Workload:
    """Return the workload of a network of the tables for so many images at a time."""
    found = _networks()[name]
    return find(found.workload, {**found.settings, "batch": images})


def why_not(model: str, stated: float | None) -> str:
    """Return why a row has no prediction; empty where it has one.

    Parameters
    ----------
    stated
        Operations, in units of 1e9, that the table states; ``None`` where it states none.
    """
    found = network(model)
    if found is None:
        return "pruned widths are not published" if _PRUNED.search(model) else "no graph"
    if stated is None:
        return ""
    made = float(workload_of(model, 1).macs) * (2.0 if found.stated == "operations" else 1.0) / 1e9
    if abs(made / stated - 1.0) > TOLERANCE:
        return f"the graph of {found.workload} has other operations than the row states"
    return ""
