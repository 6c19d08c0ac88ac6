"""Shapes of what moves, reshapes, picks or makes: the operators whose bounds are inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from perfmodel.workload.importers.onnx.extents import floor, larger, sign, smaller
from perfmodel.workload.importers.onnx.node import (
    Edge,
    Node,
    NotPricedError,
    UnknownShapeError,
    axis_of,
    fixed,
)
from perfmodel.workload.importers.onnx.shapes import Rule, give, spread
from perfmodel.workload.symbols import Dim, Poly, ceil_div, constant, poly, product, simplify

#: Exporters write the largest number of a type for "to the end".
_TO_THE_END = 2**31 - 1


def numbers(edge: Edge | None, what: str) -> tuple[Dim, ...]:
    """Return the numbers of an input that a shape hangs on.

    Raises
    ------
    UnknownShapeError
        They are computed from data.
    """
    if edge is None:
        raise NotPricedError(f"{what} is missing")
    if edge.numbers is None:
        raise UnknownShapeError(f"{what} ('{edge.name}') is not known before the network runs")
    return edge.numbers


def told_by_data(edge: Edge | None) -> bool:
    """Whether only running the network tells an input's numbers (no free dimension would)."""
    return edge is not None and edge.numbers is None and edge.is_data and not edge.depends


def opened(node: Node, target: Edge) -> list[Dim]:
    """Return as many extents as a computed target shape has, each a free dimension."""
    (count,) = (fixed(d, "the length of a shape") for d in target.known)
    return [node.open(0, axis) for axis in range(count)]


def reshape(node: Node) -> None:
    """``Reshape``: zeros copy an extent, -1 takes what is left."""
    x = node.need(0)
    stated = node.wholes("shape")
    target = list(stated if stated is not None else numbers(node.get(1), "the target shape"))
    if not node.whole("allowzero", 0):
        for i, dim in enumerate(target):
            if dim == 0:
                if i >= len(x.known):
                    raise NotPricedError(f"a 0 in place {i} of the target shape")
                target[i] = x.known[i]
    left = [i for i, dim in enumerate(target) if sign(dim) == -1]
    if len(left) > 1:
        raise NotPricedError(f"two extents of {target} are left open")
    if left:
        rest = [d for i, d in enumerate(target) if i != left[0]]
        target[left[0]] = quotient(x.known, rest)
    else:
        here, there = constant(x.elements), constant(product(*target))
        if here is not None and there is not None and here != there:
            raise NotPricedError(f"{here:g} elements do not fill {target}")
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
        return 0
    result = simplify(poly(product(*above)) / divisor)
    number = constant(result)
    if number is not None and number != int(number):
        raise NotPricedError(f"{list(over)} cannot be divided by {list(under)}")
    return result


def flatten(node: Node) -> None:
    """``Flatten``: two axes."""
    x = node.need(0).known
    axis = node.whole("axis", 1)
    axis = axis_of(axis, len(x)) if axis != len(x) else axis
    give(node, (product(*x[:axis]), product(*x[axis:])))


def _axes(node: Node) -> tuple[int, ...] | None:
    axes = node.wholes("axes")
    if axes is None and node.get(1) is not None:
        axes = tuple(fixed(v, "an axis") for v in numbers(node.get(1), "the axes"))
    return axes


def squeeze(node: Node) -> None:
    """``Squeeze``: ones go."""
    x = node.need(0).known
    axes = _axes(node)
    if axes is None:
        if any(isinstance(d, Poly) for d in x):
            raise UnknownShapeError("which extents are 1 is not known")
        give(node, [d for d in x if d != 1])
        return
    gone = {axis_of(a, len(x)) for a in axes}
    for axis in gone:
        if constant(x[axis]) not in {None, 1.0}:
            raise NotPricedError(f"axis {axis} of {list(x)} is not 1")
    give(node, [d for i, d in enumerate(x) if i not in gone])


def unsqueeze(node: Node) -> None:
    """``Unsqueeze``: ones come."""
    x = list(node.need(0).known)
    axes = _axes(node)
    if axes is None:
        raise NotPricedError("the axes are missing")
    rank = len(x) + len(axes)
    new = {axis_of(a, rank) for a in axes}
    rest = iter(x)
    give(node, [1 if i in new else next(rest, 1) for i in range(rank)])


def transpose(node: Node) -> None:
    """``Transpose``."""
    x = node.need(0).known
    perm = node.wholes("perm") or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise NotPricedError(f"{perm} is no order of {len(x)} axes")
    give(node, [x[i] for i in perm])


