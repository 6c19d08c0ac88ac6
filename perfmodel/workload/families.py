"""Families of parametric models: what a workload file's ``family`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.shipped import data_root

if TYPE_CHECKING:
    from pydantic import BaseModel

    from perfmodel.workload.graph import Graph
    from perfmodel.workload.symbols import Dim


class ExecutionSemantics(NamedTuple):
    """What a runtime executes of a network; facts of the runtime, not of the network.

    Attributes
    ----------
    head_on_every_token
        A prefill runs the classifier on every token instead of the last.
    runs_dead_branches
        Operators whose result nothing reads are executed.
    """

    head_on_every_token: bool = False
    runs_dead_branches: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """A family of parametric models.

    Attributes
    ----------
    name
        As a workload file names it.
    structure
        Frozen, hashable pydantic model of what shapes the graph (layers, widths, phase).
    parameters
        ``structure -> {name: default}``: the free dimensions (``batch``, ``context`` ...), each of
        which may be bound to a number or an array.
    build
        ``(structure, semantics) -> Graph`` with the free dimensions as symbols of those names.
    items
        ``structure -> (unit, dimension)``: what one run yields, such as ``("tokens", batch)``.
    """

    name: str
    structure: type[BaseModel]
    parameters: Callable[[Any], Mapping[str, float]]
    build: Callable[[Any, ExecutionSemantics], Graph]
    items: Callable[[Any], tuple[str, Dim]]


#: Family name -> module that holds it as ``FAMILY_<NAME>``; imported when asked for.
BUILT_IN: Mapping[str, str] = {
    "transformer": "perfmodel.workload.transformer",
    "streaming": "perfmodel.workload.streaming",
    "layers": "perfmodel.workload.layers",
}


#: Keys that make the structure of a plain graph a template, and so a family of its own.
_TEMPLATE = frozenset({"extends", "fields", "refuse", "tables", "blocks", "folded"})


def is_template(structure: Mapping[str, Any]) -> bool:
    """Tell whether the structure of a plain graph has fields or blocks."""
    return not _TEMPLATE.isdisjoint(structure)


@lru_cache
def family_files() -> Mapping[str, Path]:
    """Return the families that a template states, in YAML: name and file."""
    return {
        path.stem: path for path in sorted((data_root("workloads") / "families").glob("*.yaml"))
    }


def family_names() -> list[str]:
    """Return the names of the families of the library."""
    return sorted({*BUILT_IN, *family_files()})


def family(name: str) -> Family:
    """Return a family by name: those of the library, then entry points ``perfmodel.families``.

    Raises
    ------
    KeyError
        No such family.
    """
    from importlib import import_module
    from importlib.metadata import entry_points

    if name in BUILT_IN:
        return getattr(import_module(BUILT_IN[name]), f"FAMILY_{name.upper()}")
    if name in family_files():
        from perfmodel.workload.template_family import template_family

        return template_family(name)
    for point in entry_points(group="perfmodel.families", name=name):
        return point.load()
    raise KeyError(name)
