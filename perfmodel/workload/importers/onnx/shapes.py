"""Shapes and formats of what a node writes, free dimensions as symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perfmodel.workload.builder import broadcast
from perfmodel.workload.importers.onnx.extents import floor_div, sign
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
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

#: Elements of a tensor that 64 bits can count.
_MOST_ELEMENTS = 2**63 - 1


def give(node: OnnxNode, shape: Sequence[Dim], index: int = 0, format: str | None = None) -> None:
    """Set the shape and format of one output; by default the format of the first input."""
    edge = node.outputs[index] if index < len(node.outputs) else None
    if edge is None:
        return
    dims = tuple(simplify(d) for d in shape)
    for dim in dims:
        if sign(dim) == -1:
            raise ContradictionError(f"its output would have an extent of {dim}")
        if not isinstance(dim, Poly) and dim > LARGEST_EXTENT:
            raise ContradictionError(f"its output would have an extent of {dim:g}")
    size = constant(product(*dims))
    if size is not None and size > _MOST_ELEMENTS:
        raise ContradictionError(f"its output would have {size:g} elements")
    edge.shape = dims
    if format is None:
        first = node.present[0] if node.present else None
        format = first.format if first is not None else ""
    edge.format = format


def first_same(node: OnnxNode) -> None:
    """Only the first output is of interest; it is shaped as the first input."""
    x = node.need(0).known
    axis = node.attributes.get("axis")
    if isinstance(axis, int):
        axis_of(axis, len(x))
    give(node, x)


def prelu(node: OnnxNode) -> None:
    """``PRelu``: slopes are broadcast to the input; before operator set 7 they were a channel's."""
    x, slope = node.need(0).known, node.need(1).known
    if len(slope) != 1:
        agree("elements of input and slopes", product(*spread(x, slope)), product(*x))
    give(node, x)


def along_axis(node: OnnxNode) -> None:
    """``CumSum`` and ``CumProd``: shaped as the input, along an axis that is an input."""
    x = node.need(0).known
    for number in node.need(1).numbers or ():
        axis_of(fixed(number, "an axis"), len(x))
    give(node, x)


def by_channel(node: OnnxNode) -> None:
    """Normalisations with a scale and a shift a channel: shaped as the input."""
    x = ranked(node.need(0), 2)
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
    numbers = {n for n in map(constant, extents) if n is not None}
    if len(numbers) > 1:
        raise ContradictionError(f"{what} differ: " + " and ".join(f"{n:g}" for n in numbers))


def broadcasting(node: OnnxNode) -> None:
    """Inputs are broadcast as NumPy does."""
    shapes = [e.known for e in node.present]
    if node.attributes.get("broadcast"):
        # Before operator set 7 a smaller second input was aligned from an axis.
        shapes = shapes[:1]
    give(node, spread(*shapes), format=_common(node.present))


def _common(edges: Sequence[OnnxValue]) -> str:
    data = [e.format for e in edges if e.is_data] or [e.format for e in edges]
    return data[0] if data else ""


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
    give(node, spread(*(e.known for e in node.present)), format="bool")


def where(node: OnnxNode) -> None:
    """``Where`` is formatted as what it picks from."""
    give(node, spread(*(e.known for e in node.present)), format=node.need(1).format)


def cast(node: OnnxNode) -> None:
    """``Cast``: the format is an attribute (or another input's)."""
    if node.op in {"CastLike", "BitCast"} and node.get(1) is not None:
        format = node.need(1).format
    else:
        to = node.attributes.get("to", 1)
        format = FORMATS.get(to, "") if isinstance(to, int) else str(to).lower()
    give(node, node.need(0).known, format=format)


def convolution(node: OnnxNode) -> None:
    """Convolutions, their integer and transposed forms."""
    quantised = node.op == "QLinearConv"
    x, w = node.need(0), node.need(3 if quantised else 1)
    batch, _, *spatial = ranked(x, 3)
    taps = list(ranked(w, 3)[2:])
    if len(taps) != len(spatial):
        raise ContradictionError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    channels = w.known[0]
    groups = node.whole("group", 1)
    if groups <= 0:
        raise ContradictionError(f"{groups} groups")
    format = {"ConvInteger": "int32"}.get(node.op)
    if quantised and node.get(7) is not None:
        format = node.need(7).format
    kernel = [fixed(t, "a kernel size") for t in taps]
    stated = node.wholes("kernel_shape")
    if stated is not None and list(stated) != kernel:
        raise ContradictionError(f"attribute 'kernel_shape' of {list(stated)} and weights {kernel}")
    bias = node.get(8 if quantised else 2)
    turned = node.op == "ConvTranspose"
    if bias is not None and bias.shape is not None and node.op in {"Conv", "ConvTranspose"}:
        made = simplify(w.known[1] * groups) if turned else channels
        agree("channels of weights and bias", made, product(*bias.shape))
    split = constant(channels)
    if split is not None and split % groups:
        raise ContradictionError(f"{split:g} channels in {groups} groups")
    if turned:
        agree("channels of weights and input", x.known[1], channels)
        give(node, (batch, simplify(w.known[1] * groups), *_scattered(node, spatial, kernel)))
    else:
        given, made = constant(x.known[1]), constant(simplify(w.known[1] * groups))
        if given is not None and made is not None and given != made:
            raise ContradictionError(f"{made:g} channels in the weights, {given:g} in the input")
        give(node, (batch, channels, *windows(node, spatial, kernel)), format=format)