def concat(node: Node) -> None:
    """``Concat`` along one axis."""
    shapes = [e.known for e in node.present]
    if not shapes:
        raise NotPricedError("it has no inputs")
    axis = axis_of(node.whole("axis", 1), len(shapes[0]))
    total: Dim = 0
    for shape in shapes:
        if len(shape) != len(shapes[0]):
            raise NotPricedError("inputs of different rank")
        total = total + shape[axis]
    data = [e.format for e in node.present if e.is_data]
    whole = [
        total if i == axis else spread(*((s[i],) for s in shapes))[0] for i in range(len(shapes[0]))
    ]
    give(node, whole, format=data[0] if data else None)


def split(node: Node) -> None:
    """``Split`` into stated or equal parts."""
    x = node.need(0).known
    axis = axis_of(node.whole("axis", 0), len(x))
    parts: Sequence[Dim] | None = node.wholes("split")
    if parts is None and node.get(1) is not None:
        parts = numbers(node.get(1), "the sizes of the parts")
    count = len(node.outputs)
    if parts is None:
        size = x[axis]
        whole = constant(size)
        if whole is None:
            parts = [simplify(size / count)] * count
        else:
            each = math.ceil(whole / count)
            parts = [max(min(each, int(whole) - i * each), 0) for i in range(count)]
    if len(parts) < count:
        raise NotPricedError(f"{len(parts)} sizes for {count} parts")
    for i in range(count):
        give(node, (*x[:axis], parts[i], *x[axis + 1 :]), i)


def slice_bounds(node: Node) -> list[tuple[int, Dim, Dim, int]]:
    """Return ``(axis, start, end, step)`` of a ``Slice``, counted from the front and clipped.

    A backward slice that reaches the first element ends at -1.
    """
    x = node.need(0).known
    starts: Sequence[Dim]
    ends: Sequence[Dim]
    steps: Sequence[Dim]
    if node.get(1) is None:
        starts, ends = node.wholes("starts") or (), node.wholes("ends") or ()
        axes = node.wholes("axes") or tuple(range(len(starts)))
        steps = (1,) * len(starts)
    else:
        starts, ends = numbers(node.get(1), "the starts"), numbers(node.get(2), "the ends")
        axes = tuple(range(len(starts)))
        if node.get(3) is not None:
            axes = tuple(fixed(v, "an axis") for v in numbers(node.get(3), "the axes"))
        steps = (1,) * len(starts)
        if node.get(4) is not None:
            steps = numbers(node.get(4), "the steps")
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise NotPricedError("starts, ends, axes and steps differ in number")
    bounds: list[tuple[int, Dim, Dim, int]] = []
    for i, raw in enumerate(axes):
        axis = axis_of(raw, len(x))
        step = fixed(steps[i], "a step")
        if step == 0:
            raise NotPricedError("a step of 0")
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


def sliced(node: Node) -> None:
    """``Slice``; one whose bounds the data decide takes free extents."""
    shape = list(node.need(0).known)
    if told_by_data(node.get(1)) or told_by_data(node.get(2)):
        axes: Sequence[Dim] = range(_length(node.need(1)))
        if node.get(3) is not None:
            axes = numbers(node.get(3), "the axes")
        for axis in (axis_of(fixed(a, "an axis"), len(shape)) for a in axes):
            shape[axis] = node.open(0, axis)
        give(node, shape)
        return
    for axis, start, end, step in slice_bounds(node):
        span = simplify(end - start) if step > 0 else simplify(start - end)
        if isinstance(span, Poly):
            shape[axis] = larger(0, ceil_div(span, abs(step)))
        else:
            shape[axis] = max(0, math.ceil(span / abs(step)))
    give(node, shape)


def _length(edge: Edge) -> int:
    return fixed(edge.elements, "how many bounds there are")


def expand(node: Node) -> None:
    """``Expand``: broadcast with a shape."""
    if told_by_data(node.get(1)):
        give(node, spread(node.need(0).known, tuple(opened(node, node.need(1)))))
        return
    give(node, spread(node.need(0).known, tuple(numbers(node.get(1), "the target shape"))))


def tile(node: Node) -> None:
    """``Tile``."""
    repeats = numbers(node.get(1), "the repetitions")
    x = node.need(0).known
    if len(repeats) != len(x):
        raise NotPricedError(f"{len(repeats)} repetitions for {len(x)} axes")
    give(node, [simplify(d * r) for d, r in zip(x, repeats, strict=True)])


