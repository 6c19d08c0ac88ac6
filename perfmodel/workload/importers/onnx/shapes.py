"""Shapes and formats of what a node writes, free dimensions as symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from perfmodel.workload.builder import broadcast
from perfmodel.workload.importers.onnx.extents import floor_div, sign
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    Shape,
    UnknownShapeError,
    axis_of,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import STANDARD
from perfmodel.workload.importers.onnx.read import FORMATS, LARGEST_EXTENT
from perfmodel.workload.symbols import Dim, Poly, constant, product, simplify

Rule = Callable[[OnnxNode], None]

#: Gates of a recurrent cell.
GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}

#: Elements of a tensor that 64 bits can count.
_MOST_ELEMENTS = 2**63 - 1


def give(node: OnnxNode, shape: Sequence[Dim], index: int = 0, format: str | None = None) -> None:
    """Set the shape and format of one output; by default the format of the first input."""
    edge = node.outputs[index] if index < len(node.outputs) else None
    if edge is None:
        return
    dims = tuple(simplify(d) for d in shape)
    for dim in dims:
        if sign(dim) == -1 or (not isinstance(dim, Poly) and dim > LARGEST_EXTENT):
            raise ContradictionError(f"its output would have an extent of {dim}")
    size = constant(product(*dims))
    if size is not None and size > _MOST_ELEMENTS:
        raise ContradictionError(f"its output would have {size:g} elements")
    edge.shape = dims
    if format is None:
        format = node.present[0].format if node.present else ""
    edge.format = format


def first_same(node: OnnxNode) -> None:
    """Only the first output is of interest; it is shaped as the first input."""
    x = node.shape(0)
    axis = node.attributes.get("axis")
    if isinstance(axis, int):
        axis_of(axis, len(x))
    give(node, x)


def prelu(node: OnnxNode) -> None:
    """``PRelu``: slopes are broadcast to the input; before operator set 7 they were a channel's."""
    x, slope = node.shape(0), node.shape(1)
    if len(slope) != 1:
        agree("elements of input and slopes", product(*spread(x, slope)), product(*x))
    give(node, x)


def along_axis(node: OnnxNode) -> None:
    """``CumSum`` and ``CumProd``: shaped as the input, along an axis that is an input."""
    x = node.shape(0)
    for number in node.need(1).numbers or ():
        axis_of(fixed(number, "an axis"), len(x))
    give(node, x)


def by_channel(node: OnnxNode) -> None:
    """Normalisations with a scale and a shift a channel: shaped as the input."""
    x = node.shape(0, 2)
    for edge in (node.get(1), node.get(2)):
        if edge is not None and edge.shape is not None and node.op == "InstanceNormalization":
            agree("channels", x[1], product(*edge.shape))
    groups = node.whole("num_groups", 1)
    channels = constant(x[1])
    if groups < 1 or (channels is not None and channels % groups):
        raise ContradictionError(f"{channels} channels in {groups} groups")
    give(node, x)


def agree(what: str, *extents: Dim) -> None:
    """Check that fixed extents are one and the same."""
    numbers = dict.fromkeys(n for n in map(constant, extents) if n is not None)
    if len(numbers) > 1:
        raise ContradictionError(f"{what} differ: " + " and ".join(f"{n:g}" for n in numbers))


def broadcasting(node: OnnxNode) -> None:
    """Inputs are broadcast as NumPy does."""
    # Before operator set 7 a smaller second input was aligned from an axis.
    aligned = node.attributes.get("broadcast")
    give(node, node.shape(0) if aligned else _broadcast(node), format=format_of_data(node))


def format_of_data(node: OnnxNode) -> str | None:
    """Return the format of the first input that is computed, if one is."""
    return next((e.format for e in node.present if e.is_data), None)


def _broadcast(node: OnnxNode) -> Shape:
    return spread(*(e.known for e in node.present))


def spread(*shapes: Shape) -> Shape:
    """Return the broadcast shape.

    Raises
    ------
    NotPricedError
        The shapes do not broadcast.
    """
    try:
        return broadcast(shapes)
    except ValueError as error:
        raise ContradictionError(str(error)) from None


def logical(node: OnnxNode) -> None:
    """A comparison or a test: ``bool``."""
    give(node, _broadcast(node), format="bool")


def where(node: OnnxNode) -> None:
    """``Where`` is formatted as what it picks from."""
    give(node, _broadcast(node), format=node.need(1).format)


def cast(node: OnnxNode) -> None:
    """``Cast``: the format is an attribute (or another input's)."""
    if node.op in {"CastLike", "BitCast"} and node.get(1) is not None:
        format = node.need(1).format
    else:
        to = node.attributes.get("to", 1)
        format = FORMATS.get(to, "") if isinstance(to, int) else str(to).lower()
    give(node, node.shape(0), format=format)


