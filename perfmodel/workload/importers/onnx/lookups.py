"""Shapes and prices of lookups by index or coordinate, resizing included."""

from __future__ import annotations

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.extents import floor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    axis_of,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import Dim, constant, product, simplify


def gather_shape(node: OnnxNode) -> None:
    """Set the shape of ``Gather``, which replaces an axis by the axes of the indices."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    within(node.need(1), x[axis])
    give(node, replaced(x, axis, *index))


def within(index: OnnxValue, extent: Dim) -> None:
    """Check known indices against a fixed extent."""
    size = constant(extent)
    if size is None or index.numbers is None:
        return
    for number in (constant(v) for v in index.numbers):
        if number is not None and not -size <= number < size:
            raise ContradictionError(f"an index of {number:g} into an extent of {size:g}")


def gather_nd(node: OnnxNode) -> None:
    """Set the shape of ``GatherND``: the axes of the indices, then those that they do not cover."""
    x, index = node.shape(0), node.shape(1)
    lead = node.integer("batch_dims", 0)
    if not index:
        raise ContradictionError("indices without dimensions")
    depth = fixed(index[-1], "the depth of an index")
    if depth < 1 or lead < 0 or lead >= len(index) or lead + depth > len(x):
        raise ContradictionError(f"indices of {depth} numbers into {len(x)} axes")
    give(node, (*index[:-1], *x[lead + depth :]))


def like_index(node: OnnxNode) -> None:
    """Set the shape of ``GatherElements``: that of the indices."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    if len(index) != len(x):
        raise ContradictionError(f"indices of {len(index)} axes into {len(x)} axes")
    within(node.need(1), x[axis])
    give(node, node.shape(1))


def resize_shape(node: OnnxNode) -> None:
    """Set the shape of ``Resize`` and ``Upsample``: ``floor(extent * scale)``, or stated sizes."""
    x = node.shape(0)
    later = node.op == "Resize" and len(node.inputs) > 2
    scales_at, sizes_at = (2, 3) if later else (1, -1)
    sizes = node.get(sizes_at) if sizes_at > 0 else None
    axes = [axis_of(a, len(x)) for a in node.integers("axes") or range(len(x))]
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


def grid_sample(node: OnnxNode) -> None:
    """Set the shape of ``GridSample``: the channels of the input at the points of the grid."""
    x, grid = node.shape(0), node.shape(1)
    give(node, (x[0], x[1], *grid[1:-1]))


def gather(p: Pricer, n: OnnxNode) -> None:
    """Price a lookup, which reads the indices and as many elements as it writes."""
    table, y = n.need(0), n.out
    if table.kind == "weight" and table.tensor is None and len(table.known) == 2:
        table.tag = "embedding"
    w = p.tensor(table)
    reads: list[Tensor | tuple[Tensor, Dim]] = [*p.reads(*n.present[1:]), (w, y.elements)]
    p.add(n, "gather", reads, pair=(w.slot, "activation"))


def resize(p: Pricer, n: OnnxNode) -> None:
    """Price ``Resize`` and ``Upsample`` as separable interpolation over the resized axes.

    Operations per output with d resized axes: none for nearest, ``3 (2^d - 1)`` for linear,
    ``7 (4^d - 1) / 3`` for cubic.
    """
    x = n.need(0)
    mode = n.text("mode", "nearest")
    axes = sum(1 for a, b in zip(x.known, n.out.known, strict=False) if a != b)
    # Linear: 3 operations per lerp, 2**d - 1 lerps; cubic: 4 products and 3 sums per 1-D kernel.
    per_output = {"nearest": 0, "linear": 3 * (2**axes - 1), "cubic": 7 * (4**axes - 1) // 3}
    p.add(
        n,
        "resize",
        [p.tensor(x)],
        ops=product(per_output.get(mode, 0), n.out.elements),
        attributes={"mode": mode},
    )


def sample(p: Pricer, n: OnnxNode) -> None:
    """Price ``GridSample``, ``RoiAlign`` and ``AffineGrid``: 9 operations per bilinear sample."""
    ratio = max(n.integer("sampling_ratio", 1), 1) if n.op == "RoiAlign" else 1
    p.add(n, "resize", p.reads(*n.present), ops=product(9 * ratio**2, n.out.elements))
