"""Check that a text's arithmetic is true."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_LINE = re.compile(r"(\w+) = (.+) = ([-+.\deE]+)$")


def arithmetic(text: str) -> float:
    """Evaluate plain arithmetic: numbers, ``+ - * / **``, ``max`` and ``min``.

    Raises
    ------
    ValueError
        Anything else stands in the text.
    """
    return _value(ast.parse(text, mode="eval").body)


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        pick: dict[str, Callable[..., float]] = {"max": max, "min": min}
        if node.func.id in pick:
            return pick[node.func.id](*(_value(a) for a in node.args))
    raise ValueError(f"not plain arithmetic: {ast.unparse(node)}")


def check_explanation(text: str, latency_s: float, *, rel: float = 1e-6) -> dict[str, int]:
    """Evaluate every ``name = expression = number`` line of an explanation.

    Returns
    -------
    dict of name to how many lines were checked

    Raises
    ------
    AssertionError
        An expression does not give its number, or ``latency_s`` is not the prediction's.
    """
    seen: dict[str, int] = {}
    for line in text.splitlines():
        match = _LINE.search(line)
        if not match:
            continue
        name, expression, number = match.groups()
        value = arithmetic(expression)
        assert abs(value - float(number)) <= rel * abs(float(number)), line
        if name == "latency_s":
            assert abs(float(number) - latency_s) <= rel * latency_s, line
        seen[name] = seen.get(name, 0) + 1
    assert seen.get("latency_s") == 1, "the explanation does not open latency_s"
    assert seen.get("row_s"), "the explanation opens no row"
    return seen
