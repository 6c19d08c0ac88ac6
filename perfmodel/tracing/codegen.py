"""Generation of Python functions from traces: one for floats, one for vectors of points.

Both evaluate the nodes that the requested outputs need, in their order of creation. A variable is
reused after the last use of its value, so that the vectors of a program stay in the CPU's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np

from perfmodel.tracing.column_function import ColumnFunction
from perfmodel.tracing.expression import (
    COMMUTATIVE,
    CONDITIONS,
    MAX_NODES,
    ExpressionGraph,
    Node,
    NotTraceable,
    Operand,
)


def _on_float(function: np.ufunc) -> Callable[..., float]:
    """Return a NumPy function as one of floats that raises an error like those of `math`."""

    def apply(*numbers: float) -> float:
        with np.errstate(all="raise", under="ignore"):
            return float(function(*numbers))

    return apply


_INFIX: Final = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "mod": "%",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "and": "&",
    "or": "|",
}
_IN_PLACE: Final = frozenset({"add", "sub", "mul", "truediv"})
_ON_FLOATS: Final = {
    "neg": "-{0}",
    "maximum": "({0} if {0} >= {1} else {1})",
    "minimum": "({0} if {0} <= {1} else {1})",
    "where": "({1} if {0} else {2})",
    "item": "{0}[{1}]",
}
_ON_VECTORS: Final = {"neg": "-{0}", "item": "{0}[{1}]"}
_NAMES: Final[dict[str, Any]] = {"inf": math.inf, "nan": math.nan}
#: What NumPy and the C library round differently, NumPy computes for floats as well.
_TRANSCENDENTAL: Final = {"pow": np.power, "exp": np.exp, "log": np.log, "log2": np.log2}
_MATH: Final = {
    **_NAMES,
    **{name: _on_float(function) for name, function in _TRANSCENDENTAL.items()},
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
    "sqrt": math.sqrt,
    "abs": abs,
}
_NUMPY: Final = {
    **_NAMES,
    **_TRANSCENDENTAL,
    "ceil": np.ceil,
    "floor": np.floor,
    "round": np.round,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": np.where,
}


class Program:
    """Straight-line program of named outputs over named parameters.

    Parameters
    ----------
    parameters
        Names, in the order of the arguments.
    outputs
        Name -> node or constant.
    nodes
        Nodes of the trace, in an order of evaluation.
    """

    def __init__(
        self, parameters: Iterable[str], outputs: Mapping[str, Operand], nodes: list[Node]
    ) -> None:
        self.parameters = tuple(parameters)
        self.outputs = dict(outputs)
        self._nodes = _needed(nodes, self.outputs.values())

    def narrowed(self) -> Program:
        """Return the program of those parameters that its outputs depend on."""
        own = [node.operands[0] for node in self._nodes if node.operation == "parameter"]
        return Program(own, self.outputs, self._nodes)

    @cached_property
    def on_floats(self) -> Callable[..., dict[str, float]]:
        """Function of floats; fails as Python's arithmetic does, such as on a quotient by zero."""
        return self._function(_MATH, _ON_FLOATS, lambda called: called.on_floats)

    @cached_property
    def on_vectors(self) -> Callable[..., dict[str, Any]]:
        """Function of vectors over points; a result that does not vary is a number."""
        return self._function(_NUMPY, _ON_VECTORS, lambda called: called.on_vectors)

    def _function(
        self,
        names: Mapping[str, Any],
        templates: Mapping[str, str],
        variant: Callable[[ColumnFunction], Callable[..., Any]],
    ) -> Any:
        last = {id(each): -1 for each in _nodes_of(self.outputs.values())}
        for place, node in reversed(list(enumerate(self._nodes))):
            for each in _nodes_of(node.operands):
                last.setdefault(id(each), place)
        variables: dict[int, str] = {}
        scope = dict(names)
        free: list[str] = []
        lines: list[str] = []
        for place, node in enumerate(self._nodes):
            if node.operation == "parameter":
                variables[id(node)] = f"p{self.parameters.index(node.operands[0])}"
                continue
            operation, operands = node.operation, node.operands
            if operation == "columns":
                called, *operands = operands
                operation = f"f{place}"
                scope[operation] = variant(called)
            texts = [_text(each, variables) for each in operands]
            ending = {
                variables[id(o)]: o.operation not in CONDITIONS
                for o in _nodes_of(operands)
                if last[id(o)] == place and variables[id(o)][0] == "v"
            }
            if operation in COMMUTATIVE and not ending.get(texts[0], False):
                texts.reverse()
            if operation in _IN_PLACE and ending.get(texts[0], False):
                # Without a new vector: the operand's is not needed any more.
                variables[id(node)] = texts[0]
                free += [each for each in ending if each != texts[0]]
                lines.append(f"    {texts[0]} {_INFIX[operation]}= {texts[1]}")
                continue
            free += ending
            variables[id(node)] = free.pop() if free else f"v{len(lines)}"
            expression = _expression(operation, texts, templates)
            lines.append(f"    {variables[id(node)]} = {expression}")
        items = ", ".join(f"{n!r}: {_text(v, variables)}" for n, v in self.outputs.items())
        arguments = ", ".join(f"p{i}" for i in range(len(self.parameters)))
        source = "\n".join([f"def program({arguments}):", *lines, f"    return {{{items}}}"])
        exec(compile(source, "<traced program>", "exec"), scope)
        return scope["program"]


