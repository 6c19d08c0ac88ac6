"""Networks of Vitis AI's tables as workloads of the library, and which of their names have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from perfmodel.specfile import read, validate
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["VitisAiNetwork", "network", "why_not", "workload_of"]

_FILE: Final = Path(__file__).parent / "networks.yaml"
#: How far a workload's operations may be from those that a table states of its network.
TOLERANCE: Final = 0.05
#: Largest value of a setting that pruning lowers (channels of a ResNet's blocks for each 64).
LARGEST: Final = 64
_PRUNED: Final = re.compile(r"pruned|prune_|_0\.\d+_3\.5$|_0\.\d{2}(?:_|$)")


class VitisAiNetwork(BaseModel):
    """A network of the tables.

    Attributes
    ----------
    workload, settings
        In the library.
    family
        What errors are grouped by.
    stated
        Whether the table counts operations or multiply-accumulates of it.
    pruned
        Setting, a whole number, that a pruned network has less of: the one that comes nearest to
        the operations which the table states is taken. Widths of pruned networks are not
        published; of a ResNet the channels inside its blocks are cut alike, those of the residual
        path stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: str
    settings: Mapping[str, Any] = Field(default_factory=dict)
    family: str
    stated: Literal["operations", "macs"] = "operations"
    pruned: str = ""


class _Networks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    networks: Mapping[str, VitisAiNetwork]


@cache
def _networks() -> Mapping[str, VitisAiNetwork]:
    data, marks = read(_FILE)
    return validate(_Networks, data, marks, _FILE.name).networks


def network(model: str) -> VitisAiNetwork | None:
    """Return the network of a name in the tables; ``None`` where the library has no graph."""
    return _networks().get(model)


@cache
def workload_of(name: str, images: int, stated: float | None = None) -> Workload:
    """Return the workload of a network of the tables for so many images at a time.

    Parameters
    ----------
    stated
        Operations, in units of 1e9, that the table states; decides the widths of a pruned network.
    """
    found = _networks()[name]
    settings = {**found.settings, "batch": images}
    if found.pruned and stated is not None:
        settings[found.pruned] = _cut(name, stated)
    return find(found.workload, settings)


@cache
def _cut(name: str, stated: float) -> int:
    """Return the setting of a pruned network that comes nearest to the operations stated."""
    found = _networks()[name]

    def off(value: int) -> float:
        net = find(found.workload, {**found.settings, found.pruned: value})
        return abs(float(net.macs) * 2e-9 - stated)

    # Operations rise with the setting: halve the range, then look at both ends.
    low, high = 1, LARGEST
    while high - low > 1:
        middle = (low + high) // 2
        net = find(found.workload, {**found.settings, found.pruned: middle})
        low, high = (middle, high) if float(net.macs) * 2e-9 < stated else (low, middle)
    return min((low, high), key=off)


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
        return "pruned widths are not published" if found.pruned else ""
    scale = 2e-9 if found.stated == "operations" else 1e-9
    made = float(workload_of(model, 1, stated).macs) * scale
    if abs(made / stated - 1.0) > TOLERANCE:
        return f"the graph of {found.workload} has other operations than the row states"
    return ""
