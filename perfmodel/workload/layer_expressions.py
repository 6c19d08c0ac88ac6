"""Expressions in a template: arithmetic on dimensions, fields, variables and tensors.

Python's parser returns the syntax tree of a text such as ``4 * hidden // heads``; each node is
compiled once to a function of a `Scope`. Only the listed operators and functions are supported, and
the text is never executed as Python code.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.source_positions import Path as Place
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

#: Largest number in an expression.
LIMIT: Final = 1e12
_MAX_LENGTH: Final = 200
#: Message of a fault that follows from another, which is reported instead.
PENDING: Final = "the value it refers to has faults"
EXPECTED: Final = "a whole number from 1 to 1e12, a free dimension, or arithmetic on them"


class SizeError(ValueError):
    """A malformed expression; carries the accepted form and a suggestion."""

    def __init__(self, message: str, suggestion: str = "", expected: str = EXPECTED) -> None:
        super().__init__(message)
        self.suggestion = suggestion
        self.expected = "" if suggestion else expected

    def flaws(self, place: Place) -> list[Flaw]:
        """Return the flaws of the value located at `place`."""
        return [Flaw(place, str(self), self.expected, self.suggestion)]


class FieldError(SizeError):
    """All flaws of one value; their places are relative to it."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__(flaws[0].message)
        self._flaws = flaws

    def flaws(self, place: Place) -> list[Flaw]:
        """Return the flaws of the value located at `place`."""
        return [replace(flaw, path=(*place, *flaw.path)) for flaw in self._flaws]


class _UnsupportedSyntaxError(Exception):
    """A syntax that expressions do not support: its text, and a suggestion."""

    def __init__(self, text: str, suggestion: str = "") -> None:
        super().__init__(text)
        self.text, self.suggestion = text, suggestion

    def fault(self, noun: str) -> SizeError:
        """Return the fault, given that `noun` was expected."""
        return SizeError(f"'{self.text}' is not {noun}", self.suggestion)


@dataclass(slots=True)
class Scope:
    """Values of the names in an expression.

    Attributes
    ----------
    names
        Free dimensions (symbols), fields, variables.
    results
        Tensors by the name of the layer that computes them, for ``layer.channels``.
    input
        The input of the layer, for ``input.channels``.
    free
        Whether all names are free dimensions.
    """

    names: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    input: Tensor | None = None
    free: bool = False


_Compiled: TypeAlias = Callable[[Scope], Any]


