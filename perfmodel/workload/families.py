"""Registry of the families of networks, which the key ``family`` of a workload file selects.

A family maps a structure (layers, widths, phase) to a graph with free dimensions. Most families are
YAML templates in ``workloads/families/``; transformers, streaming loops and plain graphs are Python
modules, and other packages can add families by entry points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.package_data import data_root

if TYPE_CHECKING:
    from pydantic import BaseModel

    from perfmodel.workload.graph import Graph
    from perfmodel.workload.symbols import Dim


class ExecutionSemantics(NamedTuple):
    """Properties of a runtime that determine which operators of a network it executes.

    Attributes
    ----------
    head_on_every_token
        Whether a prefill runs the classifier on every token instead of the last only.
    runs_dead_branches
        Whether operators with unused results are executed.
    """

    head_on_every_token: bool = False
    runs_dead_branches: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """A family of parametric models.

    Attributes
    ----------
    name
        Name in a workload file.
    structure
        Frozen, hashable pydantic model of the properties that determine the graph (layers, widths,
        phase).
    parameters
        ``structure -> {name: default}``: the free dimensions (``batch``, ``context`` ...), each of
        which may be bound to a number or an array.
    build
        ``(structure, semantics) -> Graph`` with the free dimensions as symbols of those names.
    items
        ``structure -> (unit, dimension)``: unit and number of one run's results, such as
        ``("tokens", batch)``.
    runtimes
        Software that its networks are usually run with, in order of preference.
    """

    name: str
    structure: type[BaseModel]
    parameters: Callable[[Any], Mapping[str, float]]
    build: Callable[[Any, ExecutionSemantics], Graph]
    items: Callable[[Any], tuple[str, Dim]]
    runtimes: tuple[str, ...] = ()


#: Family name -> module that defines it as ``FAMILY_<NAME>``; imported on first use.
BUILT_IN: Mapping[str, str] = {
    "transformer": "perfmodel.workload.transformer",
    "streaming": "perfmodel.workload.streaming",
    "layers": "perfmodel.workload.plain_graph",
}


#: Keys that make the structure of a plain graph a template, which is a family by itself.
_TEMPLATE = frozenset({"extends", "fields", "refuse", "tables", "blocks", "folded"})


def is_template(structure: Mapping[str, Any]) -> bool:
    """Return whether the structure of a plain graph has fields or blocks."""
    return not _TEMPLATE.isdisjoint(structure)


@lru_cache
def family_files() -> Mapping[str, Path]:
    """Return the YAML files of the families that are stated as templates, by name."""
    return {
        path.stem: path for path in sorted((data_root("workloads") / "families").glob("*.yaml"))
    }


def family_names() -> list[str]:
    """Return the names of the library's families."""
    return sorted({*BUILT_IN, *family_files()})


def family(name: str) -> Family:
    """Return a family by name, from the library or from entry points ``perfmodel.families``.

    Raises
    ------
    KeyError
        The family is unknown.
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
