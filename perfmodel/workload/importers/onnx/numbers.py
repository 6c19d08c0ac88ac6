"""Constant folding of the small tensors that determine shapes; entries may be symbolic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.workload.importers.onnx.extents import (
    UndecidedError,
    ceil,
    compare,
    divide,
    floor,
    larger,
    modulo,
    smaller,
)
from perfmodel.workload.importers.onnx.movement import slice_bounds
from perfmodel.workload.importers.onnx.node import (
    BeyondRangeError,
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    fixed,
)
from perfmodel.workload.importers.onnx.shapes import reduced_axes
from perfmodel.workload.symbols import Dim, Poly, constant, product, simplify

Numbers = npt.NDArray[np.object_]

#: Largest number of elements of a folded constant, and of terms in one element.
MOST = 4096
_MOST_TERMS = 256
#: Budget of elements over all folded constants, and largest size of one once it is exhausted.
BUDGET = 2**21
FEW = 16
#: Largest integer of any element type in the standard.
_LARGEST = 2**64 - 1
_HIGHEST_POWER = 16


def array(edge: OnnxValue | None) -> Numbers | None:
    """Return the numbers of a value as an array, or ``None`` if they are unknown."""
    if edge is None or edge.numbers is None or edge.shape is None:
        return None
    return _listed(edge.numbers).reshape(_extents(edge))


def _extents(edge: OnnxValue) -> list[int]:
    return [fixed(d, "an extent") for d in edge.known]


def work_out(node: OnnxNode, most: int = MOST) -> int:
    """Compute the numbers of a node's outputs if its inputs' are known; return how many.

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
    for edge in node.written:
        if edge.shape is None or None in map(constant, edge.shape):
            return 0
        if (constant(edge.elements) or 0) > most:
            return 0
    computed = rule(node)
    if computed is None:
        return 0
    arrays = computed if isinstance(computed, list) else [computed]
    count = 0
    for edge, result in zip(node.written, arrays, strict=False):
        numbers = tuple(simplify(v) for v in np.asarray(result, dtype=object).ravel().tolist())
        if any(type(v) is int and abs(v) > _LARGEST for v in numbers):
            raise BeyondRangeError("a whole number beyond 64 bits")
        if not any(isinstance(v, Poly) and _is_unwieldy(v) for v in numbers):
            edge.numbers = numbers
            count += len(numbers)
    return count


def _is_unwieldy(value: Poly) -> bool:
    powers = (power for monomial in value.terms for _, power in monomial)
    return len(value.terms) > _MOST_TERMS or any(p > _HIGHEST_POWER for p in powers)


_Result = Numbers | list[Numbers] | None
_Rule = Callable[[OnnxNode], _Result]


def _known(rule: Callable[[OnnxNode, Numbers], _Result]) -> _Rule:
    """Apply a rule to the first input if its numbers are known."""

    def known(node: OnnxNode) -> _Result:
        x = array(node.get(0))
        return None if x is None else rule(node, x)

    return known


def _all(rule: Callable[..., _Result]) -> _Rule:
    """Apply a rule to all inputs if there are any and their numbers are known."""

    def known(node: OnnxNode) -> _Result:
        arrays = list(map(array, node.present))
        return rule(node, *arrays) if arrays and all(a is not None for a in arrays) else None

    return known


def _mapped(function: Callable[[Any], Any], x: Numbers) -> Any:
    return np.frompyfunc(function, 1, 1)(x)


def _one(function: Callable[[Any], Any]) -> _Rule:
    """Apply a function to each element of the first input."""
    return _known(lambda node, x: _mapped(function, x))


def _two(function: Callable[[Any, Any], Any]) -> _Rule:
    """Apply a binary function to broadcast inputs, folding more than two from the left."""

    def rule(node: OnnxNode, *arrays: Numbers) -> _Result:
        return reduce(np.frompyfunc(function, 2, 1), arrays)

    return _all(rule)


def _div(node: OnnxNode) -> _Result:
    return _two(partial(divide, integral=not (node.out.format or "fp").startswith(("fp", "bf"))))(
        node
    )


@_known
def _cast(node: OnnxNode, x: Numbers) -> _Result:
    to = node.out.format
    if to == "bool":
        return _mapped(lambda v: not compare("Equal", v, 0), x)
    if to in {"", "fp16", "bf16", "fp32", "fp64"}:
        return x

    def integer(v: Dim) -> Dim:
        if isinstance(v, Poly):
            return floor(v)
        if not math.isfinite(v):
            raise UndecidedError(f"{v} is no whole number")
        return int(v)

    return _mapped(integer, x)


def _pow(a: Dim, b: Dim) -> Dim:
    n = constant(b)
    if n is None or abs(n) > 64 or (isinstance(a, Poly) and (n != int(n) or n < 0)):
        raise UndecidedError(f"a power {b}")
    if isinstance(a, Poly):
        return product(*[a] * int(n))
    try:
        return a**n
    except (OverflowError, ZeroDivisionError):
        raise NotPricedError("a number beyond range") from None


