"""Shapes of what moves, reshapes or picks: the operators whose bounds are inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from perfmodel.workload.importers.onnx.extents import floor, larger, sign, smaller
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    UnknownShapeError,
    axis_of,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.shapes import (
    axes_of,
    axes_or_all,
    format_of_data,
    give,
    spread,
)
from perfmodel.workload.symbols import Dim, Poly, ceil_div, constant, poly, product, simplify

#: Exporters write the largest number of a type for "to the end".
_TO_THE_END = 2**31 - 1


def told_by_data(edge: OnnxValue | None) -> bool:
    """Whether only running the network tells an input's numbers (no free dimension would)."""
    return edge is not None and edge.numbers is None and edge.is_data and not edge.depends


def target_shape(node: OnnxNode, index: int) -> Sequence[Dim]:
    """Return the shape that an input states; free dimensions where the data decide it."""
    edge = node.get(index)
    if not told_by_data(edge):
        return node.numbers(index, "the target shape")
    (count,) = (fixed(d, "the length of a shape") for d in node.shape(index))
    return [node.open(0, axis) for axis in range(count)]


def reshape(node: OnnxNode) -> None:
    """``Reshape``: zeros copy an extent, -1 takes what is left."""
    x = node.need(0)
    stated = node.wholes("shape")
    target = list(stated if stated is not None else node.numbers(1, "the target shape"))
    if not node.whole("allowzero", 0):
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
        rest = [d for i, d in enumerate(target) if i != left[0]]
        target[left[0]] = quotient(x.known, rest)
    else:
        here, there = constant(x.elements), constant(product(*target))
        if here is not None and there is not None and here != there:
            raise ContradictionError(f"{here:g} elements do not fill {target}")
    give(node, target)


def quotient(over: Sequence[Dim], under: Sequence[Dim]) -> Dim:
    """Return the product of extents divided by that of others, factor by factor."""
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
    """``Flatten``: two axes."""
    x = node.shape(0)
    axis = node.whole("axis", 1)
    axis = axis_of(axis, len(x)) if axis != len(x) else axis
    give(node, (product(*x[:axis]), product(*x[axis:])))


def squeeze(node: OnnxNode) -> None:
    """``Squeeze``: ones go."""
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
    """``Unsqueeze``: ones come."""
    x = list(node.shape(0))
    axes = axes_of(node)
    if axes is None:
        raise ContradictionError("the axes are missing")
    rank = len(x) + len(axes)
    new = {axis_of(a, rank) for a in axes}
    if len(new) < len(axes):
        raise ContradictionError(f"an axis twice in {list(axes)}")
    rest = iter(x)
    give(node, [1 if i in new else next(rest, 1) for i in range(rank)])


def transpose(node: OnnxNode) -> None:
    """``Transpose``."""
    x = node.shape(0)
    perm = node.wholes("perm") or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise ContradictionError(f"{perm} is no order of {len(x)} axes")
    give(node, [x[i] for i in perm])


def concat(node: OnnxNode) -> None:
    """``Concat`` along one axis."""
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


def same_extent(extents: Sequence[Dim], what: str) -> Dim:
    """Return the extent that all of some have; a fixed one where others are free."""
    fixed_ones = {d for d in extents if constant(d) is not None}
    if len(fixed_ones) > 1:
        shown = " and ".join(f"{constant(d):g}" for d in sorted(fixed_ones, key=str)[:2])
        raise ContradictionError(f"{what} has extents of {shown}")
    return next(iter(fixed_ones), extents[0])


def split(node: OnnxNode) -> None:
    """``Split`` into stated or equal parts."""
    x = node.shape(0)
    axis = node.axis(0, len(x))
    parts: Sequence[Dim] | None = node.wholes("split")
    if parts is None and node.get(1) is not None:
        parts = node.numbers(1, "the sizes of the parts")
    count = len(node.outputs)
    size = x[axis]
    if parts is None:
        parts = _equal_parts(node, size, count)
    if len(parts) != count:
        raise ContradictionError(f"{len(parts)} sizes for {count} parts")
    total, whole = constant(sum_of(parts)), constant(size)
    if total is not None and whole is not None and total != whole:
        raise ContradictionError(f"parts of {total:g} in all for an extent of {whole:g}")
    for i in range(count):
        give(node, replaced(x, axis, parts[i]), i)


def sum_of(dims: Iterable[Dim]) -> Dim:
    """Return a sum of extents."""
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return simplify(total)


def _equal_parts(node: OnnxNode, size: Dim, count: int) -> list[Dim]:
    stated = node.whole("num_outputs", count)
    if stated != count:
        raise ContradictionError(f"attribute 'num_outputs' is {stated} for {count} parts")
    whole = constant(size)
    if whole is None:
        return [simplify(size / count)] * count
    if "num_outputs" not in node.attributes and whole % count:
        raise ContradictionError(f"an extent of {whole:g} in {count} equal parts")
    each = math.ceil(whole / count)
    last = int(whole) - (count - 1) * each
    if last < 0:
        raise ContradictionError(f"an extent of {whole:g} in {count} parts of {each}")
    return [*[each] * (count - 1), last]