def convolution(node: OnnxNode) -> None:
    """Convolutions, their integer and transposed forms."""
    quantised = node.op == "QLinearConv"
    x, w = node.need(0), node.need(3 if quantised else 1)
    batch, _, *spatial = x.ranked(3)
    taps = list(w.ranked(3)[2:])
    if len(taps) != len(spatial):
        raise ContradictionError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    channels = w.known[0]
    groups = node.whole("group", 1)
    if groups <= 0:
        raise ContradictionError(f"{groups} groups")
    format = "int32" if node.op == "ConvInteger" else None
    if quantised and node.get(7) is not None:
        format = node.need(7).format
    kernel = [fixed(t, "a kernel size") for t in taps]
    stated = node.wholes("kernel_shape")
    if stated is not None and list(stated) != kernel:
        raise ContradictionError(f"attribute 'kernel_shape' of {list(stated)} and weights {kernel}")
    bias = node.get(2)
    read, made = simplify(w.known[1] * groups), channels
    turned = node.op == "ConvTranspose"
    if turned:
        read, made = made, read
    if bias is not None and bias.shape is not None and node.op in {"Conv", "ConvTranspose"}:
        agree("channels of weights and bias", made, product(*bias.shape))
    split = constant(channels)
    if split is not None and split % groups:
        raise ContradictionError(f"{split:g} channels in {groups} groups")
    agree("channels of weights and input", read, x.known[1])
    extents = (_scattered if turned else windows)(node, spatial, kernel)
    give(node, (batch, made, *extents), format=format)