def trace(
    function: Callable[[dict[str, Any]], Mapping[str, Any]],
    parameters: Iterable[str],
    most_nodes: int = MAX_NODES,
) -> Program:
    """ExpressionGraph a function of named scalars once, and return its program.

    Parameters
    ----------
    function
        Parameters by name -> outputs by name; its branches must not depend on the parameters.
    most_nodes
        Operations beyond which the program is too long.

    Raises
    ------
    NotTraceable
        It branches on a parameter, calls a function that traced arrays do not have, or is too long.

    Examples
    --------
    >>> program = trace(lambda p: {"area": p["width"] * p["height"]}, ["width", "height"])
    >>> program.on_floats(3.0, 4.0)
    {'area': 12.0}
    """
    nodes = ExpressionGraph(most_nodes)
    names = tuple(parameters)
    try:
        outputs = function({name: nodes.parameter(name) for name in names})
        return Program(names, {n: _scalar(v) for n, v in outputs.items()}, nodes.nodes)
    except (TypeError, ValueError, AttributeError) as error:
        raise NotTraceable(str(error)) from error


def _scalar(value: Any) -> Operand:
    """Return the one number of an output."""
    if isinstance(value, Node):
        return value
    flat = np.asarray(value).reshape(-1)
    if flat.size != 1:
        raise NotTraceable("an output is not a scalar")
    return flat[0] if isinstance(flat[0], Node) else float(flat[0])


def _needed(nodes: list[Node], outputs: Iterable[Operand]) -> list[Node]:
    """Return the nodes on which outputs depend, in their order."""
    needed = {*map(id, _nodes_of(outputs))}
    out: list[Node] = []
    for node in reversed(nodes):
        if id(node) in needed:
            out.append(node)
            needed.update(map(id, _nodes_of(node.operands)))
    out.reverse()
    return out


def _nodes_of(operands: Iterable[Operand]) -> list[Node]:
    return [each for each in operands if isinstance(each, Node)]


def _text(operand: Operand, variables: Mapping[int, str]) -> str:
    return variables[id(operand)] if isinstance(operand, Node) else f"({operand!r})"


def _expression(operation: str, texts: list[str], templates: Mapping[str, str]) -> str:
    if operation in _INFIX:
        return f" {_INFIX[operation]} ".join(texts)
    if operation in templates:
        return templates[operation].format(*texts)
    return f"{operation}({', '.join(texts)})"
