"""Registry of operators from ``workloads/operators``: shapes, prices, names in other formats.

A format with an operator of the same meaning as in ONNX looks it up by the format's own name
(`called`). A new operator is an entry of the YAML; a custom shape rule or price is a function in a
module of this folder, which the entry names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from perfmodel.specfile import shipped
from perfmodel.workload.importers.onnx import (
    attention,
    convolutions,
    created,
    fused,
    learned,
    lookups,
    movement,
    own,
    pointwise,
    pricing,
    products,
    qonnx,
    quantised_operators,
    recurrent,
    selections,
    signals,
)
from perfmodel.workload.importers.onnx.pricing import Pricing
from perfmodel.workload.importers.onnx.shapes import Rule
from perfmodel.workload.vector_functions import FUNCTIONS as VECTOR_FUNCTIONS

#: Modules with the functions that the entries name.
MODULES: Final = (
    *(attention, convolutions, created, fused, learned, lookups, movement, own, pointwise),
    *(pricing, products, qonnx, quantised_operators, recurrent, selections, signals),
)


AxisRelation: TypeAlias = Literal["", "untransposed", "by_channel", "to_space", "to_depth"]


class RegisteredOperator(NamedTuple):
    """An operator.

    Attributes
    ----------
    name
        Name in ONNX.
    shape
        Shape rule; ``None`` if the file or the onnx package states the shapes.
    price
        Pricing function, which adds nests and operations to a graph.
    also
        Names of the same operator in other formats.
    relation
        Relation between its axes in addition to that of its class (`perfmodel.workload.rewrite`).
    """

    name: str
    shape: Rule | None
    price: Pricing | None
    also: tuple[str, ...] = ()
    relation: AxisRelation = ""


#: Name, in any format -> operator.
Group: TypeAlias = Mapping[str, RegisteredOperator]


def plain(name: str) -> str:
    """Return a name in lower case without underscores."""
    return name.lower().replace("_", "")


def called(name: str, *groups: Group) -> RegisteredOperator | None:
    """Return the operator that a format calls `name`, from the first group that has it."""
    return next((match for g in groups if (match := g.get(plain(name))) is not None), None)


def by_name(*groups: Iterable[RegisteredOperator]) -> Group:
    """Return operators by their ONNX names."""
    return {operator.name: operator for group in groups for operator in group}


def spelled(group: Group) -> Group:
    """Return operators by their ONNX names and by all names in other formats."""
    names = {plain(name): each for each in group.values() for name in (each.name, *each.also)}
    return {**names, **group}


def operator_groups(name: str, modules: Iterable[ModuleType]) -> dict[str, Group]:
    """Return the groups in a file of operators, by ONNX names.

    Parameters
    ----------
    name
        The file in ``workloads``; ``workloads/operators/onnx.yaml`` documents the entries.
    modules
        Modules with the functions that its entries name.
    """
    functions = {module.__name__.rpartition(".")[2]: vars(module) for module in modules}

    def named(path: str | None) -> Any:
        module, _, function = (path or "").partition(".")
        return functions[module][function] if path else None

    def operator(name: str, entry: dict[str, Any]) -> RegisteredOperator:
        shape, price = (named(entry.pop(key, None)) for key in ("shape", "price"))
        also, relation = tuple(entry.pop("also", ())), entry.pop("relation", "")
        price = partial(price, **entry) if entry else price
        return RegisteredOperator(name, shape, price, also, relation)

    return {
        group: by_name(
            operator(op, {**stated.get("default", {}), **(entry or {})})
            for op, entry in stated["operators"].items()
        )
        for group, stated in shipped("workloads", name).items()
    }


#: Groups of operators by their ONNX names.
GROUPS: Final = operator_groups("operators/onnx.yaml", MODULES)

REDUCTIONS, NORMS, POOLS, COPIES, LOOKUPS, VIEWS, FILLED, TRANSFORMS = (
    spelled(GROUPS[name])
    for name in (
        *("reductions", "norms", "pools", "copies", "lookups"),
        *("views", "filled", "transforms"),
    )
)


def _functions() -> Group:
    """Return all elementwise functions; those with one name in every format broadcast."""
    functions = spelled(GROUPS["functions"])
    plainly = (
        RegisteredOperator(
            "".join(part.capitalize() for part in name.split("_")),
            pointwise.broadcasting,
            partial(pointwise.elementwise, cost=name),
        )
        for name in VECTOR_FUNCTIONS
        if plain(name) not in {*functions, *TRANSFORMS}
    )
    return {**spelled(by_name(plainly)), **functions}


FUNCTIONS: Final = _functions()