def pad(node: Node) -> None:
    """``Pad``; negative numbers crop."""
    x = list(node.need(0).known)
    stated = node.wholes("pads") or node.wholes("paddings")
    pads = stated if stated is not None else numbers(node.get(1), "the padding")
    axes = range(len(x))
    if node.get(3) is not None:
        axes = [axis_of(fixed(v, "an axis"), len(x)) for v in numbers(node.get(3), "the axes")]
    if len(pads) != 2 * len(axes):
        raise NotPricedError(f"{len(pads)} paddings for {len(axes)} axes")
    for i, axis in enumerate(axes):
        x[axis] = simplify(x[axis] + pads[i] + pads[i + len(axes)])
    give(node, x)


def gather(node: Node) -> None:
    """``Gather`` along an axis."""
    x, index = node.need(0).known, node.need(1).known
    axis = axis_of(node.whole("axis", 0), len(x))
    give(node, (*x[:axis], *index, *x[axis + 1 :]))


def gather_nd(node: Node) -> None:
    """``GatherND``."""
    x, index = node.need(0).known, node.need(1).known
    lead = node.whole("batch_dims", 0)
    if not index:
        raise NotPricedError("indices without dimensions")
    depth = fixed(index[-1], "the depth of an index")
    give(node, (*index[:-1], *x[lead + depth :]))


def like_index(node: Node) -> None:
    """``GatherElements``: shaped as the indices."""
    give(node, node.need(1).known)


def resize(node: Node) -> None:
    """``Resize`` and ``Upsample`` by scales or to sizes."""
    x = node.need(0).known
    later = node.op == "Resize" and len(node.inputs) > 2
    scales_at, sizes_at = (2, 3) if later else (1, -1)
    sizes = node.get(sizes_at) if sizes_at > 0 else None
    axes = node.wholes("axes") or tuple(range(len(x)))
    axes = tuple(axis_of(a, len(x)) for a in axes)
    shape = list(x)
    if sizes is not None and sizes.shape != (0,):
        wanted = numbers(sizes, "the sizes")
        if len(wanted) != len(axes):
            raise NotPricedError(f"{len(wanted)} sizes for {len(axes)} axes")
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [fixed(w, "a size") / fixed(x[a], "an extent")
                      for w, a in zip(wanted, axes, strict=True)]  # fmt: skip
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            wanted = tuple(round(fixed(x[a], "an extent") * ratio) for a in axes)
        for axis, size in zip(axes, wanted, strict=True):
            shape[axis] = size
    else:
        listed = node.attributes.get("scales")
        scales = tuple(listed) if listed is not None else numbers(node.get(scales_at), "the scales")
        if len(scales) != len(axes):
            raise NotPricedError(f"{len(scales)} scales for {len(axes)} axes")
        for axis, scale in zip(axes, scales, strict=True):
            shape[axis] = floor(simplify(shape[axis] * scale))
    give(node, shape)


def shape_of(node: Node) -> None:
    """``Shape``: as many numbers as dimensions."""
    rank = len(node.need(0).known)
    taken = range(rank)[node.whole("start", 0) : node.whole("end", rank)]
    give(node, (len(taken),), format="int64")


def filled(node: Node) -> None:
    """``ConstantOfShape``."""
    value = node.attributes.get("value")
    target = node.need(0)
    shape = opened(node, target) if told_by_data(target) else numbers(target, "the shape")
    give(node, shape, format=getattr(value, "format", "fp32"))


def range_of(node: Node) -> None:
    """``Range``."""
    if any(told_by_data(e) for e in node.present):
        give(node, (node.open(0, 0),))
        return
    start, end, step = (numbers(node.get(i), "a bound")[0] for i in range(3))
    by = constant(step)
    if by is None or by == 0:
        raise UnknownShapeError(f"a step of {step}")
    span = simplify(end - start)
    count = (
        ceil_div(span, int(by))
        if isinstance(span, Poly) and by > 0 and by == int(by)
        else simplify(poly(span) / by)
    )
    number = constant(count)
    give(node, (count if number is None else max(0, math.ceil(number)),))


def one_hot(node: Node) -> None:
    """``OneHot``: one more axis."""
    index = list(node.need(0).known)
    depth = numbers(node.get(1), "the depth")[0]
    axis = axis_of(node.whole("axis", -1), len(index) + 1)
    give(node, (*index[:axis], depth, *index[axis:]), format=node.need(2).format)


