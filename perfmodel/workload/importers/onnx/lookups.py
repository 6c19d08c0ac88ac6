"""Lookups and interpolation: output shapes and operation counts.

Covers ``Gather``, ``GatherND``, ``GatherElements``, ``Resize``, ``GridSample`` and their relatives.
The shape rules are those of the ONNX operator specification (onnx/onnx, docs/Operators.md, section
of each operator). Entries of ``workloads/operators/onnx.yaml`` name these functions: a ``*_shape``
function sets the shapes of a node's outputs, a ``price_*`` function adds its operator, with traffic
and work, to the graph.
"""

from __future__ import annotations

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    normalise_axis,
    replace_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.symbolic_extents import floor
from perfmodel.workload.symbols import Dim, constant, product, simplify


def gather_shape(node: OnnxNode) -> None:
    """Set the shape of ``Gather``: ``x[:axis] + indices.shape + x[axis + 1:]``."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    check_indices(node.require(1), x[axis])
    set_output(node, replace_axis(x, axis, *index))


def check_indices(index: OnnxValue, extent: Dim) -> None:
    """Raise a contradiction if a known index is outside ``[-extent, extent)``."""
    size = constant(extent)
    if size is None or index.numbers is None:
        return
    for number in (constant(v) for v in index.numbers):
        if number is not None and not -size <= number < size:
            raise ContradictionError(f"an index of {number:g} into an extent of {size:g}")


def gather_nd_shape(node: OnnxNode) -> None:
    """Set the shape of ``GatherND``.

    With indices of shape ``(..., d)`` and b batch axes: ``indices.shape[:-1] + x[b + d:]``.
    """
    x, index = node.shape(0), node.shape(1)
    batch_axes = node.integer("batch_dims", 0)
    if not index:
        raise ContradictionError("indices without dimensions")
    depth = require_integer(index[-1], "the depth of an index")
    if depth < 1 or batch_axes < 0 or batch_axes >= len(index) or batch_axes + depth > len(x):
        raise ContradictionError(f"indices of {depth} numbers into {len(x)} axes")
    set_output(node, (*index[:-1], *x[batch_axes + depth :]))


def gather_elements_shape(node: OnnxNode) -> None:
    """Set the shape of ``GatherElements``, which equals that of the indices."""
    x, index = node.shape(0), node.shape(1)
    axis = node.axis(0, len(x))
    if len(index) != len(x):
        raise ContradictionError(f"indices of {len(index)} axes into {len(x)} axes")
    check_indices(node.require(1), x[axis])
    set_output(node, node.shape(1))


def resize_shape(node: OnnxNode) -> None:
    """Set the shape of ``Resize`` and ``Upsample``: ``floor(extent * scale)``, or the stated sizes.

    With ``keep_aspect_ratio_policy`` every resized axis has the same scale: the smallest
    (``not_larger``) or the largest (``not_smaller``) of ``size / extent``.
    """
    x = node.shape(0)
    is_resize = node.op == "Resize" and len(node.inputs) > 2
    scales_at, sizes_at = (2, 3) if is_resize else (1, -1)
    sizes = node.get(sizes_at) if sizes_at > 0 else None
    axes = [normalise_axis(a, len(x)) for a in node.integers("axes") or range(len(x))]
    shape = list(x)
    if sizes is not None and sizes.shape != (0,):
        target_sizes = node.numbers(sizes_at, "the sizes")
        if len(target_sizes) != len(axes):
            raise ContradictionError(f"{len(target_sizes)} sizes for {len(axes)} axes")
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = (min if policy == "not_larger" else max)(
                require_integer(w, "a size") / require_integer(x[a], "an extent")
                for w, a in zip(target_sizes, axes, strict=True)
            )
            target_sizes = tuple(round(require_integer(x[a], "an extent") * ratio) for a in axes)
        for axis, size in zip(axes, target_sizes, strict=True):
            shape[axis] = size
    elif sizes is None and node.get(scales_at) is None and "scales" not in node.attributes:
        raise ContradictionError("neither scales nor sizes")
    else:
        scales_attribute = node.attributes.get("scales")
        scales = (
            tuple(scales_attribute)
            if scales_attribute is not None
            else node.numbers(scales_at, "the scales")
        )
        if len(scales) != len(axes):
            raise ContradictionError(f"{len(scales)} scales for {len(axes)} axes")
        for axis, scale in zip(axes, scales, strict=True):
            number = constant(scale)
            if number is not None and number <= 0:
                raise ContradictionError(f"a scale of {number:g}")
            shape[axis] = floor(simplify(shape[axis] * scale))
    set_output(node, shape)


def grid_sample_shape(node: OnnxNode) -> None:
    """Set the shape of ``GridSample``: ``(N, C) + grid.shape[1:-1]``."""
    x, grid = node.shape(0), node.shape(1)
    set_output(node, (x[0], x[1], *grid[1:-1]))


def price_gather(pricer: Pricer, node: OnnxNode) -> None:
    """Price a lookup that writes E elements: it reads the indices and E elements of the table."""
    table, y = node.require(0), node.first_output
    if table.kind == "weight" and table.tensor is None and len(table.extents) == 2:
        table.tag = "embedding"
    w = pricer.tensor(table)
    reads: list[Tensor | tuple[Tensor, Dim]] = [
        *pricer.reads(*node.present_inputs[1:]),
        (w, y.elements),
    ]
    pricer.add(node, "gather", reads, pair=(w.slot, "activation"))


def price_resize(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Resize`` and ``Upsample`` as separable interpolation over d resized axes.

    Operations per output element: 0 for nearest, ``3 (2^d - 1)`` for linear (``2^d - 1``
    interpolations of 3 operations), ``7 (4^d - 1) / 3`` for cubic (``(4^d - 1) / 3`` kernels of 4
    products and 3 sums).
    """
    x = node.require(0)
    mode = node.text("mode", "nearest")
    axes = sum(1 for a, b in zip(x.extents, node.first_output.extents, strict=False) if a != b)
    # Linear: 3 operations per lerp, 2**d - 1 lerps; cubic: 4 products and 3 sums per 1-D kernel.
    per_output = {"nearest": 0, "linear": 3 * (2**axes - 1), "cubic": 7 * (4**axes - 1) // 3}
    pricer.add(
        node,
        "resize",
        [x],
        ops=product(per_output.get(mode, 0), node.first_output.elements),
        attributes={"mode": mode},
    )


def price_sampling(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``GridSample``, ``RoiAlign`` and ``AffineGrid``.

    A bilinear sample is 3 interpolations of 3 operations, 9 in all; ``RoiAlign`` averages
    ``sampling_ratio^2`` samples per output element.
    """
    ratio = max(node.integer("sampling_ratio", 1), 1) if node.op == "RoiAlign" else 1
    pricer.add(
        node,
        "resize",
        pricer.reads(*node.present_inputs),
        ops=product(9 * ratio**2, node.first_output.elements),
    )
