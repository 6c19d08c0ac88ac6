"""Arithmetic on the small constants that shapes are made of; entries may be free dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.workload.importers.onnx_node import Edge, Node, NotPricedError, axis_of, fixed
from perfmodel.workload.symbols import Atom, Dim, Poly, constant, maximum, minimum, poly, simplify
from perfmodel.workload.symbols import floor_div as floor_div_atom

Numbers = npt.NDArray[np.object_]

#: Elements of a constant that are worked out, and terms that one of them may have.
MOST = 4096
_MOST_TERMS = 256


class UndecidedError(NotPricedError):
    """The answer depends on a free dimension."""


def symbols_of(dim: Dim) -> frozenset[str]:
    """Return the names of the free dimensions in a dimension."""
    if not isinstance(dim, Poly):
        return frozenset()
    names: set[str] = set()
    waiting: list[Poly] = [dim]
    while waiting:
        for monomial in waiting.pop().terms:
            for atom, _ in monomial:
                names |= _atom_names(atom, waiting)
    return frozenset(names)


def _atom_names(atom: Atom, waiting: list[Poly]) -> set[str]:
    if atom.args:
        waiting.extend(atom.args)
        return set()
    return {atom.name}


def floor_div(dim: Dim, divisor: int) -> Dim:
    """Return ``floor(dim / divisor)``, exactly where every coefficient divides."""
    value = simplify(dim)
    if isinstance(value, Poly) and all(c % divisor == 0 for c in value.terms.values()):
        return simplify(value / divisor)
    return floor_div_atom(value, divisor)


def sign(dim: Dim) -> int | None:
    """Return the sign of a dimension, ``None`` where it depends; free dimensions are at least 1."""
    value = simplify(dim)
    if not isinstance(value, Poly):
        return (value > 0) - (value < 0)
    at_one = value.terms.get((), 0.0)
    rest = [(m, c) for m, c in value.terms.items() if m]
    for direction in (1, -1):
        if all(c * direction > 0 for _, c in rest):
            # A plain parameter counts at least 1, a function of some at least 0.
            least = sum(c * direction for m, c in rest if not any(a.args for a, _ in m))
            if least + at_one * direction > 0:
                return direction
    return None


def compare(op: str, a: Dim, b: Dim) -> bool:
    """Compare two dimensions.

    Raises
    ------
    UndecidedError
        The answer depends on a free dimension.
    """
    which = sign(simplify(poly(a) - poly(b)) if _free(a) or _free(b) else a - b)
    if which is None:
        raise UndecidedError(f"whether {a} {op} {b} depends on a free dimension")
    return {
        "Equal": which == 0, "Less": which < 0, "LessOrEqual": which <= 0, "Greater": which > 0,
        "GreaterOrEqual": which >= 0,
    }[op]  # fmt: skip


def _free(value: Dim) -> bool:
    return isinstance(value, Poly)


def divide(a: Dim, b: Dim, *, whole: bool) -> Dim:
    """Return ``a / b``; for whole numbers towards zero, as ONNX divides.

    Raises
    ------
    UndecidedError
        No closed form.
    """
    divisor = constant(b)
    if divisor == 0:
        raise NotPricedError("division by zero in a shape")
    if not whole:
        return simplify(poly(a) / b) if _free(a) or _free(b) else a / b
    if not _free(a) and not _free(b):
        quotient = abs(int(a)) // abs(int(b))
        return quotient if (a >= 0) == (b > 0) else -quotient
    if divisor is not None and divisor > 0:
        return floor_div(a, int(divisor))
    if divisor is None and len(poly(b).terms) == 1:
        exact = simplify(poly(a) / b)
        terms = poly(exact).terms.items()
        if all(c == int(c) and all(n > 0 for _, n in m) for m, c in terms):
            return exact
    if a == b:
        return 1
    raise UndecidedError(f"{a} / {b} has no closed form")


def _modulo(a: Dim, b: Dim) -> Dim:
    if not _free(a) and not _free(b):
        if b == 0:
            raise NotPricedError("division by zero in a shape")
        return a % b
    return simplify(a - poly(b) * divide(a, b, whole=True))


def smaller(a: Dim, b: Dim) -> Dim:
    """Return the smaller of two, decided where possible."""
    if not _free(a) and not _free(b):
        return min(a, b)
    which = sign(simplify(poly(a) - poly(b)))
    return minimum(a, b) if which is None else (a if which <= 0 else b)


def larger(a: Dim, b: Dim) -> Dim:
    """Return the larger of two, decided where possible."""
    if not _free(a) and not _free(b):
        return max(a, b)
    which = sign(simplify(poly(a) - poly(b)))
    return maximum(a, b) if which is None else (a if which >= 0 else b)


def floor(value: Dim) -> Dim:
    """Return the largest whole number not above a dimension with fractional coefficients."""
    number = simplify(value)
    if not isinstance(number, Poly):
        return math.floor(number)
    parts = [Fraction(c).limit_denominator(4096) for c in number.terms.values()]
    common = math.lcm(*(p.denominator for p in parts))
    return floor_div(simplify(number * common), common) if common > 1 else number


def _ceil(value: Dim) -> Dim:
    return simplify(-poly(floor(simplify(-poly(value)))))


def array(edge: Edge | None) -> Numbers | None:
    """Return the numbers of a value in its shape, ``None`` where unknown."""
    if edge is None or edge.numbers is None or edge.shape is None:
        return None
    made: Numbers = np.empty(len(edge.numbers), dtype=object)
    for i, number in enumerate(edge.numbers):
        made[i] = number
    shape = tuple(fixed(d, "an extent") for d in edge.shape)
    return made.reshape(shape)


def work_out(node: Node) -> None:
    """Fill in the numbers of a node's outputs where its inputs' are known."""
    rule = _RULES.get(node.op)
    if rule is None or node.domain not in {"", "ai.onnx"}:
        return
    for edge in node.made:
        if edge.shape is None or not all(constant(d) is not None for d in edge.shape):
            return
        if (constant(edge.elements) or 0) > MOST:
            return
    made = rule(node)
    if made is None:
        return
    results = made if isinstance(made, list) else [made]
    for edge, result in zip(node.made, results, strict=False):
        numbers = tuple(simplify(v) for v in np.asarray(result, dtype=object).ravel().tolist())
        if not any(isinstance(v, Poly) and len(v.terms) > _MOST_TERMS for v in numbers):
            edge.numbers = numbers


_Result = Numbers | list[Numbers] | None
_Rule = Callable[[Node], _Result]


def _all(node: Node) -> list[Numbers] | None:
    arrays = [array(e) for e in node.present]
    return None if any(a is None for a in arrays) else [a for a in arrays if a is not None]


def _each(function: Callable[..., Any]) -> _Rule:
    """Apply a function to each element of broadcast inputs."""

    def rule(node: Node) -> _Result:
        arrays = _all(node)
        if not arrays:
            return None
        call = np.frompyfunc(function, len(arrays), 1)
        return np.asarray(call(*arrays), dtype=object)

    return rule


def _fold(function: Callable[[Any, Any], Any]) -> _Rule:
    """Apply a function of two to any number of broadcast inputs."""

    def rule(node: Node) -> _Result:
        arrays = _all(node)
        if not arrays:
            return None
        call = np.frompyfunc(function, 2, 1)
        result = arrays[0]
        for other in arrays[1:]:
            result = np.asarray(call(result, other), dtype=object)
        return result

    return rule


def _div(node: Node) -> _Result:
    whole = not node.out.format.startswith(("fp", "bf")) and node.out.format != ""
    return _each(lambda a, b: divide(a, b, whole=whole))(node)


def _cast(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    to = node.out.format
    if to == "bool":
        return np.asarray(np.frompyfunc(lambda v: not compare("Equal", v, 0), 1, 1)(x), object)
    if to in {"", "fp16", "bf16", "fp32", "fp64"}:
        return x

    def whole(v: Dim) -> Dim:
        if isinstance(v, Poly):
            return floor(v)
        if not math.isfinite(v):
            raise UndecidedError(f"{v} is no whole number")
        return int(v)

    return np.asarray(np.frompyfunc(whole, 1, 1)(x), dtype=object)


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

    return _each(one)


def _where(node: Node) -> _Result:
    arrays = _all(node)
    if arrays is None or len(arrays) != 3:
        return None
    return np.asarray(np.frompyfunc(lambda c, a, b: a if c else b, 3, 1)(*arrays), dtype=object)


def _shape(node: Node) -> _Result:
    dims = node.need(0).known
    start = node.whole("start", 0)
    end = node.whole("end", len(dims))
    return _listed(list(dims)[start:end])


def _listed(values: Sequence[Dim]) -> Numbers:
    made: Numbers = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        made[i] = value
    return made


def _size(node: Node) -> _Result:
    made = _listed([node.need(0).elements])
    return made.reshape(())


def _reshaped(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    return x.reshape(tuple(fixed(d, "an extent") for d in node.out.known))


def _spread(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    return np.broadcast_to(x, tuple(fixed(d, "an extent") for d in node.out.known))


def _filled(node: Node) -> _Result:
    value = node.attributes.get("value")
    numbers = getattr(value, "numbers", None) or (0,)
    made: Numbers = np.full(tuple(fixed(d, "an extent") for d in node.out.known), 0, dtype=object)
    made[...] = numbers[0]
    return made


def _transpose(node: Node) -> _Result:
    x = array(node.get(0))
    return None if x is None else x.transpose(node.wholes("perm"))


def _concat(node: Node) -> _Result:
    arrays = _all(node)
    if not arrays:
        return None
    return np.concatenate(arrays, axis=axis_of(node.whole("axis", 0), arrays[0].ndim))


def _gather(node: Node) -> _Result:
    x, index = array(node.get(0)), array(node.get(1))
    if x is None or index is None:
        return None
    where = np.frompyfunc(lambda v: fixed(v, "an index"), 1, 1)(index)
    axis = axis_of(node.whole("axis", 0), x.ndim)
    try:
        return np.take(x, np.asarray(where, dtype=np.intp), axis=axis)
    except IndexError:
        raise NotPricedError(f"an index beyond {x.shape[axis]}") from None


def _slice(node: Node) -> _Result:
    from perfmodel.workload.importers.onnx_shapes_movement import slice_bounds

    x = array(node.get(0))
    if x is None:
        return None
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in slice_bounds(node):
        first, last = fixed(start, "a slice bound"), fixed(end, "a slice bound")
        cut[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(cut)]


def _split(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None:
        return None
    axis = axis_of(node.whole("axis", 0), x.ndim)
    at = np.cumsum([fixed(e.known[axis], "an extent") for e in node.made])[:-1]
    return list(np.split(x, at, axis=axis))


def _range(node: Node) -> _Result:
    start, _, step = (e.number() for e in node.present[:3])
    count = fixed(node.out.known[0], "an extent")
    if start is None or step is None:
        return None
    return _listed([simplify(start + step * i) for i in range(count)])


def _reduce(function: Callable[[Any, Any], Any]) -> _Rule:
    def rule(node: Node) -> _Result:
        from perfmodel.workload.importers.onnx_shapes import reduced_axes

        x = array(node.get(0))
        if x is None or not x.size:
            return None
        call = np.frompyfunc(function, 2, 1)
        for axis in sorted(reduced_axes(node, x.ndim), reverse=True):
            x = np.asarray(call.reduce(x, axis=axis), dtype=object)
        return x.reshape(tuple(fixed(d, "an extent") for d in node.out.known))

    return rule


def _cumulative(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None or x.ndim != 1 or node.attributes.get("exclusive") or node.whole("reverse", 0):
        return None
    call = np.frompyfunc(lambda a, b: a + b, 2, 1)
    return np.asarray(call.accumulate(x), dtype=object)


def _tile(node: Node) -> _Result:
    x, repeats = array(node.get(0)), array(node.get(1))
    if x is None or repeats is None:
        return None
    return np.tile(x, [fixed(r, "a repetition") for r in repeats.tolist()])


def _nonzero(node: Node) -> _Result:
    x = array(node.get(0))
    if x is None or any(isinstance(v, Poly) for v in x.ravel().tolist()):
        return None
    return np.asarray(np.nonzero(x), dtype=object)


_SAME: _Rule = _each(lambda v: v)

_RULES: Mapping[str, _Rule] = {
    "Add": _each(lambda a, b: a + b),
    "Sub": _each(lambda a, b: a - b),
    "Mul": _each(lambda a, b: a * b),
    "Div": _div,
    "Mod": _each(_modulo),
    "Pow": _each(_pow),
    "Neg": _each(lambda a: -a),
    "Abs": _each(lambda a: a if compare("GreaterOrEqual", a, 0) else -a),
    "Min": _fold(smaller),
    "Max": _fold(larger),
    "Sum": _fold(lambda a, b: a + b),
    "Floor": _each(floor),
    "Ceil": _each(_ceil),
    "Sqrt": _real(math.sqrt),
    "Round": _real(round),
    "Log": _real(math.log),
    "Exp": _real(math.exp),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": _SAME,
    "Not": _each(lambda a: not a),
    "And": _each(lambda a, b: bool(a) and bool(b)),
    "Or": _each(lambda a, b: bool(a) or bool(b)),
    "Xor": _each(lambda a, b: bool(a) != bool(b)),
    **{
        op: _each(lambda a, b, op=op: compare(op, a, b))
        for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    },
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
