"""Shapes and prices of convolutions and pools, which slide a window over their input."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    fixed,
)
from perfmodel.workload.importers.onnx.pricing import STANDARD, Operations, Pricer, operations
from perfmodel.workload.importers.onnx.shapes import agree, give, pads_of, per_axis
from perfmodel.workload.nest import conv_nest
from perfmodel.workload.symbols import Dim, constant, product, simplify


def conv_shape(node: OnnxNode) -> None:
    """Set the output shape of a convolution, also of its integer and transposed forms."""
    quantised = node.op == "QLinearConv"
    x, w = node.need(0), node.need(3 if quantised else 1)
    batch, _, *spatial = x.ranked(3)
    taps = list(w.ranked(3)[2:])
    if len(taps) != len(spatial):
        raise ContradictionError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    channels = w.known[0]
    groups = node.integer("group", 1)
    if groups <= 0:
        raise ContradictionError(f"{groups} groups")
    format = "int32" if node.op == "ConvInteger" else None
    if quantised and node.get(7) is not None:
        format = node.need(7).format
    kernel = [fixed(t, "a kernel size") for t in taps]
    stated = node.integers("kernel_shape")
    if stated is not None and list(stated) != kernel:
        raise ContradictionError(f"attribute 'kernel_shape' of {list(stated)} and weights {kernel}")
    bias = node.get(2)
    read, features = simplify(w.known[1] * groups), channels
    turned = node.op == "ConvTranspose"
    if turned:
        read, features = features, read
    if bias is not None and bias.shape is not None and node.op in {"Conv", "ConvTranspose"}:
        agree("channels of weights and bias", features, product(*bias.shape))
    split = constant(channels)
    if split is not None and split % groups:
        raise ContradictionError(f"{split:g} channels in {groups} groups")
    agree("channels of weights and input", read, x.known[1])
    extents = (_scattered if turned else windows)(node, spatial, kernel)
    give(node, (batch, features, *extents), format=format)


def _scattered(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    """Return the extents of a transposed convolution.

    ``(n - 1) * stride + output_padding + (kernel - 1) * dilation + 1 - pads`` per axis, or
    ``n * stride`` with ``SAME`` padding.
    """
    stated = node.integers("output_shape")
    if stated is not None:
        return list(stated[-len(kernel) :])
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    extra = node.integers("output_padding") or (0,) * axes
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
    """Return the number of positions of a sliding window along each axis.

    ``floor((n + pads - dilation * (kernel - 1) - 1) / stride) + 1``, rounded up in ceil mode, or
    ``ceil(n / stride)`` with ``SAME`` padding.
    """
    axes = len(kernel)
    s, d = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    auto = node.text("auto_pad", "NOTSET")
    pads = pads_of(node, axes)
    if len(pads) != 2 * axes:
        raise ContradictionError(f"{len(pads)} pads for {axes} axes")
    if min(pads, default=0) < 0 and node.domain in STANDARD:
        raise ContradictionError(f"a negative padding in {list(pads)}")
    ceil = bool(node.integer("ceil_mode", 0))
    out: list[Dim] = []
    for i, n in enumerate(spatial):
        if s[i] <= 0 or kernel[i] <= 0 or d[i] <= 0:
            raise ContradictionError("a stride, kernel or dilation below 1")
        if auto.startswith("SAME"):
            out.append(simplify(floor_div(n + (s[i] - 1), s[i])))
            continue
        before, after = (0, 0) if auto == "VALID" else (pads[i], pads[i + axes])
        # The + 1 is inside the floor, so that a free extent remains a single monomial.
        reach = n + (before + after - d[i] * (kernel[i] - 1) - 1 + s[i])
        extent = simplify(floor_div(simplify(reach + (s[i] - 1 if ceil else 0)), s[i]))
        fixed_extent = constant(extent)
        if ceil and fixed_extent is not None:
            # A window that starts in the trailing padding is dropped.
            size = constant(n)
            if size is not None and (fixed_extent - 1) * s[i] >= size + before:
                extent = simplify(extent - 1)
        out.append(extent)
    return out


def pool_shape(node: OnnxNode) -> None:
    """Set the output shape of a pool; the indices of a ``MaxPool`` are ``int64``."""
    batch, channels, *spatial = node.shape(0, 3)
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != len(spatial):
        raise ContradictionError("attribute 'kernel_shape' does not fit the input")
    pads = node.integers("pads") or ()
    for i, pad in enumerate(pads if node.domain in STANDARD else ()):
        if not 0 <= pad < kernel[i % len(kernel)]:
            raise ContradictionError(
                f"a padding of {pad} for a window of {kernel[i % len(kernel)]}"
            )
    shape = (batch, channels, *windows(node, spatial, kernel))
    give(node, shape)
    give(node, shape, 1, "int64")


def global_pool(node: OnnxNode) -> None:
    """Reduce every spatial axis to one element."""
    shape = node.shape(0, 2)
    give(node, (*shape[:2], *((1,) * (len(shape) - 2))))


def spatial_mean(node: OnnxNode) -> None:
    """Set the shape of ``QLinearGlobalAveragePool``, channels first or last."""
    x = node.shape(0)
    ones = (1,) * (len(x) - 2)
    give(node, (x[0], *ones, x[-1]) if node.integer("channels_last", 0) else (*x[:2], *ones))


def unpool(node: OnnxNode) -> None:
    """Set the shape of ``MaxUnpool``: as stated, or the inverse of the pool's.

    Inverse: ``(n - 1) * stride + kernel - pads`` per axis.
    """
    x = node.shape(0)
    if node.get(2) is not None:
        give(node, node.numbers(2, "the output shape"))
        return
    kernel = node.integers("kernel_shape") or ()
    strides = node.integers("strides") or (1,) * len(kernel)
    pads = pads_of(node, len(kernel))
    spatial = [
        (n - 1) * strides[i] + kernel[i] - pads[i] - pads[i + len(kernel)]
        for i, n in enumerate(x[2:])
    ]
    give(node, (*x[:2], *spatial))


def col2im(node: OnnxNode) -> None:
    """Set the shape of ``Col2Im``, which assembles an image from columns."""
    x = node.shape(0)
    image, block = node.numbers(1, "the image"), node.numbers(2, "the block")
    give(node, (x[0], x[1] / product(*block), *image))


def conv(
    p: Pricer,
    n: OnnxNode,
    *,
    second: int = 1,
    bias: int = 2,
    transposed: bool = False,
    extra: Operations = 0,
    sampled_by: Sequence[int] = (),
) -> None:
    """Price a convolution over one to three axes.

    Parameters
    ----------
    extra
        Operations per output besides the bias (a requantisation).
    sampled_by
        Inputs with the offsets, and the mask if any, of a deformable convolution: bilinear sampling
        costs 7 operations per tap and input channel, plus one with a mask.
    """
    factors = n.need(0), n.need(second)
    batch, channels, *spatial = factors[0].ranked(3)
    first, features, *taps = factors[1].ranked(3)
    if len(taps) != len(spatial):
        raise NotPricedError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    groups = n.integer("group", 1)
    kernel = [fixed(t, "a kernel size") for t in taps]
    stride, dilation = (per_axis(n, name, len(taps)) for name in ("strides", "dilations"))
    out = n.out.known[2:]
    c = simplify(channels / groups)
    m: Dim = features if transposed else simplify(first / groups)
    x, w, y = p.tensor(factors[0]), p.weight(factors[1]), p.tensor(n.out)
    names = (x.name, w.name, y.name)
    over, steps = (spatial, (1,) * len(taps)) if transposed else (out, stride)
    nest = conv_nest(batch, groups, m, c, over, kernel, steps, dilation, spatial, names)
    samplers = [n.get(i) for i in sampled_by]
    sampling = 6 + sum(edge is not None for edge in samplers) if sampled_by else 0
    samples = p.reads(*samplers)
    added = p.vector(n.get(bias))
    ops = product(y.elements, operations(extra) + len(added))
    p.add(
        n,
        "depthwise" if not sampled_by and groups != 1 and groups == channels else "conv",
        [x, w, *samples, *added],
        ops=ops + product(batch, channels, *out, *kernel) * sampling if sampled_by else ops,
        nests=[nest],
        pair=(w.slot, x.slot),
        attributes=None
        if sampled_by
        else {
            "kernel": tuple(kernel),
            "stride": stride,
            "dilation": dilation,
            "padding": pads_of(n, len(taps)),
            "groups": groups,
            "transposed": transposed,
        },
    )


def pool(p: Pricer, n: OnnxNode) -> None:
    """Price a pool: one operation per tap and output, two for ``LpPool``."""
    kernel = n.integers("kernel_shape")
    if kernel is None:
        raise NotPricedError("attribute 'kernel_shape' is missing")
    ops = product(*kernel, n.out.elements)
    axes = len(kernel)
    p.add(
        n,
        "pool",
        [p.tensor(n.need(0))],
        ops=simplify(ops * (2 if n.op == "LpPool" else 1)),
        attributes={
            "kernel": kernel,
            "stride": n.integers("strides") or (1,) * axes,
            "dilation": n.integers("dilations") or (1,) * axes,
            "padding": pads_of(n, axes),
        },
    )
