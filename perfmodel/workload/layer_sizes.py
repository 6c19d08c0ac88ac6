"""Extents written in a plain graph: numbers, free dimensions and arithmetic on them."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection

from perfmodel.errors import nearest, one_of
from perfmodel.workload.symbols import (
    Dim,
    ceil_div,
    constant,
    divisible,
    floor_div,
    maximum,
    minimum,
    simplify,
    symbol,
)

#: Largest extent that is taken for one.
LIMIT = 1e12
_LONGEST = 200
EXPECTED = "a whole number from 1 to 1e12, a free dimension, or arithmetic on them"


class SizeError(ValueError):
    """An extent that is none; carries what would have been accepted and what was meant."""

    def __init__(self, message: str, suggestion: str = "", expected: str = EXPECTED) -> None:
        super().__init__(message)
        self.suggestion = suggestion
        self.expected = "" if suggestion else expected


def parse_extent(value: object, names: Collection[str]) -> Dim:
    """Read an extent.

    Parameters
    ----------
    value
        A number, or a text such as ``height``, ``4 * hidden``, ``height // 2`` or
        ``divisible(32 * width, 8)`` (also ``ceil_div``, ``minimum``, ``maximum``).
    names
        The free dimensions.

    Raises
    ------
    SizeError
        No extent: not a number, below 1, not whole, not finite, or a name that is not declared.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SizeError(f"{_shown(value)} is not an extent")
    if not isinstance(value, str):
        return checked_extent(value)
    text = value.strip()
    if len(text) > _LONGEST:
        raise SizeError(f"an expression of {len(text)} characters", expected="at most 200")
    try:
        tree = ast.parse(text, mode="eval")
        result = simplify(_evaluate(tree.body, names))
    except SizeError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SizeError(f"'{text}' is not an extent") from None
    except (ZeroDivisionError, OverflowError):
        raise SizeError(f"'{text}' divides by zero or overflows") from None
    return checked_extent(result)


def checked_extent(dim: Dim, what: str = "extent") -> Dim:
    """Return a dimension whose fixed value, if it has one, is an extent.

    Raises
    ------
    SizeError
        Otherwise.
    """
    number = constant(dim)
    if number is None:
        return dim
    if not math.isfinite(number):
        raise SizeError(f"{number} is not a finite number")
    if number != int(number):
        raise SizeError(f"{what} {number:g} is not whole")
    if number < 1:
        raise SizeError(f"{what} {number:g} is below 1")
    if number > LIMIT:
        raise SizeError(f"{what} {number:g} is beyond {LIMIT:g}")
    return int(number)


def _evaluate(node: ast.expr, names: Collection[str]) -> Dim:
    """Evaluate the few forms that an extent may take; anything else is refused."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            if abs(number) > LIMIT:
                raise SizeError(f"'{ast.unparse(node)[:24]}' is beyond {LIMIT:g}")
            return number
        case ast.Name(id=name):
            if name not in names:
                meant = nearest(name, names)
                declared = "one of the parameters " + ", ".join(sorted(names))
                raise SizeError(
                    f"no free dimension '{name}'", meant,
                    declared if names else "a number (no parameters are declared)",
                )  # fmt: skip
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return 0 - _evaluate(operand, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(_evaluate(left, names), op, _evaluate(right, names))
        case ast.Call(func=ast.Name(id=function), args=args, keywords=[]) if len(args) == 2:
            a, b = (_evaluate(arg, names) for arg in args)
            return _call(function, a, b)
        case _:
            raise SizeError(f"'{ast.unparse(node)}' is not an extent")


def _binary(a: Dim, op: ast.operator, b: Dim) -> Dim:
    match op:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Div():
            return a / b
        case ast.FloorDiv():
            return floor_div(a, _divisor(b))
        case _:
            raise SizeError("only + - * / and // are extents", expected=EXPECTED)


def _call(function: str, a: Dim, b: Dim) -> Dim:
    match function:
        case "divisible":
            return divisible(a, _divisor(b))
        case "ceil_div":
            return ceil_div(a, _divisor(b))
        case "minimum" | "min":
            return minimum(a, b)
        case "maximum" | "max":
            return maximum(a, b)
        case _:
            known = ("divisible", "ceil_div", "minimum", "maximum")
            raise SizeError(f"no function '{function}'", nearest(function, known), one_of(known))


def _divisor(dim: Dim) -> int:
    number = constant(dim)
    if number is None or number != int(number) or number < 1:
        raise SizeError(f"the divisor {dim} is not a whole number", expected="a number from 1")
    return int(number)


def _shown(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return "a list" if not isinstance(value, dict) else "a mapping"
    return {"None": "nothing", "True": "true", "False": "false"}.get(str(value), repr(value))
