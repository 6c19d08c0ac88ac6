"""Registry of operators from ``workloads/operators``: shapes, prices, names in other formats.

An entry of the YAML names a shape rule and a price as MODULE.FUNCTION of this folder. A format with
an operator of the same meaning as in ONNX looks it up by the format's own name (`find_by_name`):
``ReLU``, ``RELU`` and ``aten.relu`` are one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from perfmodel.specfile import shipped
from perfmodel.workload.importers.onnx import pointwise
from perfmodel.workload.importers.onnx.output_shapes import ShapeRule
from perfmodel.workload.importers.onnx.pricer import Pricing
from perfmodel.workload.vector_functions import FUNCTIONS as VECTOR_FUNCTIONS

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
    other_names
        Names of the same operator in other formats.
    relation
        Relation between its axes in addition to that of its class (`perfmodel.workload.rewrite`).
    """

    name: str
    shape: ShapeRule | None
    price: Pricing | None
    other_names: tuple[str, ...] = ()
    relation: AxisRelation = ""


#: Name, in any format -> operator.
Group: TypeAlias = Mapping[str, RegisteredOperator]


def normalise_name(name: str) -> str:
    """Return a name in lower case without underscores."""
    return name.lower().replace("_", "")


def find_by_name(name: str, *groups: Group) -> RegisteredOperator | None:
    """Return the operator that a format calls `name`, from the first group that has it."""
    return next((match for g in groups if (match := g.get(normalise_name(name))) is not None), None)


def by_name(*groups: Iterable[RegisteredOperator]) -> Group:
    """Return operators by their ONNX names."""
    return {operator.name: operator for group in groups for operator in group}


def with_format_names(group: Group) -> Group:
    """Return operators by their ONNX names and by all names in other formats."""
    names = {
        normalise_name(name): each
        for each in group.values()
        for name in (each.name, *each.other_names)
    }
    return {**names, **group}


def operator_groups(name: str) -> dict[str, Group]:
    """Return the groups in a file of operators, by ONNX names.

    Parameters
    ----------
    name
        The file in ``workloads``; ``workloads/operators/onnx.yaml`` documents the entries.
    """

    def named(path: str | None) -> Any:
        if path is None:
            return None
        package = "" if path.count(".") > 1 else "onnx."
        return resolve_name(f"perfmodel.workload.importers.{package}{path}")

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
GROUPS: Final = operator_groups("operators/onnx.yaml")

REDUCTIONS, NORMS, POOLS, COPIES, LOOKUPS, VIEWS, GENERATORS, TRANSFORMS = (
    with_format_names(GROUPS[name])
    for name in (
        *("reductions", "norms", "pools", "copies", "lookups"),
        *("views", "filled", "transforms"),
    )
)


def _functions() -> Group:
    """Return all elementwise functions; those with one name in every format broadcast."""
    functions = with_format_names(GROUPS["functions"])
    plainly = (
        RegisteredOperator(
            "".join(part.capitalize() for part in name.split("_")),
            pointwise.broadcast_shape,
            partial(pointwise.price_elementwise, cost=name),
        )
        for name in VECTOR_FUNCTIONS
        if normalise_name(name) not in {*functions, *TRANSFORMS}
    )
    return {**with_format_names(by_name(plainly)), **functions}


FUNCTIONS: Final = _functions()
