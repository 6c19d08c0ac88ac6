"""Expressions of a plain graph: arithmetic over its dimensions, fields, variables and tensors.

An expression is read once and becomes a function of a `Scope`; nothing of it is ever run as code.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel

from perfmodel.errors import nearest, one_of
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import (
    Poly,
    ceil_div,
    constant,
    distinct_experts,
    divisible,
    floor_div,
    maximum,
    minimum,
    nearest_divisor,
    power_law_experts,
    power_of_two,
    product,
    simplify,
)

#: Largest number that is taken for one.
LIMIT: Final = 1e12
_LONGEST: Final = 200
#: Ends the message of a fault that only follows from another.
PENDING: Final = "what is asked of has faults"
EXPECTED: Final = "a whole number from 1 to 1e12, a free dimension, or arithmetic on them"


class SizeError(ValueError):
    """An expression that is none; carries what would have been accepted and what was meant."""

    def __init__(self, message: str, suggestion: str = "", expected: str = EXPECTED) -> None:
        super().__init__(message)
        self.suggestion = suggestion
        self.expected = "" if suggestion else expected


class _NoExpressionError(Exception):
    """A form that no expression has: the text of that part, and what may have been meant."""

    def __init__(self, text: str, suggestion: str = "") -> None:
        super().__init__(text)
        self.text, self.suggestion = text, suggestion

    def fault(self, noun: str) -> SizeError:
        """Return the fault where `noun` was expected."""
        return SizeError(f"'{self.text}' is not {noun}", self.suggestion)


@dataclass(slots=True)
class Scope:
    """What the names of an expression mean.

    Attributes
    ----------
    names
        Free dimensions (symbols), fields, variables.
    results
        Tensors by the layer that makes them, for ``layer.channels``.
    input
        What the layer reads, for ``input.channels``.
    free
        Whether all names are free dimensions.
    """

    names: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    input: Tensor | None = None
    free: bool = False


_Part: TypeAlias = Callable[[Scope], Any]


def evaluated(text: str, scope: Scope, noun: str = "an extent") -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    text
        Such as ``4 * hidden``, ``height // 2``, ``widths[i + 1]``, ``input.channels``,
        ``stride == 1 and depth > 2``, ``3 if deep else 1``, ``divisible(32 * width, 8)``.
    scope
        What its names mean.
    noun
        What it should be, for messages.

    Raises
    ------
    SizeError
        It is none, or has no value: unknown names, a division by zero, texts that are added.
    """
    try:
        value = _expression(text)(scope)
        return simplify(value) if isinstance(value, Poly) else value
    except SizeError:
        raise
    except _NoExpressionError as error:
        raise error.fault(noun) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SizeError(f"'{text}' is not {noun}") from None
    except TypeError as error:
        raise SizeError(f"'{text}' has no value: {error}") from None
    except (ZeroDivisionError, OverflowError):
        raise SizeError(f"'{text}' divides by zero or overflows") from None


def interpolated(text: str, scope: Scope) -> str:
    """Return a text with the values of the expressions that stand in its braces."""
    if "{" not in text:
        return text
    texts, expressions = _pieces(text)
    parts = [texts[0]]
    for expression, after in zip(expressions, texts[1:], strict=True):
        parts += (str(evaluated(expression, scope, "an expression")), after)
    return "".join(parts)


def filled(value: Any, scope: Scope) -> Any:
    """Return plain data with the values of the expressions in its texts.

    A text that is one expression in braces becomes its value, whatever that is.
    """
    if isinstance(value, str):
        texts, expressions = _pieces(value)
        if len(expressions) == 1 and texts == ("", ""):
            return evaluated(expressions[0], scope, "an expression")
        return interpolated(value, scope)
    if isinstance(value, list | tuple):
        return tuple(filled(item, scope) for item in cast("tuple[Any, ...]", value))
    return value