def random_like(node: Node) -> None:
    """Random numbers in a stated shape or that of an input."""
    like = node.get(0)
    give(node, like.known if like is not None else node.wholes("shape") or (), format="")


def blocks(node: Node) -> None:
    """``DepthToSpace`` and ``SpaceToDepth``."""
    batch, channels, height, width = node.need(0).known
    b = node.whole("blocksize", 1)
    if b <= 0:
        raise NotPricedError(f"a block of {b}")
    if node.op == "DepthToSpace":
        give(node, (batch, simplify(channels / (b * b)), simplify(height * b), simplify(width * b)))
    else:
        give(node, (batch, simplify(channels * (b * b)), simplify(height / b), simplify(width / b)))


def grid_sample(node: Node) -> None:
    """``GridSample``: channels of the input at the points of the grid."""
    x, grid = node.need(0).known, node.need(1).known
    give(node, (x[0], x[1], *grid[1:-1]))


def roi_align(node: Node) -> None:
    """``RoiAlign`` and ``MaxRoiPool``: one patch a region."""
    x, regions = node.need(0).known, node.need(1).known
    size = node.wholes("pooled_shape") or (
        node.whole("output_height", 1), node.whole("output_width", 1)
    )  # fmt: skip
    give(node, (regions[0], x[1], *size))


def affine_grid(node: Node) -> None:
    """``AffineGrid``: coordinates for each output point."""
    size = numbers(node.get(1), "the size")
    give(node, (size[0], *size[2:], len(size) - 2))


def eye_like(node: Node) -> None:
    """``EyeLike``: shaped as the input."""
    give(node, node.need(0).known)


def center_crop(node: Node) -> None:
    """``CenterCropPad``: the stated extents on the stated axes."""
    x = list(node.need(0).known)
    axes = node.wholes("axes") or tuple(range(len(x)))
    for axis, size in zip(axes, numbers(node.get(1), "the target shape"), strict=False):
        x[axis_of(axis, len(x))] = size
    give(node, x)


def dropout(node: Node) -> None:
    """``Dropout``: passes at inference; the mask is ``bool``."""
    give(node, node.need(0).known)
    give(node, node.need(0).known, 1, "bool")


def window(node: Node) -> None:
    """Windows for spectra."""
    give(node, (numbers(node.get(0), "the length")[0],), format="fp32")


def mel_matrix(node: Node) -> None:
    """``MelWeightMatrix``: spectrum bins by mel bins."""
    bins, length = numbers(node.get(0), "the bins")[0], numbers(node.get(1), "the length")[0]
    give(node, (simplify(fixed(length, "the length") // 2 + 1), bins), format="fp32")


def unpool(node: Node) -> None:
    """``MaxUnpool``: the stated shape, or the pool turned round."""
    x = node.need(0).known
    if node.get(2) is not None:
        give(node, numbers(node.get(2), "the output shape"))
        return
    kernel = node.wholes("kernel_shape") or ()
    strides = node.wholes("strides") or (1,) * len(kernel)
    pads = node.wholes("pads") or (0,) * (2 * len(kernel))
    spatial = [
        simplify((n - 1) * strides[i] + kernel[i] - pads[i] - pads[i + len(kernel)])
        for i, n in enumerate(x[2:])
    ]
    give(node, (*x[:2], *spatial))


def col2im(node: Node) -> None:
    """``Col2Im``: columns back into an image."""
    x = node.need(0).known
    image, block = numbers(node.get(1), "the image"), numbers(node.get(2), "the block")
    give(node, (x[0], simplify(x[1] / product(*block)), *image))


RULES: Mapping[str, Rule] = {
    "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Transpose": transpose, "Concat": concat, "Split": split, "Slice": sliced, "Expand": expand,
    "Tile": tile, "Pad": pad, "Gather": gather, "GatherND": gather_nd, "GatherElements": like_index,
    "Resize": resize, "Upsample": resize, "Shape": shape_of,
    "Size": lambda node: give(node, (), format="int64"), "ConstantOfShape": filled,
    "Range": range_of, "OneHot": one_hot, "DepthToSpace": blocks, "SpaceToDepth": blocks,
    "GridSample": grid_sample, "RoiAlign": roi_align, "MaxRoiPool": roi_align,
    "AffineGrid": affine_grid, "EyeLike": eye_like, "CenterCropPad": center_crop,
    "Dropout": dropout, "MaxUnpool": unpool, "Col2Im": col2im, "MelWeightMatrix": mel_matrix,
    **dict.fromkeys(("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
                     "Bernoulli"), random_like),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), window),
}  # fmt: skip