def _real(function: Callable[[float], float]) -> _Rule:
    def one(v: Dim) -> Dim:
        number = constant(v)
        if number is None:
            raise UndecidedError("a function of a free dimension")
        try:
            return function(number)
        except (ValueError, OverflowError):
            raise NotPricedError("a number beyond range") from None

    return _one(one)


def _shape(node: OnnxNode) -> _Result:
    dims = node.shape(0)
    return _listed(dims[node.integer("start", 0) : node.integer("end", len(dims))])


def _listed(values: Sequence[Dim]) -> Numbers:
    listed: Numbers = np.empty(len(values), dtype=object)
    listed[:] = values
    return listed


def _filled(node: OnnxNode) -> _Result:
    numbers = getattr(node.attributes.get("value"), "numbers", None) or (0,)
    return np.full(_extents(node.out), numbers[0], dtype=object)


@_all
def _where(node: OnnxNode, condition: Numbers, yes: Numbers, no: Numbers) -> _Result:
    return np.where(condition.astype(bool), yes, no)


@_all
def _concat(node: OnnxNode, *arrays: Numbers) -> _Result:
    return np.concatenate(arrays, axis=node.axis(0, arrays[0].ndim))


@_all
def _tile(node: OnnxNode, x: Numbers, repeats: Numbers) -> _Result:
    return np.tile(x, [fixed(r, "a repetition") for r in repeats.tolist()])


@_all
def _gather(node: OnnxNode, x: Numbers, index: Numbers) -> _Result:
    where = _mapped(lambda v: fixed(v, "an index"), index)
    axis = node.axis(0, x.ndim)
    try:
        return np.take(x, np.asarray(where, dtype=np.intp), axis=axis)
    except IndexError:
        raise ContradictionError(f"an index beyond {x.shape[axis]}") from None


@_known
def _slice(node: OnnxNode, x: Numbers) -> _Result:
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in slice_bounds(node):
        first, last = fixed(start, "a slice bound"), fixed(end, "a slice bound")
        cut[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(cut)]


@_known
def _split(node: OnnxNode, x: Numbers) -> _Result:
    axis = node.axis(0, x.ndim)
    at = np.cumsum([_extents(e)[axis] for e in node.written])[:-1]
    return list(np.split(x, at, axis=axis))


def _range(node: OnnxNode) -> _Result:
    start, _, step = (e.number() for e in node.present[:3])
    if start is None or step is None:
        return None
    return _listed([simplify(start + step * i) for i in range(*_extents(node.out))])


def _reduce(function: Callable[[Any, Any], Any]) -> _Rule:
    def rule(node: OnnxNode, x: Numbers) -> _Result:
        if not x.size:
            return None
        call = np.frompyfunc(function, 2, 1)
        for axis in sorted(reduced_axes(node, x.ndim), reverse=True):
            x = np.asarray(call.reduce(x, axis=axis), dtype=object)
        return x.reshape(_extents(node.out))

    return _known(rule)


@_known
def _cumulative(node: OnnxNode, x: Numbers) -> _Result:
    if x.ndim != 1 or node.attributes.get("exclusive") or node.integer("reverse", 0):
        return None
    return np.frompyfunc(operator.add, 2, 1).accumulate(x)


@_known
def _nonzero(node: OnnxNode, x: Numbers) -> _Result:
    free = any(isinstance(v, Poly) for v in x.ravel().tolist())
    return None if free else np.asarray(np.nonzero(x), dtype=object)


_SAME: _Rule = _known(lambda node, x: x)
_RESHAPED: _Rule = _known(lambda node, x: x.reshape(_extents(node.out)))

_RULES: Mapping[str, _Rule] = {
    "Add": _two(operator.add),
    "Sub": _two(operator.sub),
    "Mul": _two(operator.mul),
    "Div": _div,
    "Mod": _two(modulo),
    "Pow": _two(_pow),
    "Neg": _one(operator.neg),
    "Abs": _one(lambda a: a if compare("GreaterOrEqual", a, 0) else -a),
    "Min": _two(smaller),
    "Max": _two(larger),
    "Sum": _two(operator.add),
    "Floor": _one(floor),
    "Ceil": _one(ceil),
    "Sqrt": _real(math.sqrt),
    "Round": _real(round),
    "Log": _real(math.log),
    "Exp": _real(math.exp),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": _SAME,
    "Not": _one(operator.not_),
    "And": _two(lambda a, b: bool(a) and bool(b)),
    "Or": _two(lambda a, b: bool(a) or bool(b)),
    "Xor": _two(lambda a, b: bool(a) != bool(b)),
    **{
        op: _two(partial(compare, op))
        for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    },
    "Where": _where,
    "Shape": _shape,
    "Size": lambda node: _listed([node.need(0).elements]).reshape(()),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _RESHAPED),
    "Expand": _known(lambda node, x: np.broadcast_to(x, _extents(node.out))),
    "ConstantOfShape": _filled,
    "Transpose": _known(lambda node, x: x.transpose(node.integers("perm"))),
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