@lru_cache(maxsize=4096)
def _pieces(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = re.split(r"\{([^{}]*)\}", text)
    return tuple(parts[::2]), tuple(parts[1::2])


@lru_cache(maxsize=8192)
def _expression(text: str) -> _Part:
    if len(text) > _LONGEST:
        raise SizeError(f"an expression of {len(text)} characters", expected="at most 200")
    return _part(ast.parse(text.strip(), mode="eval").body)


def _part(node: ast.expr) -> _Part:
    """Return a function of the scope for one of the few forms that an expression may take."""
    match node:
        case ast.Constant(value=bool() | str() as known):
            return lambda scope: known
        case ast.Constant(value=int() | float() as number):
            if abs(number) > LIMIT:
                raise SizeError(f"'{ast.unparse(node)[:24]}' is beyond {LIMIT:g}")
            return lambda scope: number
        case ast.Name(id="true" | "false" | "null" as name):
            word = {"true": True, "false": False, "null": None}[name]
            return lambda scope: word
        case ast.Name(id=name):
            return lambda scope: _named(scope, name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _part(operand)
            return lambda scope: 0 - _number(inner(scope))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _part(operand)
            return lambda scope: not inner(scope)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(_part(left), op, _part(right))
        case ast.BoolOp(op=op, values=values):
            parts, either = [_part(value) for value in values], isinstance(op, ast.Or)
            join = any if either else all
            return lambda scope: join(part(scope) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared([left, *others], ops)
        case ast.IfExp(test=test, body=body, orelse=other):
            condition, yes, no = _part(test), _part(body), _part(other)
            return lambda scope: yes(scope) if condition(scope) else no(scope)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            parts = [_part(item) for item in items]
            return lambda scope: tuple(part(scope) for part in parts)
        case ast.Subscript(value=value, slice=index):
            return _entry(_part(value), _part(index))
        case ast.Attribute(value=ast.Name(id=name), attr=key):
            return _attribute(name, key)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, [_part(arg) for arg in args], ast.unparse(node))
        case _:
            raise _NoExpressionError(ast.unparse(node))


def _named(scope: Scope, name: str) -> Any:
    try:
        return scope.names[name]
    except KeyError:
        if isinstance(listed := scope.results.get(name), list):
            return cast("list[Any]", listed)
        known = [n for n, v in scope.names.items() if not scope.free or isinstance(v, Poly)]
    meant = nearest(name, known)
    if not scope.free:
        raise SizeError(f"nothing is named '{name}' here", meant, one_of(sorted(known)))
    declared = "one of the parameters " + ", ".join(sorted(known))
    raise SizeError(
        f"no free dimension '{name}'",
        meant,
        declared if known else "a number (no parameters are declared)",
    )


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Poly):
        raise TypeError(f"{shown(value)} is not a number")
    return value


def _binary(left: _Part, op: ast.operator, right: _Part) -> _Part:
    match op:
        case ast.Add():
            return lambda scope: _number(left(scope)) + _number(right(scope))
        case ast.Sub():
            return lambda scope: _number(left(scope)) - _number(right(scope))
        case ast.Mult():
            return lambda scope: _number(left(scope)) * _number(right(scope))
        case ast.Div():
            return lambda scope: _number(left(scope)) / _number(right(scope))
        case ast.FloorDiv():
            return lambda scope: floor_div(_number(left(scope)), _divisor(right(scope)))
        case ast.Mod():
            return lambda scope: _number(left(scope)) % _divisor(right(scope))
        case _:
            raise SizeError("only + - * / and // are extents", expected=EXPECTED)


def _divisor(dim: Any) -> int:
    number = constant(_number(dim))
    if number is None or number != int(number) or number < 1:
        raise SizeError(f"the divisor {dim} is not a whole number", expected="a number from 1")
    return int(number)


_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def _compared(nodes: list[ast.expr], ops: list[ast.cmpop]) -> _Part:
    parts = [_part(node) for node in nodes]
    if unknown := [op for op in ops if type(op) not in _COMPARISONS]:
        raise _NoExpressionError(type(unknown[0]).__name__.lower())
    tests = [_COMPARISONS[type(op)] for op in ops]

    def holds(scope: Scope) -> bool:
        values = [part(scope) for part in parts]
        return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))

    return holds


def _entry(value: _Part, index: _Part) -> _Part:
    def entry(scope: Scope) -> Any:
        items, at = value(scope), index(scope)
        if isinstance(items, Mapping) and isinstance(at, str):
            return _of_mapping(cast("Mapping[str, Any]", items), at)
        if not isinstance(items, list | tuple) or type(at) is not int:
            raise TypeError(f"{shown(cast('object', items))} has no entry {shown(at)}")
        many = cast("tuple[Any, ...]", items)
        if not -len(many) <= at < len(many):
            raise SizeError(f"no entry {at} in a list of {len(many)}", expected="an entry of it")
        return many[at]

    return entry


