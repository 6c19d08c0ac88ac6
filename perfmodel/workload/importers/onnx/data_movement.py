"""Operators that reshape, slice, join or copy: output shapes and copied elements.

Shapes follow the ONNX operator specification (docs/Operators.md); bounds and target shapes may be
inputs whose numbers were folded (`constant_folding`) or are free dimensions. A view moves nothing;
a copy of E elements reads E and writes E. Entries of ``workloads/operators/onnx.yaml`` name these
functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    UnknownShapeError,
    normalise_axis,
    replace_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    axes_argument,
    axes_argument_or_all,
    broadcast_shapes,
    common_extent,
    format_of_data,
    is_data_dependent,
    set_output,
    sum_extents,
    target_shape,
)
from perfmodel.workload.importers.onnx.pricer import CHANNELS_SECOND, Pricer
from perfmodel.workload.importers.onnx.symbolic_extents import larger, sign, smaller
from perfmodel.workload.symbols import Dim, Poly, ceil_div, constant, poly, product, simplify

#: Largest ``int32``, which exporters write for a slice up to the end.
_TO_THE_END = 2**31 - 1


def reshape_shape(node: OnnxNode) -> None:
    """Set the shape of ``Reshape``: 0 copies an extent, -1 is the quotient of the other extents."""
    x = node.require(0)
    stated = node.integers("shape")
    target = list(stated if stated is not None else node.numbers(1, "the target shape"))
    if not node.integer("allowzero", 0):
        for i, dim in enumerate(target):
            if dim == 0:
                if i >= len(x.extents):
                    raise ContradictionError(f"a 0 in place {i} of the target shape")
                target[i] = x.extents[i]
    open_axes = [i for i, dim in enumerate(target) if sign(dim) == -1]
    for dim in (constant(target[i]) for i in open_axes):
        if dim is not None and dim != -1:
            raise ContradictionError(f"an extent of {dim:g} in the target shape")
    if len(open_axes) > 1:
        raise ContradictionError(f"two extents of {target} are left open")
    if open_axes:
        others = [d for i, d in enumerate(target) if i != open_axes[0]]
        target[open_axes[0]] = quotient_of_products(x.extents, others)
    else:
        elements, target_elements = constant(x.elements), constant(product(*target))
        if elements is not None and target_elements is not None and elements != target_elements:
            raise ContradictionError(f"{elements:g} elements do not fill {target}")
    set_output(node, target)


def quotient_of_products(dividends: Sequence[Dim], divisors: Sequence[Dim]) -> Dim:
    """Return ``prod(over) / prod(under)``, cancelling common symbolic factors first."""
    numerator = [simplify(d) for d in dividends]
    denominator: list[Dim] = []
    for dim in (simplify(d) for d in divisors):
        if dim in numerator:
            numerator.remove(dim)
        else:
            denominator.append(dim)
    divisor = product(*denominator)
    if constant(divisor) == 0:
        if constant(product(*numerator)) not in {None, 0.0}:
            raise ContradictionError(f"{list(dividends)} cannot be divided by {list(divisors)}")
        return 0
    result = simplify(poly(product(*numerator)) / divisor)
    number = constant(result)
    if number is not None and number != int(number):
        raise ContradictionError(f"{list(dividends)} cannot be divided by {list(divisors)}")
    return result


def flatten_shape(node: OnnxNode) -> None:
    """Set the shape of ``Flatten``: ``(prod(x[:axis]), prod(x[axis:]))``."""
    x = node.shape(0)
    axis = node.integer("axis", 1)
    axis = normalise_axis(axis, len(x)) if axis != len(x) else axis
    set_output(node, (product(*x[:axis]), product(*x[axis:])))


def squeeze_shape(node: OnnxNode) -> None:
    """Set the shape of ``Squeeze``, which removes axes of extent 1."""
    x = node.shape(0)
    axes = axes_argument(node)
    if axes is None:
        if any(isinstance(d, Poly) for d in x):
            raise UnknownShapeError("which extents are 1 is not known")
        set_output(node, [d for d in x if d != 1])
        return
    removed_axes = {normalise_axis(a, len(x)) for a in axes}
    for axis in removed_axes:
        if constant(x[axis]) not in {None, 1.0}:
            raise ContradictionError(f"axis {axis} of {list(x)} is not 1")
    set_output(node, [d for i, d in enumerate(x) if i not in removed_axes])


def unsqueeze_shape(node: OnnxNode) -> None:
    """Set the shape of ``Unsqueeze``, which inserts axes of extent 1."""
    x = list(node.shape(0))
    axes = axes_argument(node)
    if axes is None:
        raise ContradictionError("the axes are missing")
    rank = len(x) + len(axes)
    inserted_axes = {normalise_axis(a, rank) for a in axes}
    if len(inserted_axes) < len(axes):
        raise ContradictionError(f"a repeated axis in {list(axes)}")
    remaining_extents = iter(x)
    set_output(node, [1 if i in inserted_axes else next(remaining_extents, 1) for i in range(rank)])


def transpose_shape(node: OnnxNode) -> None:
    """Set the shape of ``Transpose``: ``y[i] = x[perm[i]]``."""
    x = node.shape(0)
    perm = node.integers("perm") or tuple(reversed(range(len(x))))
    if sorted(perm) != list(range(len(x))):
        raise ContradictionError(f"{perm} is not a permutation of {len(x)} axes")
    set_output(node, [x[i] for i in perm])


def concat_shape(node: OnnxNode) -> None:
    """Set the shape of ``Concat``: the sum of the extents along the axis."""
    shapes = [e.extents for e in node.present_inputs]
    if not shapes:
        raise ContradictionError("it has no inputs")
    axis = node.axis(1, len(shapes[0]))
    if len(set(map(len, shapes))) > 1:
        raise ContradictionError("inputs of different rank")
    total = sum_extents(shape[axis] for shape in shapes)
    joined = [
        total if i == axis else common_extent([s[i] for s in shapes], f"axis {i}")
        for i in range(len(shapes[0]))
    ]
    set_output(node, joined, format=format_of_data(node))


def split_shape(node: OnnxNode) -> None:
    """Set the shapes of ``Split`` into parts of stated or equal extents."""
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
    total, extent = constant(sum_extents(parts)), constant(size)
    if total is not None and extent is not None and total != extent:
        raise ContradictionError(f"parts of {total:g} in all for an extent of {extent:g}")
    for i in range(count):
        set_output(node, replace_axis(x, axis, parts[i]), i)


def _equal_parts(node: OnnxNode, size: Dim, count: int) -> list[Dim]:
    """Return the extents of `count` equal parts; with ``num_outputs`` the last may be smaller."""
    stated = node.integer("num_outputs", count)
    if stated != count:
        raise ContradictionError(f"attribute 'num_outputs' is {stated} for {count} parts")
    extent = constant(size)
    if extent is None:
        return [simplify(size / count)] * count
    if "num_outputs" not in node.attributes and extent % count:
        raise ContradictionError(f"an extent of {extent:g} in {count} equal parts")
    part_extent = math.ceil(extent / count)
    last_extent = int(extent) - (count - 1) * part_extent
    if last_extent < 0:
        raise ContradictionError(f"an extent of {extent:g} in {count} parts of {part_extent}")
    return [*[part_extent] * (count - 1), last_extent]


def slice_bounds(node: OnnxNode) -> list[tuple[int, Dim, Dim, int]]:
    """Return ``(axis, start, end, step)`` of each axis of a ``Slice``, clipped to the extent.

    Bounds count from the front. A backward slice that reaches the first element ends at -1.
    """
    x = node.shape(0)
    starts: Sequence[Dim]
    ends: Sequence[Dim]
    if node.get(1) is None:
        starts, ends = node.integers("starts") or (), node.integers("ends") or ()
    else:
        starts, ends = node.numbers(1, "the starts"), node.numbers(2, "the ends")
    axes = axes_argument_or_all(node, 3, len(starts))
    steps: Sequence[Dim] = (1,) * len(starts)
    if node.get(4) is not None:
        steps = node.numbers(4, "the steps")
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ContradictionError("starts, ends, axes and steps differ in number")
    bounds: list[tuple[int, Dim, Dim, int]] = []
    for i, raw in enumerate(axes):
        axis = normalise_axis(raw, len(x))
        step = require_integer(steps[i], "a step")
        if step == 0:
            raise ContradictionError("a step of 0")
        size = x[axis]
        low, high = (0, size) if step > 0 else (0, simplify(size - 1))
        start = _clip_bound(starts[i], size, low, high)
        end = _clip_bound(ends[i], size, 0 if step > 0 else -1, size)
        bounds.append((axis, start, end, step))
    return bounds


def _clip_bound(bound: Dim, size: Dim, low: Dim, high: Dim) -> Dim:
    """Return a bound in ``[low, high]``, counted from the front of an axis of extent `size`."""
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


def slice_shape(node: OnnxNode) -> None:
    """Set the shape of ``Slice``: ``max(0, ceil((end - start) / step))`` per sliced axis.

    Bounds that depend on the data make the extents free dimensions.
    """
    shape = list(node.shape(0))
    if is_data_dependent(node.get(1)) or is_data_dependent(node.get(2)):
        count = require_integer(node.require(1).elements, "how many bounds there are")
        for axis in (normalise_axis(a, len(shape)) for a in axes_argument_or_all(node, 3, count)):
            shape[axis] = node.open_extent(0, axis)
        set_output(node, shape)
        return
    for axis, start, end, step in slice_bounds(node):
        span = simplify(end - start if step > 0 else start - end)
        if isinstance(span, Poly):
            shape[axis] = larger(0, ceil_div(span, abs(step)))
        else:
            shape[axis] = max(0, math.ceil(span / abs(step)))
    set_output(node, shape)


def expand_shape(node: OnnxNode) -> None:
    """Set the shape of ``Expand``: the input broadcast with the target shape."""
    for dim in (constant(d) for d in (node.require(1).numbers or ())):
        if dim is not None and dim < 0:
            raise ContradictionError(f"an extent of {dim:g} in the target shape")
    set_output(node, broadcast_shapes(node.shape(0), tuple(target_shape(node, 1))))


def tile_shape(node: OnnxNode) -> None:
    """Set the shape of ``Tile``: ``x[i] * repeats[i]``."""
    repeats = node.numbers(1, "the repetitions")
    x = node.shape(0)
    if len(repeats) != len(x):
        raise ContradictionError(f"{len(repeats)} repetitions for {len(x)} axes")
    if any((constant(r) or 0) < 0 for r in repeats):
        raise ContradictionError(f"negative repetitions in {list(repeats)}")
    set_output(node, [simplify(d * r) for d, r in zip(x, repeats, strict=True)])


def pad_shape(node: OnnxNode) -> None:
    """Set the shape of ``Pad``: ``x[i] + before[i] + after[i]``; a negative padding crops."""
    x = list(node.shape(0))
    stated = node.integers("pads") or node.integers("paddings")
    pads = stated if stated is not None else node.numbers(1, "the padding")
    axes = [normalise_axis(a, len(x)) for a in axes_argument_or_all(node, 3, len(x))]
    if len(pads) != 2 * len(axes):
        raise ContradictionError(f"{len(pads)} paddings for {len(axes)} axes")
    for i, axis in enumerate(axes):
        x[axis] = simplify(x[axis] + pads[i] + pads[i + len(axes)])
    set_output(node, x)


def depth_space_shape(node: OnnxNode) -> None:
    """Set the shape of ``DepthToSpace`` or ``SpaceToDepth`` with blocks of b by b pixels.

    ``(N, C, H, W)`` becomes ``(N, C / b^2, H b, W b)`` or ``(N, C b^2, H / b, W / b)``.
    """
    x = node.shape(0)
    block = node.integer("blocksize", 0)
    if len(x) != 4 or block <= 0:
        raise ContradictionError(f"blocks of {block} by {block} in {len(x)} axes")
    batch, channels, height, width = x
    to_space = node.op == "DepthToSpace"
    divided_extents, divisor = (
        ((channels,), block * block) if to_space else ((height, width), block)
    )
    for size in (constant(d) for d in divided_extents):
        if size is not None and size % divisor:
            raise ContradictionError(f"an extent of {size:g} in blocks of {divisor}")
    if to_space:
        set_output(node, (batch, channels / (block * block), height * block, width * block))
    else:
        set_output(node, (batch, channels * (block * block), height / block, width / block))


def price_view(pricer: Pricer, node: OnnxNode) -> None:
    """Price a change of shape, which moves no data."""
    source = pricer.tensor(node.require(0))
    y = pricer.tensor(node.first_output)
    pricer.builder.operator(
        node.name or node.op,
        "view",
        [(source, 0)],
        [(y, 0)],
        inplace=source,
        attributes={"op": node.op},
    )


def mark_constant(pricer: Pricer, node: OnnxNode) -> None:
    """Mark the outputs of ``Shape`` and ``Size`` as constants, which no kernel computes."""
    for edge in node.present_outputs:
        edge.kind = "constant"


def price_copy(pricer: Pricer, node: OnnxNode) -> None:
    """Price a copy of the first input (all inputs of ``Concat``): read once, written once."""
    attributes: dict[str, object] = {}
    if node.op == "Transpose":
        order = node.integers("perm") or tuple(reversed(range(len(node.shape(0)))))
        if pricer.channels_last and len(order) == 4:
            order = tuple(CHANNELS_SECOND.index(order[axis]) for axis in CHANNELS_SECOND)
        attributes["order"] = order
    pricer.add(
        node,
        "copy",
        pricer.reads(*(node.present_inputs if node.op == "Concat" else node.present_inputs[:1])),
        attributes=attributes,
    )


def price_partial_copy(pricer: Pricer, node: OnnxNode) -> None:
    """Price a copy of E elements out of a tensor: E elements are read, E are written."""
    x = pricer.tensor(node.require(0))
    pricer.add(node, "copy", [(x, sum_extents(e.elements for e in node.present_outputs))])


def price_stacking(pricer: Pricer, node: OnnxNode) -> None:
    """Price stacking the outputs of a loop: those of every iteration are read and written once."""
    pricer.add(node, "copy", [(pricer.tensor(node.require(0)), node.first_output.elements)])