def _scattered(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    stated = node.wholes("output_shape")
    if stated is not None:
        return list(stated[-len(kernel) :])
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    extra = node.wholes("output_padding") or (0,) * axes
    if node.text("auto_pad", "NOTSET").startswith("SAME"):
        return [simplify(n * s[i]) for i, n in enumerate(spatial)]
    pads = pads_of(node, axes)
    if min((*s, *d, *kernel), default=1) < 1 or min((*extra, *pads), default=0) < 0:
        raise ContradictionError("a stride, kernel or dilation below 1, or a negative padding")
    if len(pads) != 2 * axes or len(extra) != axes:
        raise ContradictionError(f"{len(pads)} pads and {len(extra)} more for {axes} axes")
    return [
        simplify((n - 1) * s[i] + extra[i] + (kernel[i] - 1) * d[i] + 1 - pads[i] - pads[i + axes])
        for i, n in enumerate(spatial)
    ]


def windows(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    """Return the extents of sliding windows with the node's strides, dilations and padding."""
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    auto = node.text("auto_pad", "NOTSET")
    pads = pads_of(node, axes)
    if len(pads) != 2 * axes:
        raise ContradictionError(f"{len(pads)} pads for {axes} axes")
    if min(pads, default=0) < 0 and node.domain in STANDARD:
        raise ContradictionError(f"a negative padding in {list(pads)}")
    ceil = bool(node.whole("ceil_mode", 0))
    out: list[Dim] = []
    for i, n in enumerate(spatial):
        if s[i] <= 0 or kernel[i] <= 0 or d[i] <= 0:
            raise ContradictionError("a stride, kernel or dilation below 1")
        if auto.startswith("SAME"):
            out.append(simplify(floor_div(n + (s[i] - 1), s[i])))
            continue
        before, after = (0, 0) if auto == "VALID" else (pads[i], pads[i + axes])
        # The 1 that is added stands inside the floor, so that a free extent stays one monomial.
        reach = n + (before + after - d[i] * (kernel[i] - 1) - 1 + s[i])
        extent = simplify(floor_div(simplify(reach + (s[i] - 1 if ceil else 0)), s[i]))
        fixed_extent = constant(extent)
        if ceil and fixed_extent is not None:
            # A window that starts in the padding at the end is dropped.
            size = constant(n)
            if size is not None and (fixed_extent - 1) * s[i] >= size + before:
                extent = simplify(extent - 1)
        out.append(extent)
    return out


def pads_of(node: OnnxNode, axes: int) -> tuple[int, ...]:
    """Return padding before every axis, then after it; none where it is absent."""
    return node.wholes("pads") or (0,) * (2 * axes)


def per_axis(node: OnnxNode, name: str, axes: int) -> tuple[int, ...]:
    """Return an attribute with one number per axis, ones where it is absent."""
    numbers = node.wholes(name) or (1,) * axes
    if len(numbers) != axes:
        raise ContradictionError(f"attribute '{name}' has {len(numbers)} numbers for {axes} axes")
    return numbers


def pool(node: OnnxNode) -> None:
    """Pooling windows; indices of a ``MaxPool`` are ``int64``."""
    batch, channels, *spatial = node.shape(0, 3)
    kernel = node.wholes("kernel_shape")
    if kernel is None or len(kernel) != len(spatial):
        raise ContradictionError("attribute 'kernel_shape' does not fit the input")
    pads = node.wholes("pads") or ()
    for i, pad in enumerate(pads if node.domain in STANDARD else ()):
        if not 0 <= pad < kernel[i % len(kernel)]:
            raise ContradictionError(
                f"a padding of {pad} for a window of {kernel[i % len(kernel)]}"
            )
    shape = (batch, channels, *windows(node, spatial, kernel))
    give(node, shape)
    give(node, shape, 1, "int64")


def global_pool(node: OnnxNode) -> None:
    """Global pools leave ones."""
    shape = node.shape(0, 2)
    give(node, (*shape[:2], *((1,) * (len(shape) - 2))))


def axes_of(node: OnnxNode, index: int = 1) -> tuple[int, ...] | None:
    """Return axes that an attribute states, or else an input; ``None`` where neither is there."""
    axes = node.wholes("axes")
    if axes is None and node.get(index) is not None:
        axes = tuple(fixed(v, "an axis") for v in node.numbers(index, "the axes"))
    return axes


def axes_or_all(node: OnnxNode, index: int, count: int) -> Sequence[int]:
    """Return axes that an input states, or else the first so many."""
    axes = axes_of(node, index)
    return range(count) if axes is None else axes


def reduced_axes(node: OnnxNode, rank: int) -> set[int]:
    """Return the axes that a reduction runs over."""
    axes = axes_of(node)
    if not axes:
        return set() if node.whole("noop_with_empty_axes", 0) else set(range(rank))
    return {axis_of(a, rank) for a in axes}


def reduction(node: OnnxNode) -> None:
    """Reductions over axes of an attribute or an input."""
    x = node.shape(0)
    axes = reduced_axes(node, len(x))
    left = (1,) if node.whole("keepdims", 1) else ()
    give(node, [e for i, d in enumerate(x) for e in (left if i in axes else (d,))])


def arg_reduction(node: OnnxNode) -> None:
    """``ArgMax`` and ``ArgMin``: positions along one axis."""
    x = node.shape(0)
    axis = node.axis(0, len(x))
    left = (1,) if node.whole("keepdims", 1) else ()
    give(node, replaced(x, axis, *left), format="int64")


def batch_norm(node: OnnxNode) -> None:
    """Normalised output; running statistics beside it are of training."""
    x = node.shape(0, 1)
    for i in range(1, 5):
        edge = node.get(i)
        if edge is not None and edge.shape is not None and len(x) > 1:
            agree("channels", x[1], product(*edge.shape))
    give(node, x)
    for i in range(1, len(node.outputs)):
        give(node, x[1:2], i)


def layer_norm(node: OnnxNode) -> None:
    """Normalised output, then mean and inverse deviation over the normalised axes."""
    x = node.shape(0)
    give(node, x)
    if not x:
        return
    axis = node.axis(-1, len(x))
    statistic = (*x[:axis], *((1,) * (len(x) - axis)))
    skip = node.op.startswith("Skip")
    for i in range(1, len(node.outputs)):
        give(node, x if skip and i == 3 else statistic, i)


def top_k(node: OnnxNode) -> None:
    """``TopK``: values and positions."""
    x = node.shape(0)
    axis = node.axis(-1, len(x))
    second = node.get(1)
    k = second.number() if second is not None else node.whole("k", 1)
    if second is None and k is not None and constant(k) == 0:
        raise ContradictionError("attribute 'k' is 0")
    if k is None and second is not None and second.is_data and not second.depends:
        k = node.open(0, axis)
    if k is None:
        raise UnknownShapeError("k is not known")
    most, least = constant(x[axis]), constant(k)
    if least is not None and (least < 0 or (most is not None and least > most)):
        raise ContradictionError(f"the first {least:g} of an extent of {most}")
    shape = replaced(x, axis, k)
    give(node, shape)
    give(node, shape, 1, "int64")


def recurrent(node: OnnxNode) -> None:
    """``LSTM``, ``GRU``, ``RNN``: the sequence, then the last states."""
    x, w, r = (node.shape(i, 3) for i in range(3))
    directions, hidden = r[0], r[-1]
    gates = GATES[node.op]
    ways = 2 if node.text("direction", "forward") == "bidirectional" else 1
    agree("extents of input and weights", x[2], w[2])
    agree("gates of the weights", w[1], r[1], product(gates, hidden))
    agree("directions", directions, w[0], ways)
    stated = node.attributes.get("hidden_size", hidden)
    agree("attribute 'hidden_size' and the weights", stated, hidden)
    first, second, _ = x
    if node.whole("layout", 0):
        give(node, (first, second, directions, hidden))
        last = first, directions, hidden
    else:
        give(node, (first, directions, second, hidden))
        last = directions, second, hidden
    for i in range(1, len(node.outputs)):
        give(node, last, i)


def loss(node: OnnxNode) -> None:
    """Losses: a number, or one per element where nothing reduces; then the log-probabilities."""
    x = node.shape(0)
    give(node, (*x[:1], *x[2:]) if node.text("reduction", "mean") == "none" else ())
    give(node, x, 1)


def square(node: OnnxNode) -> None:
    """``Trilu``: a stack of matrices."""
    give(node, node.shape(0, 2))


def determinants(node: OnnxNode) -> None:
    """``Det``: a number a matrix."""
    give(node, node.shape(0)[:-2])