def _of_mapping(items: Mapping[str, Any], key: str) -> Any:
    if key not in items:
        raise SizeError(f"there is no '{key}' in it", nearest(key, items), one_of(sorted(items)))
    return items[key]


#: What an expression may ask of a tensor.
_TENSOR: Final[Mapping[str, Callable[[Tensor], Any]]] = {
    "batch": lambda t: t.shape[0],
    "channels": lambda t: t.shape[1],
    "tokens": lambda t: t.shape[1],
    "features": lambda t: t.shape[-1],
    "height": lambda t: t.shape[2],
    "width": lambda t: t.shape[3],
    "size": lambda t: t.shape[2:],
    "shape": lambda t: t.shape,
    "elements": lambda t: t.elements,
    "slot": lambda t: t.slot,
}


def _attribute(name: str, key: str) -> _Part:
    def attribute(scope: Scope) -> Any:
        known = scope.names.get(name)
        if isinstance(known, BaseModel) and key in type(known).model_fields:
            return getattr(known, key)
        if isinstance(known, Mapping):
            return _of_mapping(cast("Mapping[str, Any]", known), key)
        tensor = scope.input if name == "input" and scope.input else scope.results.get(name)
        if isinstance(tensor, Tensor) and key in _TENSOR:
            try:
                return _TENSOR[key](tensor)
            except IndexError:
                raise SizeError(f"'{name}' of rank {len(tensor.shape)} has no '{key}'") from None
        if tensor is None and (name == "input" or name in scope.results):
            raise SizeError(PENDING)
        known = _TENSOR if isinstance(tensor, Tensor) else [*scope.results, "input"]
        raise _NoExpressionError(f"{name}.{key}", nearest(key if known is _TENSOR else name, known))

    return attribute


def _steps(*ends: int) -> tuple[int, ...]:
    numbers = range(*ends)
    if len(numbers) > 10_000:
        raise OverflowError
    return tuple(numbers)


def _divisible(dim: Any, divisor: Any) -> Any:
    return divisible(dim, _divisor(divisor))


def _ceil_div(dim: Any, divisor: Any) -> Any:
    return ceil_div(dim, _divisor(divisor))


def _product(items: Any) -> Any:
    return product(*items)


def _reversed(items: Any) -> Any:
    return tuple(items[::-1])


def _entry_or(items: Any, at: Any, default: Any) -> Any:
    if isinstance(items, Mapping):
        return cast("Mapping[Any, Any]", items).get(at, default)
    return items[at] if at < len(items) else default


#: Functions, and the least and greatest number of their arguments.
_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int, int]]] = {
    "divisible": (_divisible, 2, 2),
    "nearest_divisor": (nearest_divisor, 2, 2),
    "ceil_div": (_ceil_div, 2, 2),
    "minimum": (minimum, 2, 2),
    "min": (minimum, 2, 2),
    "maximum": (maximum, 2, 2),
    "max": (maximum, 2, 2),
    "power_of_two": (power_of_two, 1, 1),
    "distinct_experts": (distinct_experts, 3, 3),
    "power_law_experts": (power_law_experts, 4, 4),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "round": (round, 1, 1),
    "entry": (_entry_or, 3, 3),
    "length": (len, 1, 1),
    "range": (_steps, 1, 3),
    "product": (_product, 1, 1),
    "reversed": (_reversed, 1, 1),
}


def _call(name: str, args: list[_Part], text: str) -> _Part:
    if name not in _FUNCTIONS:
        raise _NoExpressionError(text, nearest(name, _FUNCTIONS))
    function, least, most = _FUNCTIONS[name]
    if not least <= len(args) <= most:
        raise SizeError(f"{name} takes {least} arguments", expected=f"{least} arguments")
    return lambda scope: function(*(arg(scope) for arg in args))


def shown(value: object) -> str:
    """Return a value for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def names_in(text: str) -> set[str]:
    """Return the variables that an expression reads; those of tensors are not among them.

    Raises
    ------
    SizeError
        It is no expression.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        _part(tree.body)
    except SizeError:
        raise
    except _NoExpressionError as error:
        raise error.fault("an expression") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SizeError(f"'{text}' is not an expression") from None
    tensors = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and id(node) not in tensors | called
        and node.id not in ("true", "false", "null")
    }
