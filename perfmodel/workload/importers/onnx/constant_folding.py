"""Constant folding of the small tensors that determine shapes; entries may be symbolic.

Exporters compute a reshape's target as ``Concat(Gather(Shape(x), 0), [-1])``. Each rule below
evaluates one operator on object arrays whose entries are numbers or polynomials of free dimensions.
Sizes of the folded constants are bounded, since a file may state any.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.workload.importers.onnx.data_movement import slice_bounds
from perfmodel.workload.importers.onnx.node import (
    BeyondRangeError,
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import reduced_axes
from perfmodel.workload.importers.onnx.symbolic_extents import (
    UndecidedError,
    ceil,
    compare,
    divide,
    floor,
    larger,
    modulo,
    smaller,
)
from perfmodel.workload.symbols import Dim, Poly, constant, product, simplify

Numbers = npt.NDArray[np.object_]

#: Largest number of elements of a folded constant, and of terms in one element.
LARGEST_CONSTANT = 4096
_MOST_TERMS = 256
#: Budget of elements over all folded constants, and largest size of one once it is exhausted.
CONSTANTS_BUDGET = 2**21
SMALL_CONSTANT = 16
#: Largest integer of any element type in the standard.
_LARGEST = 2**64 - 1
_HIGHEST_POWER = 16


def numbers_as_array(edge: OnnxValue | None) -> Numbers | None:
    """Return the numbers of a value as an array; ``None`` if they are unknown."""
    if edge is None or edge.numbers is None or edge.shape is None:
        return None
    return _object_array(edge.numbers).reshape(_extents(edge))


def _extents(edge: OnnxValue) -> list[int]:
    return [require_integer(d, "an extent") for d in edge.extents]


def fold_constants(node: OnnxNode, most: int = LARGEST_CONSTANT) -> int:
    """Compute the numbers of a node's outputs if those of its inputs are known; return how many.

    Raises
    ------
    BeyondRangeError
        An integer is outside the range of every element type.
    NotPricedError
        The numbers cannot be computed from what is known.
    """
    rule = _RULES.get(node.op)
    if rule is None or node.domain not in {"", "ai.onnx"}:
        return 0
    for edge in node.present_outputs:
        if edge.shape is None or None in map(constant, edge.shape):
            return 0
        if (constant(edge.elements) or 0) > most:
            return 0
    computed = rule(node)
    if computed is None:
        return 0
    arrays = computed if isinstance(computed, list) else [computed]
    count = 0
    for edge, result in zip(node.present_outputs, arrays, strict=False):
        numbers = tuple(simplify(v) for v in np.asarray(result, dtype=object).ravel().tolist())
        if any(type(v) is int and abs(v) > _LARGEST for v in numbers):
            raise BeyondRangeError("a whole number beyond 64 bits")
        if not any(isinstance(v, Poly) and _is_unwieldy(v) for v in numbers):
            edge.numbers = numbers
            count += len(numbers)
    return count


def _is_unwieldy(value: Poly) -> bool:
    """Return whether a polynomial has too many terms or too high powers to be useful."""
    powers = (power for monomial in value.terms for _, power in monomial)
    return len(value.terms) > _MOST_TERMS or any(p > _HIGHEST_POWER for p in powers)


_Result = Numbers | list[Numbers] | None
_Rule = Callable[[OnnxNode], _Result]


def _with_first_input(rule: Callable[[OnnxNode, Numbers], _Result]) -> _Rule:
    """Apply a rule to the numbers of the first input if they are known."""

    def known(node: OnnxNode) -> _Result:
        x = numbers_as_array(node.get(0))
        return None if x is None else rule(node, x)

    return known


def _with_all_inputs(rule: Callable[..., _Result]) -> _Rule:
    """Apply a rule to the numbers of all inputs if there are any and all are known."""

    def known(node: OnnxNode) -> _Result:
        arrays = list(map(numbers_as_array, node.present_inputs))
        return rule(node, *arrays) if arrays and all(a is not None for a in arrays) else None

    return known


def _map_elements(function: Callable[[Any], Any], x: Numbers) -> Any:
    """Apply a function to each entry of an object array."""
    return np.frompyfunc(function, 1, 1)(x)


def _unary(function: Callable[[Any], Any]) -> _Rule:
    """Return the rule that applies a function to each element of the first input."""
    return _with_first_input(lambda node, x: _map_elements(function, x))


def _binary(function: Callable[[Any, Any], Any]) -> _Rule:
    """Return the rule of a binary function on broadcast inputs, folded from the left."""

    def rule(node: OnnxNode, *arrays: Numbers) -> _Result:
        return reduce(np.frompyfunc(function, 2, 1), arrays)

    return _with_all_inputs(rule)


def _div(node: OnnxNode) -> _Result:
    """Fold ``Div``: integers truncate towards zero, floating-point numbers do not."""
    return _binary(
        partial(divide, integral=not (node.first_output.format or "fp").startswith(("fp", "bf")))
    )(node)


@_with_first_input
def _cast(node: OnnxNode, x: Numbers) -> _Result:
    """Fold ``Cast`` to a Boolean, an integer or a floating-point format."""
    to = node.first_output.format
    if to == "bool":
        return _map_elements(lambda v: not compare("Equal", v, 0), x)
    if to in {"", "fp16", "bf16", "fp32", "fp64"}:
        return x

    def integer(v: Dim) -> Dim:
        if isinstance(v, Poly):
            return floor(v)
        if not math.isfinite(v):
            raise UndecidedError(f"{v} is not a whole number")
        return int(v)

    return _map_elements(integer, x)


def _pow(a: Dim, b: Dim) -> Dim:
    """Return ``a^b`` for a small integer power of a polynomial, or for numbers."""
    n = constant(b)
    if n is None or abs(n) > 64 or (isinstance(a, Poly) and (n != int(n) or n < 0)):
        raise UndecidedError(f"a power {b}")
    if isinstance(a, Poly):
        return product(*[a] * int(n))
    try:
        return a**n
    except (OverflowError, ZeroDivisionError):
        raise NotPricedError("a number beyond range") from None


def _real_unary(function: Callable[[float], float]) -> _Rule:
    """Return the rule of a function of real numbers, which free dimensions have no value for."""

    def one(v: Dim) -> Dim:
        number = constant(v)
        if number is None:
            raise UndecidedError("a function of a free dimension")
        try:
            return function(number)
        except (ValueError, OverflowError):
            raise NotPricedError("a number beyond range") from None

    return _unary(one)


def _shape(node: OnnxNode) -> _Result:
    dims = node.shape(0)
    return _object_array(dims[node.integer("start", 0) : node.integer("end", len(dims))])


def _object_array(values: Sequence[Dim]) -> Numbers:
    """Return dimensions as a one-dimensional object array."""
    listed: Numbers = np.empty(len(values), dtype=object)
    listed[:] = values
    return listed


def _filled(node: OnnxNode) -> _Result:
    numbers = getattr(node.attributes.get("value"), "numbers", None) or (0,)
    return np.full(_extents(node.first_output), numbers[0], dtype=object)


@_with_all_inputs
def _where(node: OnnxNode, condition: Numbers, yes: Numbers, no: Numbers) -> _Result:
    return np.where(condition.astype(bool), yes, no)


@_with_all_inputs
def _concat(node: OnnxNode, *arrays: Numbers) -> _Result:
    return np.concatenate(arrays, axis=node.axis(0, arrays[0].ndim))


@_with_all_inputs
def _tile(node: OnnxNode, x: Numbers, repeats: Numbers) -> _Result:
    return np.tile(x, [require_integer(r, "a repetition") for r in repeats.tolist()])


@_with_all_inputs
def _gather(node: OnnxNode, x: Numbers, index: Numbers) -> _Result:
    """Fold ``Gather`` with fixed indices."""
    positions = _map_elements(lambda v: require_integer(v, "an index"), index)
    axis = node.axis(0, x.ndim)
    try:
        return np.take(x, np.asarray(positions, dtype=np.intp), axis=axis)
    except IndexError:
        raise ContradictionError(f"an index beyond {x.shape[axis]}") from None


@_with_first_input
def _slice(node: OnnxNode, x: Numbers) -> _Result:
    """Fold ``Slice`` with fixed bounds."""
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in slice_bounds(node):
        first, last = require_integer(start, "a slice bound"), require_integer(end, "a slice bound")
        cut[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(cut)]


@_with_first_input
def _split(node: OnnxNode, x: Numbers) -> _Result:
    """Fold ``Split`` by the extents of the outputs."""
    axis = node.axis(0, x.ndim)
    at = np.cumsum([_extents(e)[axis] for e in node.present_outputs])[:-1]
    return list(np.split(x, at, axis=axis))


def _range(node: OnnxNode) -> _Result:
    """Fold ``Range``: ``start + i * step``."""
    start, _, step = (e.number() for e in node.present_inputs[:3])
    if start is None or step is None:
        return None
    return _object_array([simplify(start + step * i) for i in range(*_extents(node.first_output))])


def _reduce(function: Callable[[Any, Any], Any]) -> _Rule:
    """Return the rule of a reduction by a binary function."""

    def rule(node: OnnxNode, x: Numbers) -> _Result:
        if not x.size:
            return None
        call = np.frompyfunc(function, 2, 1)
        for axis in sorted(reduced_axes(node, x.ndim), reverse=True):
            x = np.asarray(call.reduce(x, axis=axis), dtype=object)
        return x.reshape(_extents(node.first_output))

    return _with_first_input(rule)


@_with_first_input
def _cumulative(node: OnnxNode, x: Numbers) -> _Result:
    """Fold ``CumSum`` of a list, neither exclusive nor reversed."""
    if x.ndim != 1 or node.attributes.get("exclusive") or node.integer("reverse", 0):
        return None
    return np.frompyfunc(operator.add, 2, 1).accumulate(x)


@_with_first_input
def _nonzero(node: OnnxNode, x: Numbers) -> _Result:
    free = any(isinstance(v, Poly) for v in x.ravel().tolist())
    return None if free else np.asarray(np.nonzero(x), dtype=object)


_SAME: _Rule = _with_first_input(lambda node, x: x)
_RESHAPED: _Rule = _with_first_input(lambda node, x: x.reshape(_extents(node.first_output)))

_RULES: Mapping[str, _Rule] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _div,
    "Mod": _binary(modulo),
    "Pow": _binary(_pow),
    "Neg": _unary(operator.neg),
    "Abs": _unary(lambda a: a if compare("GreaterOrEqual", a, 0) else -a),
    "Min": _binary(smaller),
    "Max": _binary(larger),
    "Sum": _binary(operator.add),
    "Floor": _unary(floor),
    "Ceil": _unary(ceil),
    "Sqrt": _real_unary(math.sqrt),
    "Round": _real_unary(round),
    "Log": _real_unary(math.log),
    "Exp": _real_unary(math.exp),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": _SAME,
    "Not": _unary(operator.not_),
    "And": _binary(lambda a, b: bool(a) and bool(b)),
    "Or": _binary(lambda a, b: bool(a) or bool(b)),
    "Xor": _binary(lambda a, b: bool(a) != bool(b)),
    **{
        op: _binary(partial(compare, op))
        for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    },
    "Where": _where,
    "Shape": _shape,
    "Size": lambda node: _object_array([node.require(0).elements]).reshape(()),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _RESHAPED),
    "Expand": _with_first_input(lambda node, x: np.broadcast_to(x, _extents(node.first_output))),
    "ConstantOfShape": _filled,
    "Transpose": _with_first_input(lambda node, x: x.transpose(node.integers("perm"))),
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Range": _range,
    "ReduceProd": _reduce(operator.mul),
    "ReduceSum": _reduce(operator.add),
    "ReduceMax": _reduce(larger),
    "ReduceMin": _reduce(smaller),
    "CumSum": _cumulative,
    "Tile": _tile,
    "NonZero": _nonzero,
}
