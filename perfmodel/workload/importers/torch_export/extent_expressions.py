"""Parser of the SymPy expressions that torch.export writes for extents; nothing is evaluated.

``srepr`` writes ``Add(Symbol('s0', integer=True), Integer(1))``, which is Python syntax: the text
is parsed with `ast`, and its calls are mapped to polynomials of free dimensions.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final

from perfmodel.workload.importers.onnx.symbolic_extents import floor_div as divided
from perfmodel.workload.importers.onnx.symbolic_extents import larger, smaller
from perfmodel.workload.symbols import Dim, constant, product, simplify, symbol

_LONGEST: Final = 4000

#: Functions of any number of arguments -> binary function to fold them with.
_FOLDED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "Max": larger,
    "Min": smaller,
}


class ExpressionError(Exception):
    """An expression that this parser does not support."""


def parse_symbol(text: str) -> str | None:
    """Return the name if an expression is a single symbol, else ``None``."""
    try:
        return _symbol(ast.parse(text[:_LONGEST], mode="eval").body)
    except (ExpressionError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parse_extent(text: str, names: Mapping[str, str]) -> Dim:
    """Return an expression as a dimension.

    Parameters
    ----------
    text
        Expression as SymPy's ``srepr`` writes it: ``Add(Symbol('s0', integer=True), Integer(1))``.
    names
        Name of a symbol -> name of the free dimension.

    Raises
    ------
    ExpressionError
        The expression is malformed or contains an unknown function.
    """
    if len(text) > _LONGEST:
        raise ExpressionError("is too long")
    try:
        return simplify(_value(ast.parse(text, mode="eval").body, names))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(str(error) or "is nested too deeply") from None


def _symbol(node: ast.expr) -> str:
    """Return the name in a call of ``Symbol``."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ExpressionError("is not a call")
    first = node.args[0] if node.args else None
    if node.func.id not in {"Symbol", "Dummy"} or not isinstance(first, ast.Constant):
        raise ExpressionError(f"'{node.func.id}' is not a symbol")
    return str(first.value)


def _value(node: ast.expr, names: Mapping[str, str]) -> Dim:
    """Return a syntax tree as a dimension."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return simplify(-1 * _value(node.operand, names))
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ExpressionError("is not a call")
    name = node.func.id
    if name == "Symbol":
        stated = _symbol(node)
        return symbol(names.get(stated, stated))
    values = [_value(a, names) for a in node.args]
    if name == "Integer" and len(values) == 1:
        return values[0]
    if name in _FOLDED and values:
        return reduce(_FOLDED[name], values)
    if name in {"FloorDiv", "CleanDiv"} and len(values) == 2:
        by = constant(values[1])
        if by is not None and by > 0 and by == int(by):
            return divided(values[0], int(by))
    if name == "Pow" and len(values) == 2 and constant(values[1]) in {1, 2, 3}:
        return product(*values[:1] * int(constant(values[1]) or 1))
    raise ExpressionError(f"has a '{name}' that is not known")
