"""Arithmetic on the small constants that shapes are made of; entries may be free dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
from perfmodel.workload.importers.onnx.node import (
    BeyondRangeError,
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    fixed,
)
from perfmodel.workload.symbols import Dim, Poly, constant, simplify

Numbers = npt.NDArray[np.object_]

#: Elements of a constant that are worked out, and terms that one of them may have.
MOST = 4096
_MOST_TERMS = 256
#: Elements of all constants that are worked out, then those of each that still is.
BUDGET = 2**21
FEW = 16
#: No whole number of the standard is larger.
_LARGEST = 2**64 - 1
_HIGHEST_POWER = 16


def array(edge: OnnxValue | None) -> Numbers | None:
    """Return the numbers of a value in its shape, ``None`` where unknown."""
    if edge is None or edge.numbers is None or edge.shape is None:
        return None
    made: Numbers = np.empty(len(edge.numbers), dtype=object)
    for i, number in enumerate(edge.numbers):
        made[i] = number
    shape = tuple(fixed(d, "an extent") for d in edge.shape)
    return made.reshape(shape)


def work_out(node: OnnxNode, most: int = MOST) -> int:
    """Fill in the numbers of a node's outputs where its inputs' are known; return how many.

    Raises
    ------
    BeyondRangeError
        A whole number that no element type holds.
    NotPricedError
        Numbers that do not follow from what is known.
    """
    rule = _RULES.get(node.op)
    if rule is None or node.domain not in {"", "ai.onnx"}:
        return 0
    for edge in node.made:
        if edge.shape is None or not all(constant(d) is not None for d in edge.shape):
            return 0
        if (constant(edge.elements) or 0) > most:
            return 0
    made = rule(node)
    if made is None:
        return 0
    results = made if isinstance(made, list) else [made]
    count = 0
    for edge, result in zip(node.made, results, strict=False):
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


def _all(node: OnnxNode) -> list[Numbers] | None:
    arrays = [array(e) for e in node.present]
    return None if any(a is None for a in arrays) else [a for a in arrays if a is not None]


def _one(function: Callable[[Any], Any]) -> _Rule:
    """Apply a function to each element of the first input."""

    def rule(node: OnnxNode) -> _Result:
        x = array(node.get(0))
        return None if x is None else _mapped(function, x)

    return rule


def _mapped(function: Callable[[Any], Any], x: Numbers) -> Numbers:
    return np.asarray(np.frompyfunc(function, 1, 1)(x), dtype=object)


def _two(function: Callable[[Any, Any], Any]) -> _Rule:
    """Apply a function of two to broadcast inputs, from the left where there are more."""

    def rule(node: OnnxNode) -> _Result:
        arrays = _all(node)
        if not arrays:
            return None
        call = np.frompyfunc(function, 2, 1)
        result = arrays[0]
        for other in arrays[1:]:
            result = np.asarray(call(result, other), dtype=object)
        return result

    return rule


def _compared(op: str) -> _Rule:
    def test(a: Any, b: Any) -> bool:
        return compare(op, a, b)

    return _two(test)


def _div(node: OnnxNode) -> _Result:
    whole = not node.out.format.startswith(("fp", "bf")) and node.out.format != ""

    def quotient(a: Any, b: Any) -> Dim:
        return divide(a, b, whole=whole)

    return _two(quotient)(node)


def _cast(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    to = node.out.format
    if to == "bool":
        return _mapped(lambda v: not compare("Equal", v, 0), x)
    if to in {"", "fp16", "bf16", "fp32", "fp64"}:
        return x

    def whole(v: Dim) -> Dim:
        if isinstance(v, Poly):
            return floor(v)
        if not math.isfinite(v):
            raise UndecidedError(f"{v} is no whole number")
        return int(v)

    return _mapped(whole, x)


def _pow(a: Dim, b: Dim) -> Dim:
    n = constant(b)
    if n is None or abs(n) > 64:
        raise UndecidedError(f"a power {b}")
    if isinstance(a, Poly):
        if n != int(n) or n < 0:
            raise UndecidedError(f"a power {b}")
        result: Dim = 1
        for _ in range(int(n)):
            result = result * a
        return result
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


def _where(node: OnnxNode) -> _Result:
    arrays = _all(node)
    if arrays is None or len(arrays) != 3:
        return None
    condition, yes, no = np.broadcast_arrays(*arrays)
    made: Numbers = np.empty(condition.shape, dtype=object)
    for place in np.ndindex(condition.shape):
        made[place] = yes[place] if condition[place] else no[place]
    return made


def _shape(node: OnnxNode) -> _Result:
    dims = node.need(0).known
    start = node.whole("start", 0)
    end = node.whole("end", len(dims))
    return _listed(list(dims)[start:end])


def _listed(values: Sequence[Dim]) -> Numbers:
    made: Numbers = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        made[i] = value
    return made


def _size(node: OnnxNode) -> _Result:
    made = _listed([node.need(0).elements])
    return made.reshape(())


def _reshaped(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    return x.reshape(tuple(fixed(d, "an extent") for d in node.out.known))


def _spread(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    return np.broadcast_to(x, tuple(fixed(d, "an extent") for d in node.out.known))


def _filled(node: OnnxNode) -> _Result:
    value = node.attributes.get("value")
    numbers = getattr(value, "numbers", None) or (0,)
    made: Numbers = np.full(tuple(fixed(d, "an extent") for d in node.out.known), 0, dtype=object)
    made[...] = numbers[0]
    return made


def _transpose(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    return None if x is None else x.transpose(node.wholes("perm"))


def _concat(node: OnnxNode) -> _Result:
    arrays = _all(node)
    if not arrays:
        return None
    return np.concatenate(arrays, axis=node.axis(0, arrays[0].ndim))


def _gather(node: OnnxNode) -> _Result:
    x, index = array(node.get(0)), array(node.get(1))
    if x is None or index is None:
        return None
    where = _mapped(lambda v: fixed(v, "an index"), index)
    axis = node.axis(0, x.ndim)
    try:
        return np.take(x, np.asarray(where, dtype=np.intp), axis=axis)
    except IndexError:
        raise ContradictionError(f"an index beyond {x.shape[axis]}") from None


def _slice(node: OnnxNode) -> _Result:
    from perfmodel.workload.importers.onnx.shapes_movement import slice_bounds

    x = array(node.get(0))
    if x is None:
        return None
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in slice_bounds(node):
        first, last = fixed(start, "a slice bound"), fixed(end, "a slice bound")
        cut[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(cut)]


def _split(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    axis = node.axis(0, x.ndim)
    at = np.cumsum([fixed(e.known[axis], "an extent") for e in node.made])[:-1]
    return list(np.split(x, at, axis=axis))


def _range(node: OnnxNode) -> _Result:
    start, _, step = (e.number() for e in node.present[:3])
    count = fixed(node.out.known[0], "an extent")
    if start is None or step is None:
        return None
    return _listed([simplify(start + step * i) for i in range(count)])


def _reduce(function: Callable[[Any, Any], Any]) -> _Rule:
    def rule(node: OnnxNode) -> _Result:
        from perfmodel.workload.importers.onnx.shapes import reduced_axes

        x = array(node.get(0))
        if x is None or not x.size:
            return None
        call = np.frompyfunc(function, 2, 1)
        for axis in sorted(reduced_axes(node, x.ndim), reverse=True):
            x = np.asarray(call.reduce(x, axis=axis), dtype=object)
        return x.reshape(tuple(fixed(d, "an extent") for d in node.out.known))

    return rule


def _cumulative(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None or x.ndim != 1 or node.attributes.get("exclusive") or node.whole("reverse", 0):
        return None
    call = np.frompyfunc(lambda a, b: a + b, 2, 1)
    return np.asarray(call.accumulate(x), dtype=object)


def _tile(node: OnnxNode) -> _Result:
    x, repeats = array(node.get(0)), array(node.get(1))
    if x is None or repeats is None:
        return None
    return np.tile(x, [fixed(r, "a repetition") for r in repeats.tolist()])


def _nonzero(node: OnnxNode) -> _Result:
    x = array(node.get(0))
    if x is None or any(isinstance(v, Poly) for v in x.ravel().tolist()):
        return None
    return np.asarray(np.nonzero(x), dtype=object)


_SAME: _Rule = _one(lambda v: v)

_RULES: Mapping[str, _Rule] = {
    "Add": _two(lambda a, b: a + b),
    "Sub": _two(lambda a, b: a - b),
    "Mul": _two(lambda a, b: a * b),
    "Div": _div,
    "Mod": _two(modulo),
    "Pow": _two(_pow),
    "Neg": _one(lambda a: -a),
    "Abs": _one(lambda a: a if compare("GreaterOrEqual", a, 0) else -a),
    "Min": _two(smaller),
    "Max": _two(larger),
    "Sum": _two(lambda a, b: a + b),
    "Floor": _one(floor),
    "Ceil": _one(ceil),
    "Sqrt": _real(math.sqrt),
    "Round": _real(round),
    "Log": _real(math.log),
    "Exp": _real(math.exp),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": _SAME,
    "Not": _one(lambda a: not a),
    "And": _two(lambda a, b: bool(a) and bool(b)),
    "Or": _two(lambda a, b: bool(a) or bool(b)),
    "Xor": _two(lambda a, b: bool(a) != bool(b)),
    **{op: _compared(op) for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")},
    "Where": _where,
    "Shape": _shape,
    "Size": _size,
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
    "Expand": _spread,
    "ConstantOfShape": _filled,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Range": _range,
    "ReduceProd": _reduce(lambda a, b: a * b),
    "ReduceSum": _reduce(lambda a, b: a + b),
    "ReduceMax": _reduce(larger),
    "ReduceMin": _reduce(smaller),
    "CumSum": _cumulative,
    "Tile": _tile,
    "NonZero": _nonzero,
}