def slice_bounds(node: OnnxNode) -> list[tuple[int, Dim, Dim, int]]:
    """Return ``(axis, start, end, step)`` of a ``Slice``, counted from the front and clipped.

    A backward slice that reaches the first element ends at -1.
    """
    x = node.shape(0)
    starts: Sequence[Dim]
    ends: Sequence[Dim]
    if node.get(1) is None:
        starts, ends = node.wholes("starts") or (), node.wholes("ends") or ()
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
    # What is negative as a whole counts from the end; n - 1 with a free n from the front.
    coefficients = bound.terms.values() if isinstance(bound, Poly) else ()
    if sign(bound) == -1 or (coefficients and all(c < 0 for c in coefficients)):
        bound = simplify(size + bound)
    return larger(low, smaller(bound, high))


def sliced(node: OnnxNode) -> None:
    """``Slice``; one whose bounds the data decide takes free extents."""
    shape = list(node.shape(0))
    if told_by_data(node.get(1)) or told_by_data(node.get(2)):
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
    """``Expand``: broadcast with a shape."""
    for dim in (constant(d) for d in (node.need(1).numbers or ())):
        if dim is not None and dim < 0:
            raise ContradictionError(f"an extent of {dim:g} in the target shape")
    give(node, spread(node.shape(0), tuple(target_shape(node, 1))))


def tile(node: OnnxNode) -> None:
    """``Tile``."""
    repeats = node.numbers(1, "the repetitions")
    x = node.shape(0)
    if len(repeats) != len(x):
        raise ContradictionError(f"{len(repeats)} repetitions for {len(x)} axes")
    if any((constant(r) or 0) < 0 for r in repeats):
        raise ContradictionError(f"negative repetitions in {list(repeats)}")
    give(node, [simplify(d * r) for d, r in zip(x, repeats, strict=True)])


def pad(node: OnnxNode) -> None:
    """``Pad``; negative numbers crop."""
    x = list(node.shape(0))
    stated = node.wholes("pads") or node.wholes("paddings")
    pads = stated if stated is not None else node.numbers(1, "the padding")
    axes = [axis_of(a, len(x)) for a in axes_or_all(node, 3, len(x))]
    if len(pads) != 2 * len(axes):
        raise ContradictionError(f"{len(pads)} paddings for {len(axes)} axes")
    for i, axis in enumerate(axes):
        x[axis] = simplify(x[axis] + pads[i] + pads[i + len(axes)])
    give(node, x)


def gather(node: OnnxNode) -> None:
    """``Gather`` along an axis."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    within(node.need(1), x[axis])
    give(node, replaced(x, axis, *index))


def within(index: OnnxValue, extent: Dim) -> None:
    """Check indices that are known against a fixed extent."""
    size = constant(extent)
    if size is None or index.numbers is None:
        return
    for number in (constant(v) for v in index.numbers):
        if number is not None and not -size <= number < size:
            raise ContradictionError(f"an index of {number:g} into an extent of {size:g}")


def gather_nd(node: OnnxNode) -> None:
    """``GatherND``."""
    x, index = node.shape(0), node.shape(1)
    lead = node.whole("batch_dims", 0)
    if not index:
        raise ContradictionError("indices without dimensions")
    depth = fixed(index[-1], "the depth of an index")
    if depth < 1 or lead < 0 or lead >= len(index) or lead + depth > len(x):
        raise ContradictionError(f"indices of {depth} numbers into {len(x)} axes")
    give(node, (*index[:-1], *x[lead + depth :]))


def like_index(node: OnnxNode) -> None:
    """``GatherElements``: shaped as the indices."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    if len(index) != len(x):
        raise ContradictionError(f"indices of {len(index)} axes into {len(x)} axes")
    within(node.need(1), x[axis])
    give(node, node.shape(1))


def resize(node: OnnxNode) -> None:
    """``Resize`` and ``Upsample`` by scales or to sizes."""
    x = node.shape(0)
    later = node.op == "Resize" and len(node.inputs) > 2
    scales_at, sizes_at = (2, 3) if later else (1, -1)
    sizes = node.get(sizes_at) if sizes_at > 0 else None
    axes = [axis_of(a, len(x)) for a in node.wholes("axes") or range(len(x))]
    shape = list(x)
    if sizes is not None and sizes.shape != (0,):
        wanted = node.numbers(sizes_at, "the sizes")
        if len(wanted) != len(axes):
            raise ContradictionError(f"{len(wanted)} sizes for {len(axes)} axes")
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = (min if policy == "not_larger" else max)(
                fixed(w, "a size") / fixed(x[a], "an extent")
                for w, a in zip(wanted, axes, strict=True)
            )
            wanted = tuple(round(fixed(x[a], "an extent") * ratio) for a in axes)
        for axis, size in zip(axes, wanted, strict=True):
            shape[axis] = size
    elif sizes is None and node.get(scales_at) is None and "scales" not in node.attributes:
        raise ContradictionError("neither scales nor sizes")
    else:
        listed = node.attributes.get("scales")
        scales = tuple(listed) if listed is not None else node.numbers(scales_at, "the scales")
        if len(scales) != len(axes):
            raise ContradictionError(f"{len(scales)} scales for {len(axes)} axes")
        for axis, scale in zip(axes, scales, strict=True):
            number = constant(scale)
            if number is not None and number <= 0:
                raise ContradictionError(f"a scale of {number:g}")
            shape[axis] = floor(simplify(shape[axis] * scale))
    give(node, shape)