def _scattered(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    stated = node.wholes("output_shape")
    if stated is not None:
        return list(stated[-len(kernel) :])
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    extra = node.wholes("output_padding") or (0,) * axes
    auto = node.text("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return [simplify(n * s[i]) for i, n in enumerate(spatial)]
    pads = node.wholes("pads") or (0,) * (2 * axes)
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
    pads = node.wholes("pads") or (0,) * (2 * axes)
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


def per_axis(node: OnnxNode, name: str, axes: int) -> tuple[int, ...]:
    """Return an attribute with one number an axis, ones where it is absent."""
    numbers = node.wholes(name) or (1,) * axes
    if len(numbers) != axes:
        raise ContradictionError(f"attribute '{name}' has {len(numbers)} numbers for {axes} axes")
    return numbers


def ranked(edge: OnnxValue, least: int) -> Shape:
    """Return a shape of at least so many dimensions."""
    if len(edge.known) < least:
        raise ContradictionError(f"'{edge.name}' has {len(edge.known)} dimensions")
    return edge.known


def pool(node: OnnxNode) -> None:
    """Pooling windows; indices of a ``MaxPool`` are ``int64``."""
    x = node.need(0)
    batch, channels, *spatial = ranked(x, 3)
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
    shape = ranked(node.need(0), 2)
    give(node, (*shape[:2], *((1,) * (len(shape) - 2))))


def reduced_axes(node: OnnxNode, rank: int) -> set[int]:
    """Return the axes that a reduction runs over."""
    axes = node.wholes("axes")
    second = node.get(1)
    if axes is None and second is not None:
        if second.numbers is None:
            raise UnknownShapeError("the reduced axes are computed from data")
        axes = tuple(fixed(v, "an axis") for v in second.numbers)
    if not axes:
        return set() if node.whole("noop_with_empty_axes", 0) else set(range(rank))
    return {axis_of(a, rank) for a in axes}


def reduction(node: OnnxNode) -> None:
    """Reductions over axes of an attribute or an input."""
    x = node.need(0).known
    axes = reduced_axes(node, len(x))
    if node.whole("keepdims", 1):
        give(node, [1 if i in axes else d for i, d in enumerate(x)])
    else:
        give(node, [d for i, d in enumerate(x) if i not in axes])


def arg_reduction(node: OnnxNode) -> None:
    """``ArgMax`` and ``ArgMin``: positions along one axis."""
    x = node.need(0).known
    axis = node.axis(0, len(x))
    kept = (1,) if node.whole("keepdims", 1) else ()
    give(node, replaced(x, axis, *kept), format="int64")


def batch_norm(node: OnnxNode) -> None:
    """Normalised output; running statistics beside it are of training."""
    x = ranked(node.need(0), 1)
    for i in range(1, 5):
        edge = node.get(i)
        if edge is not None and edge.shape is not None and len(x) > 1:
            agree("channels", x[1], product(*edge.shape))
    give(node, x)
    for i in range(1, len(node.outputs)):
        give(node, x[1:2], i)


def layer_norm(node: OnnxNode) -> None:
    """Normalised output, then mean and inverse deviation over the normalised axes."""
    x = node.need(0).known
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
    x = node.need(0).known
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
    x, w, r = (ranked(node.need(i), 3) for i in range(3))
    directions, hidden = r[0], r[-1]
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[node.op]
    ways = 2 if node.text("direction", "forward") == "bidirectional" else 1
    agree("extents of input and weights", x[2], w[2])
    agree("gates of the weights", w[1], r[1], product(gates, hidden))
    agree("directions", directions, w[0], ways)
    agree("attribute 'hidden_size' and the weights", node.attributes.get("hidden_size", hidden),
          hidden)  # fmt: skip
    if node.whole("layout", 0):
        batch, steps = x[0], x[1]
        give(node, (batch, steps, directions, hidden))
        last: Shape = (batch, directions, hidden)
    else:
        steps, batch = x[0], x[1]
        give(node, (steps, directions, batch, hidden))
        last = (directions, batch, hidden)
    for i in range(1, len(node.outputs)):
        give(node, last, i)


def loss(node: OnnxNode) -> None:
    """Losses: a number, or one an element where nothing reduces; then the log-probabilities."""
    x = node.need(0).known
    each = (*x[:1], *x[2:])
    give(node, each if node.text("reduction", "mean") == "none" else ())
    give(node, x, 1)


def square(node: OnnxNode) -> None:
    """``Trilu``: a stack of matrices."""
    give(node, ranked(node.need(0), 2))


def determinants(node: OnnxNode) -> None:
    """``Det``: a number a matrix."""
    give(node, node.need(0).known[:-2])
