"""Shapes and prices of operators that reshape, slice, join or copy, with bounds as inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfmodel.workload.importers.onnx.extents import larger, sign, smaller
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    UnknownShapeError,
    axis_of,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import CHANNELS_SECOND, Pricer
from perfmodel.workload.importers.onnx.shapes import (
    axes_of,
    axes_or_all,
    decided_by_data,
    format_of_data,
    give,
    same_extent,
    spread,
    sum_of,
    target_shape,
)
from perfmodel.workload.symbols import Dim, Poly, ceil_div, constant, poly, product, simplify

#: Largest ``int32``, which exporters write for a slice up to the end.
_TO_THE_END = 2**31 - 1


def reshape(node: OnnxNode) -> None:
    """Set the shape of ``Reshape``: 0 copies an extent, -1 is inferred from the other extents."""
    x = node.need(0)
    stated = node.integers("shape")
    target = list(stated if stated is not None else node.numbers(1, "the target shape"))
    if not node.integer("allowzero", 0):
        for i, dim in enumerate(target):
            if dim == 0:
                if i >= len(x.known):
                    raise ContradictionError(f"a 0 in place {i} of the target shape")
                target[i] = x.known[i]
    left = [i for i, dim in enumerate(target) if sign(dim) == -1]
    for dim in (constant(target[i]) for i in left):
        if dim is not None and dim != -1:
            raise ContradictionError(f"an extent of {dim:g} in the target shape")
    if len(left) > 1:
        raise ContradictionError(f"two extents of {target} are left open")
    if left:
        others = [d for i, d in enumerate(target) if i != left[0]]
        target[left[0]] = quotient(x.known, others)
    else:
        here, there = constant(x.elements), constant(product(*target))
        if here is not None and there is not None and here != there:
            raise ContradictionError(f"{here:g} elements do not fill {target}")
    give(node, target)


def quotient(over: Sequence[Dim], under: Sequence[Dim]) -> Dim:
    """Return the quotient of two products of extents, cancelling common factors first."""
    above = [simplify(d) for d in over]
    below: list[Dim] = []
    for dim in (simplify(d) for d in under):
        if dim in above:
            above.remove(dim)
        else:
            below.append(dim)
    divisor = product(*below)
    if constant(divisor) == 0:
        if constant(product(*above)) not in {None, 0.0}:
            raise ContradictionError(f"{list(over)} cannot be divided by {list(under)}")
        return 0
    result = simplify(poly(product(*above)) / divisor)
    number = constant(result)
    if number is not None and number != int(number):
        raise ContradictionError(f"{list(over)} cannot be divided by {list(under)}")
    return result


def flatten(node: OnnxNode) -> None:
    """Set the shape of ``Flatten``: the products of the axes before and from ``axis``."""
    x = node.shape(0)
    axis = node.integer("axis", 1)
    axis = axis_of(axis, len(x)) if axis != len(x) else axis
    give(node, (product(*x[:axis]), product(*x[axis:])))


def squeeze(node: OnnxNode) -> None:
    """Set the shape of ``Squeeze``, which removes axes of extent 1."""
    x = node.shape(0)
    axes = axes_of(node)
    if axes is None:
        if any(isinstance(d, Poly) for d in x):
            raise UnknownShapeError("which extents are 1 is not known")
        give(node, [d for d in x if d != 1])
        return
    gone = {axis_of(a, len(x)) for a in axes}
    for axis in gone:
        if constant(x[axis]) not in {None, 1.0}:
            raise ContradictionError(f"axis {axis} of {list(x)} is not 1")
    give(node, [d for i, d in enumerate(x) if i not in gone])


def unsqueeze(node: OnnxNode) -> None:
    """Set the shape of ``Unsqueeze``, which inserts axes of extent 1."""
    x = list(node.shape(0))
    axes = axes_of(node)
    if axes is None:
        raise ContradictionError("the axes are missing")
    rank = len(x) + len(axes)
    new = {axis_of(a, rank) for a in axes}
    if len(new) < len(axes):
        raise ContradictionError(f"an axis twice in {list(axes)}")
    old = iter(x)
    give(node, [1 if i in new else next(old, 1) for i in range(rank)])


def transpose(node: OnnxNode) -> None:
    """Set the shape of ``Transpose``."""
    x = node.shape(0)
    perm = node.integers("perm") or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise ContradictionError(f"{perm} is no order of {len(x)} axes")
    give(node, [x[i] for i in perm])


def concat(node: OnnxNode) -> None:
    """Set the shape of ``Concat`` along an axis."""
    shapes = [e.known for e in node.present]
    if not shapes:
        raise ContradictionError("it has no inputs")
    axis = node.axis(1, len(shapes[0]))
    total: Dim = 0
    for shape in shapes:
        if len(shape) != len(shapes[0]):
            raise ContradictionError("inputs of different rank")
        total = total + shape[axis]
    joined = [
        total if i == axis else same_extent([s[i] for s in shapes], f"axis {i}")
        for i in range(len(shapes[0]))
    ]
    give(node, joined, format=format_of_data(node))


def split(node: OnnxNode) -> None:
    """Set the shapes of ``Split`` into stated or equal parts."""
    x = node.shape(0)
    axis = node.axis(0, len(x))
    parts: Sequence[Dim] | None = node.integers("split")
    if parts is None and node.get(1) is not None:
        parts = node.numbers(1, "the sizes of the parts")
    count = len(node.outputs)
    size = x[axis]
    if parts is None:
        parts = _equal_parts(node, size, count)
    if len(parts) != count:
        raise ContradictionError(f"{len(parts)} sizes for {count} parts")
    total, extent = constant(sum_of(parts)), constant(size)
    if total is not None and extent is not None and total != extent:
        raise ContradictionError(f"parts of {total:g} in all for an extent of {extent:g}")
    for i in range(count):
        give(node, replaced(x, axis, parts[i]), i)


def _equal_parts(node: OnnxNode, size: Dim, count: int) -> list[Dim]:
    stated = node.integer("num_outputs", count)
    if stated != count:
        raise ContradictionError(f"attribute 'num_outputs' is {stated} for {count} parts")
    extent = constant(size)
    if extent is None:
        return [simplify(size / count)] * count
    if "num_outputs" not in node.attributes and extent % count:
        raise ContradictionError(f"an extent of {extent:g} in {count} equal parts")
    each = math.ceil(extent / count)
    last = int(extent) - (count - 1) * each
    if last < 0:
        raise ContradictionError(f"an extent of {extent:g} in {count} parts of {each}")
    return [*[each] * (count - 1), last]


def slice_bounds(node: OnnxNode) -> list[tuple[int, Dim, Dim, int]]:
    """Return ``(axis, start, end, step)`` of a ``Slice``, counted from the front and clipped.

    A backward slice that reaches the first element ends at -1.
    """
    x = node.shape(0)
    starts: Sequence[Dim]
    ends: Sequence[Dim]
    if node.get(1) is None:
        starts, ends = node.integers("starts") or (), node.integers("ends") or ()
    else:
        starts, ends = node.numbers(1, "the starts"), node.numbers(2, "the ends")
    axes = axes_or_all(node, 3, len(starts))
    steps: Sequence[Dim] = (1,) * len(starts)
    if node.get(4) is not None:
        steps = node.numbers(4, "the steps")
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ContradictionError("starts, ends, axes and steps differ in number")
    bounds: list[tuple[int, Dim, Dim, int]] = []
    for i, raw in enumerate(axes):
        axis = axis_of(raw, len(x))
        step = fixed(steps[i], "a step")
        if step == 0:
            raise ContradictionError("a step of 0")
        size = x[axis]
        low, high = (0, size) if step > 0 else (0, simplify(size - 1))
        start = _clipped(starts[i], size, low, high)
        end = _clipped(ends[i], size, 0 if step > 0 else -1, size)
        bounds.append((axis, start, end, step))
    return bounds


def _clipped(bound: Dim, size: Dim, low: Dim, high: Dim) -> Dim:
    number = constant(bound)
    if number is not None and number >= _TO_THE_END:
        return high
    if number is not None and number <= -_TO_THE_END:
        return low
    # A negative bound counts from the end; n - 1 with a free n counts from the front.
    coefficients = bound.terms.values() if isinstance(bound, Poly) else ()
    if sign(bound) == -1 or (coefficients and all(c < 0 for c in coefficients)):
        bound = simplify(size + bound)
    return larger(low, smaller(bound, high))


def sliced(node: OnnxNode) -> None:
    """Set the shape of ``Slice``; bounds that depend on the data make the extents free."""
    shape = list(node.shape(0))
    if decided_by_data(node.get(1)) or decided_by_data(node.get(2)):
        count = fixed(node.need(1).elements, "how many bounds there are")
        for axis in (axis_of(a, len(shape)) for a in axes_or_all(node, 3, count)):
            shape[axis] = node.open(0, axis)
        give(node, shape)
        return
    for axis, start, end, step in slice_bounds(node):
        span = simplify(end - start if step > 0 else start - end)
        if isinstance(span, Poly):
            shape[axis] = larger(0, ceil_div(span, abs(step)))
        else:
            shape[axis] = max(0, math.ceil(span / abs(step)))
    give(node, shape)


def expand(node: OnnxNode) -> None:
    """Set the shape of ``Expand``: the input broadcast with the target shape."""
    for dim in (constant(d) for d in (node.need(1).numbers or ())):
        if dim is not None and dim < 0:
            raise ContradictionError(f"an extent of {dim:g} in the target shape")
    give(node, spread(node.shape(0), tuple(target_shape(node, 1))))


def tile(node: OnnxNode) -> None:
    """Set the shape of ``Tile``: each extent times its repetitions."""
    repeats = node.numbers(1, "the repetitions")
    x = node.shape(0)
    if len(repeats) != len(x):
        raise ContradictionError(f"{len(repeats)} repetitions for {len(x)} axes")
    if any((constant(r) or 0) < 0 for r in repeats):
        raise ContradictionError(f"negative repetitions in {list(repeats)}")
    give(node, [simplify(d * r) for d, r in zip(x, repeats, strict=True)])


def pad(node: OnnxNode) -> None:
    """Set the shape of ``Pad``; negative padding crops."""
    x = list(node.shape(0))
    stated = node.integers("pads") or node.integers("paddings")
    pads = stated if stated is not None else node.numbers(1, "the padding")
    axes = [axis_of(a, len(x)) for a in axes_or_all(node, 3, len(x))]
    if len(pads) != 2 * len(axes):
        raise ContradictionError(f"{len(pads)} paddings for {len(axes)} axes")
    for i, axis in enumerate(axes):
        x[axis] = simplify(x[axis] + pads[i] + pads[i + len(axes)])
    give(node, x)


def blocks(node: OnnxNode) -> None:
    """Set the shape of ``DepthToSpace`` or ``SpaceToDepth`` for blocks of b by b pixels."""
    x = node.shape(0)
    b = node.integer("blocksize", 0)
    if len(x) != 4 or b <= 0:
        raise ContradictionError(f"blocks of {b} by {b} in {len(x)} axes")
    batch, channels, height, width = x
    deep = node.op == "DepthToSpace"
    into, by = ((channels,), b * b) if deep else ((height, width), b)
    for size in (constant(d) for d in into):
        if size is not None and size % by:
            raise ContradictionError(f"an extent of {size:g} in blocks of {by}")
    if deep:
        give(node, (batch, channels / (b * b), height * b, width * b))
    else:
        give(node, (batch, channels * (b * b), height / b, width / b))


def view(p: Pricer, n: OnnxNode) -> None:
    """Price a change of shape, which moves no data."""
    source = p.tensor(n.need(0))
    y = p.tensor(n.out)
    p.builder.operator(
        n.name or n.op, "view", [(source, 0)], [(y, 0)], inplace=source, attributes={"op": n.op}
    )


def shape_only(p: Pricer, n: OnnxNode) -> None:
    """Mark the outputs of ``Shape`` and ``Size`` as constants, which require no reads."""
    for edge in n.written:
        edge.kind = "constant"


def copy(p: Pricer, n: OnnxNode) -> None:
    """Price a copy of whole inputs: concatenation, transposition, tiling, padding."""
    attributes: dict[str, object] = {}
    if n.op == "Transpose":
        order = n.integers("perm") or tuple(reversed(range(len(n.shape(0)))))
        if p.channels_last and len(order) == 4:
            order = tuple(CHANNELS_SECOND.index(order[axis]) for axis in CHANNELS_SECOND)
        attributes["order"] = order
    p.add(
        n,
        "copy",
        p.reads(*(n.present if n.op == "Concat" else n.present[:1])),
        attributes=attributes,
    )


def part(p: Pricer, n: OnnxNode) -> None:
    """Price a copy of a part, which reads as many elements as it writes."""
    x = p.tensor(n.need(0))
    elements: Dim = 0
    for edge in n.written:
        elements = elements + edge.elements
    p.add(n, "copy", [(x, simplify(elements))])


def gather_up(p: Pricer, n: OnnxNode) -> None:
    """Price stacking a loop's outputs: every iteration's output is read and written once."""
    p.add(n, "copy", [(p.tensor(n.need(0)), n.out.elements)])