def evaluate_expression(text: str, scope: Scope, noun: str = "an extent") -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    text
        Such as ``4 * hidden``, ``height // 2``, ``widths[i + 1]``, ``input.channels``,
        ``stride == 1 and depth > 2``, ``3 if deep else 1``, ``divisible(32 * width, 8)``.
    scope
        Values of its names.
    noun
        Expected kind of value, for messages.

    Raises
    ------
    SizeError
        The text is no expression or has no value: unknown names, division by zero, sums of texts.
    """
    try:
        value = _compiled_expression(text)(scope)
        return simplify(value) if type(value) is Poly else value
    except SizeError:
        raise
    except _UnsupportedSyntaxError as error:
        raise error.fault(noun) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SizeError(f"'{text}' is not {noun}") from None
    except TypeError as error:
        raise SizeError(f"'{text}' has no value: {error}") from None
    except (ZeroDivisionError, OverflowError):
        raise SizeError(f"'{text}' divides by zero or overflows") from None


def interpolate(text: str, scope: Scope) -> str:
    """Return a text with each expression in braces replaced by its value."""
    if "{" not in text:
        return text
    parts = list(_split_at_braces(text))
    parts[1::2] = [str(evaluate_expression(part, scope, "an expression")) for part in parts[1::2]]
    return "".join(parts)


def fill_expressions(value: Any, scope: Scope) -> Any:
    """Return plain data with the expressions in its texts evaluated.

    A text that consists of one expression in braces becomes the expression's value, of any type.
    """
    if isinstance(value, str):
        parts = _split_at_braces(value)
        if len(parts) == 3 and not parts[0] and not parts[2]:
            return evaluate_expression(parts[1], scope, "an expression")
        return interpolate(value, scope)
    if isinstance(value, list | tuple):
        return tuple(fill_expressions(item, scope) for item in cast("tuple[Any, ...]", value))
    return value


@lru_cache(maxsize=4096)
def _split_at_braces(text: str) -> tuple[str, ...]:
    """Split a text at braces: literal parts alternate with expressions."""
    return tuple(re.split(r"\{([^{}]*)\}", text))


@lru_cache(maxsize=8192)
def _compiled_expression(text: str) -> _Compiled:
    if len(text) > _MAX_LENGTH:
        raise SizeError(f"an expression of {len(text)} characters", expected="at most 200")
    return _compile(ast.parse(text.strip(), mode="eval").body)


def _compile(node: ast.expr) -> _Compiled:
    """Compile a node of the syntax tree to a function of the scope."""
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
            return _compile_name(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand)
            return lambda scope: 0 - _number(inner(scope))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand)
            return lambda scope: not inner(scope)
        case ast.BinOp(left=left, op=op, right=right):
            return _compile_arithmetic(_compile(left), op, _compile(right))
        case ast.BoolOp(op=op, values=values):
            parts, either = [_compile(value) for value in values], isinstance(op, ast.Or)
            join = any if either else all
            return lambda scope: join(part(scope) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compile_comparison([left, *others], ops)
        case ast.IfExp(test=test, body=body, orelse=other):
            condition, yes, no = _compile(test), _compile(body), _compile(other)
            return lambda scope: yes(scope) if condition(scope) else no(scope)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            parts = [_compile(item) for item in items]
            return lambda scope: tuple([part(scope) for part in parts])
        case ast.Subscript(value=value, slice=index):
            return _compile_subscript(_compile(value), _compile(index))
        case ast.Attribute(value=ast.Name(id=name), attr=key):
            return _compile_attribute(name, key)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _compile_call(name, [_compile(arg) for arg in args], ast.unparse(node))
        case _:
            raise _UnsupportedSyntaxError(ast.unparse(node))


def _compile_name(name: str) -> _Compiled:
    """Return the function that reads a variable or a collected list."""

    def variable(scope: Scope) -> Any:
        if name in scope.names:
            return scope.names[name]
        if isinstance(listed := scope.results.get(name), list):
            return cast("list[Any]", listed)
        raise _unknown_name(name, scope)

    return variable


def _unknown_name(name: str, scope: Scope) -> SizeError:
    """Return the error of an undefined name, with the nearest known one."""
    known = sorted(n for n, v in scope.names.items() if not scope.free or isinstance(v, Poly))
    suggestion = nearest(name, known)
    if not scope.free:
        return SizeError(f"nothing is named '{name}' here", suggestion, one_of(known))
    declared = "one of the parameters " + ", ".join(known)
    expected = declared if known else "a number (no parameters are declared)"
    return SizeError(f"no free dimension '{name}'", suggestion, expected)


#: Types of the operands of arithmetic.
NUMBERS: Final = frozenset({int, float, Poly})


def _number(value: Any) -> Any:
    if type(value) not in NUMBERS:
        raise TypeError(f"{shown(value)} is not a number")
    return value


def _divisor(dim: Any) -> int:
    number = constant(_number(dim))
    if number is None or number != int(number) or number < 1:
        raise SizeError(f"the divisor {dim} is not a whole number", expected="a number from 1")
    return int(number)


_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: floor_div(a, _divisor(b)),
    ast.Mod: lambda a, b: a % _divisor(b),
}


def _compile_arithmetic(left: _Compiled, op: ast.operator, right: _Compiled) -> _Compiled:
    """Return the function of an arithmetic operation on numbers and dimensions."""
    if type(op) not in _ARITHMETIC:
        raise SizeError("only + - * / and // are extents", expected=EXPECTED)
    function = _ARITHMETIC[type(op)]
    return lambda scope: function(_number(left(scope)), _number(right(scope)))


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


def _compile_comparison(nodes: list[ast.expr], ops: list[ast.cmpop]) -> _Compiled:
    """Return the function of a comparison, which may be chained."""
    parts = [_compile(node) for node in nodes]
    if unknown := [op for op in ops if type(op) not in _COMPARISONS]:
        raise _UnsupportedSyntaxError(type(unknown[0]).__name__.lower())
    tests = [_COMPARISONS[type(op)] for op in ops]
    if len(tests) == 1:
        (left, right), test = parts, tests[0]
        return lambda scope: test(left(scope), right(scope))

    def holds(scope: Scope) -> bool:
        values = [part(scope) for part in parts]
        return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))

    return holds


def _compile_subscript(value: _Compiled, index: _Compiled) -> _Compiled:
    """Return the function of ``list[index]`` or ``mapping[key]``."""

    def entry(scope: Scope) -> Any:
        items, at = value(scope), index(scope)
        if isinstance(items, Mapping) and isinstance(at, str):
            return _mapping_entry(cast("Mapping[str, Any]", items), at)
        if not isinstance(items, list | tuple) or type(at) is not int:
            raise TypeError(f"{shown(cast('object', items))} has no entry {shown(at)}")
        many = cast("tuple[Any, ...]", items)
        if not -len(many) <= at < len(many):
            raise SizeError(f"no entry {at} in a list of {len(many)}", expected="an entry of it")
        return many[at]

    return entry


def _mapping_entry(items: Mapping[str, Any], key: str) -> Any:
    if key not in items:
        raise SizeError(f"there is no '{key}' in it", nearest(key, items), one_of(sorted(items)))
    return items[key]


#: Attributes of a tensor in an expression.
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


def _compile_attribute(name: str, key: str) -> _Compiled:
    """Return the function of ``name.key``: a field, a mapping entry or a tensor size."""

    def attribute(scope: Scope) -> Any:
        known = scope.names.get(name)
        if isinstance(known, BaseModel) and key in type(known).model_fields:
            return getattr(known, key)
        if isinstance(known, Mapping):
            return _mapping_entry(cast("Mapping[str, Any]", known), key)
        tensor = scope.input if name == "input" and scope.input else scope.results.get(name)
        if isinstance(tensor, Tensor) and key in _TENSOR:
            try:
                return _TENSOR[key](tensor)
            except IndexError:
                raise SizeError(f"'{name}' of rank {len(tensor.shape)} has no '{key}'") from None
        if tensor is None and (name == "input" or name in scope.results):
            raise SizeError(PENDING)
        known = _TENSOR if isinstance(tensor, Tensor) else [*scope.results, "input"]
        raise _UnsupportedSyntaxError(
            f"{name}.{key}", nearest(key if known is _TENSOR else name, known)
        )

    return attribute


def _number_range(*ends: int) -> tuple[int, ...]:
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


def _entry_or_default(items: Any, at: Any, default: Any) -> Any:
    if isinstance(items, dict):
        return cast("dict[Any, Any]", items).get(at, default)
    return items[at] if at < len(items) else default


#: Functions of expressions, each with its least and greatest number of arguments.
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
    "entry": (_entry_or_default, 3, 3),
    "length": (len, 1, 1),
    "range": (_number_range, 1, 3),
    "product": (_product, 1, 1),
    "reversed": (_reversed, 1, 1),
}


def _compile_call(name: str, args: list[_Compiled], text: str) -> _Compiled:
    if name not in _FUNCTIONS:
        raise _UnsupportedSyntaxError(text, nearest(name, _FUNCTIONS))
    function, least, most = _FUNCTIONS[name]
    if not least <= len(args) <= most:
        raise SizeError(f"{name} takes {least} arguments", expected=f"{least} arguments")
    return lambda scope: function(*[arg(scope) for arg in args])


def shown(value: object) -> str:
    """Format a value for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def names_in(text: str) -> set[str]:
    """Return the variables that an expression reads, without names of tensors and functions.

    Raises
    ------
    SizeError
        The text is no expression.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        _compile(tree.body)
    except SizeError:
        raise
    except _UnsupportedSyntaxError as error:
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
