"""Convolutions and pools: output shapes and operation counts of sliding windows.

The shape rules are those of the ONNX operator specification (docs/Operators.md: ``Conv``,
``ConvTranspose``, ``MaxPool``, ``Col2Im``); see Dumoulin and Visin, "A guide to convolution
arithmetic for deep learning", 2016. A convolution is priced by its loop nest, from which
multiply-accumulates and tensor sizes follow. Entries of ``workloads/operators/onnx.yaml`` name
these functions.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    pads_attribute,
    per_axis_attribute,
    require_equal,
    set_output,
)
from perfmodel.workload.importers.onnx.pricer import (
    STANDARD,
    Operations,
    Pricer,
    operations_per_element,
)
from perfmodel.workload.importers.onnx.symbolic_extents import floor_div
from perfmodel.workload.nest import conv_nest
from perfmodel.workload.symbols import Dim, constant, product, simplify


def conv_shape(node: OnnxNode) -> None:
    """Set the output shape of a convolution: ``(N, M, extents...)`` for M output channels.

    Weights are ``(M, C / groups, k...)``, or ``(C, M / groups, k...)`` if transposed. The extents
    are those of `window_positions`, or of `_transposed_extents` for ``ConvTranspose``.
    ``ConvInteger`` and ``QLinearConv`` have the same shape in an integer format.
    """
    quantised = node.op == "QLinearConv"
    x, w = node.require(0), node.require(3 if quantised else 1)
    batch, _, *spatial = x.extents_of_rank_at_least(3)
    taps = list(w.extents_of_rank_at_least(3)[2:])
    if len(taps) != len(spatial):
        raise ContradictionError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    channels = w.extents[0]
    groups = node.integer("group", 1)
    if groups <= 0:
        raise ContradictionError(f"{groups} groups")
    format = "int32" if node.op == "ConvInteger" else None
    if quantised and node.get(7) is not None:
        format = node.require(7).format
    kernel = [require_integer(t, "a kernel size") for t in taps]
    stated = node.integers("kernel_shape")
    if stated is not None and list(stated) != kernel:
        raise ContradictionError(f"attribute 'kernel_shape' of {list(stated)} and weights {kernel}")
    bias = node.get(2)
    read, features = simplify(w.extents[1] * groups), channels
    is_transposed = node.op == "ConvTranspose"
    if is_transposed:
        read, features = features, read
    if bias is not None and bias.shape is not None and node.op in {"Conv", "ConvTranspose"}:
        require_equal("channels of weights and bias", features, product(*bias.shape))
    split = constant(channels)
    if split is not None and split % groups:
        raise ContradictionError(f"{split:g} channels in {groups} groups")
    require_equal("channels of weights and input", read, x.extents[1])
    extents = (_transposed_extents if is_transposed else window_positions)(node, spatial, kernel)
    set_output(node, (batch, features, *extents), format=format)


def _transposed_extents(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    """Return the extents of a transposed convolution.

    Per axis ``(n - 1) s + output_padding + (k - 1) d + 1 - pads`` for stride s, kernel k and
    dilation d, or ``n s`` with ``SAME`` padding.
    """
    stated = node.integers("output_shape")
    if stated is not None:
        return list(stated[-len(kernel) :])
    axes = len(kernel)
    s, d = per_axis_attribute(node, "strides", axes), per_axis_attribute(node, "dilations", axes)
    extra = node.integers("output_padding") or (0,) * axes
    if node.text("auto_pad", "NOTSET").startswith("SAME"):
        return [simplify(n * s[i]) for i, n in enumerate(spatial)]
    pads = pads_attribute(node, axes)
    if min((*s, *d, *kernel), default=1) < 1 or min((*extra, *pads), default=0) < 0:
        raise ContradictionError("a stride, kernel or dilation below 1, or a negative padding")
    if len(pads) != 2 * axes or len(extra) != axes:
        raise ContradictionError(f"{len(pads)} pads and {len(extra)} more for {axes} axes")
    return [
        simplify((n - 1) * s[i] + extra[i] + (kernel[i] - 1) * d[i] + 1 - pads[i] - pads[i + axes])
        for i, n in enumerate(spatial)
    ]


def window_positions(node: OnnxNode, spatial: Sequence[Dim], kernel: Sequence[int]) -> list[Dim]:
    """Return the number of positions of a sliding window along each axis.

    Per axis ``floor((n + pads - d (k - 1) - 1) / s) + 1`` for stride s, kernel k and dilation d
    (rounded up in ceil mode), or ``ceil(n / s)`` with ``SAME`` padding.
    """
    axes = len(kernel)
    s, d = per_axis_attribute(node, "strides", axes), per_axis_attribute(node, "dilations", axes)
    auto = node.text("auto_pad", "NOTSET")
    pads = pads_attribute(node, axes)
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


def same_padding(
    extents: Sequence[Dim], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """Return the padding that ``SAME`` adds, before and then after each axis.

    In total ``max(d (k - 1) + 1 - r, 0)`` per axis, with the extra element of an odd total at the
    end; r is ``n mod s``, or s if that is 0 or the extent n is free (TensorFlow, "Neural network
    ops: padding").
    """
    totals: list[int] = []
    for n, k, s, d in zip(extents, kernel, strides, dilations, strict=True):
        remainder = int((constant(n) or 0) % s) or s
        totals.append(max(d * (k - 1) + 1 - remainder, 0))
    return (*(t // 2 for t in totals), *(t - t // 2 for t in totals))


def pool_shape(node: OnnxNode) -> None:
    """Set the output shape of a pool: ``(N, C, positions...)``; indices are ``int64``."""
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
    shape = (batch, channels, *window_positions(node, spatial, kernel))
    set_output(node, shape)
    set_output(node, shape, 1, "int64")


def global_pool_shape(node: OnnxNode) -> None:
    """Set the shape of a global pool: ``(N, C, 1, ..., 1)``."""
    shape = node.shape(0, 2)
    set_output(node, (*shape[:2], *((1,) * (len(shape) - 2))))


def quantised_global_pool_shape(node: OnnxNode) -> None:
    """Set the shape of ``QLinearGlobalAveragePool``: ``(N, C, 1, ..)``, or ``(N, 1, .., C)``."""
    x = node.shape(0)
    ones = (1,) * (len(x) - 2)
    set_output(node, (x[0], *ones, x[-1]) if node.integer("channels_last", 0) else (*x[:2], *ones))


def unpool_shape(node: OnnxNode) -> None:
    """Set the shape of ``MaxUnpool``: as stated by an input, or the inverse of the pool's.

    The inverse is ``(n - 1) s + k - pads`` per axis.
    """
    x = node.shape(0)
    if node.get(2) is not None:
        set_output(node, node.numbers(2, "the output shape"))
        return
    kernel = node.integers("kernel_shape") or ()
    strides = node.integers("strides") or (1,) * len(kernel)
    pads = pads_attribute(node, len(kernel))
    spatial = [
        (n - 1) * strides[i] + kernel[i] - pads[i] - pads[i + len(kernel)]
        for i, n in enumerate(x[2:])
    ]
    set_output(node, (*x[:2], *spatial))


def col2im_shape(node: OnnxNode) -> None:
    """Set the shape of ``Col2Im``: ``(N, C * block / prod(block), image...)``."""
    x = node.shape(0)
    image, block = node.numbers(1, "the image"), node.numbers(2, "the block")
    set_output(node, (x[0], x[1] / product(*block), *image))


def price_conv(
    pricer: Pricer,
    node: OnnxNode,
    *,
    second: int = 1,
    bias: int = 2,
    transposed: bool = False,
    extra: Operations = 0,
    sampled_by: Sequence[int] = (),
) -> None:
    """Price a convolution over one to three axes.

    With batch N, C input and M output channels in g groups, output extents O and kernel K it has
    ``N M (C / g) prod(O) prod(K)`` multiply-accumulates (a transposed one: the input's extents
    instead of O), and one vector operation per output element for the bias.

    Parameters
    ----------
    second, bias
        Positions of the weights and the bias among the inputs.
    transposed
        Whether the operator is a transposed convolution.
    extra
        Operations per output element in addition to the bias (a requantisation).
    sampled_by
        Positions of the offsets, and of the mask if any, of a deformable convolution (Dai et al.,
        ICCV 2017): bilinear sampling costs 7 operations per tap and input channel, 8 with a mask.
    """
    factors = node.require(0), node.require(second)
    batch, channels, *spatial = factors[0].extents_of_rank_at_least(3)
    first, features, *taps = factors[1].extents_of_rank_at_least(3)
    if len(taps) != len(spatial):
        raise NotPricedError(f"weights with {len(taps)} axes for an input with {len(spatial)}")
    groups = node.integer("group", 1)
    kernel = [require_integer(t, "a kernel size") for t in taps]
    stride, dilation = (
        per_axis_attribute(node, name, len(taps)) for name in ("strides", "dilations")
    )
    out = node.first_output.extents[2:]
    c = simplify(channels / groups)
    m: Dim = features if transposed else simplify(first / groups)
    x, w, y = pricer.tensor(factors[0]), pricer.weight(factors[1]), pricer.tensor(node.first_output)
    names = (x.name, w.name, y.name)
    over, steps = (spatial, (1,) * len(taps)) if transposed else (out, stride)
    nest = conv_nest(batch, groups, m, c, over, kernel, steps, dilation, spatial, names)
    samplers = [node.get(i) for i in sampled_by]
    sampling = 6 + sum(edge is not None for edge in samplers) if sampled_by else 0
    samples = pricer.reads(*samplers)
    added = pricer.vector(node.get(bias))
    ops = product(y.elements, operations_per_element(extra) + len(added))
    pricer.add(
        node,
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
            "padding": pads_attribute(node, len(taps)),
            "groups": groups,
            "transposed": transposed,
        },
    )


def price_pool(pricer: Pricer, node: OnnxNode) -> None:
    """Price a pool with kernel K: ``prod(K)`` operations per output, twice that for ``LpPool``."""
    kernel = node.integers("kernel_shape")
    if kernel is None:
        raise NotPricedError("attribute 'kernel_shape' is missing")
    ops = product(*kernel, node.first_output.elements)
    axes = len(kernel)
    pricer.add(
        node,
        "pool",
        [node.require(0)],
        ops=simplify(ops * (2 if node.op == "LpPool" else 1)),
        attributes={
            "kernel": kernel,
            "stride": node.integers("strides") or (1,) * axes,
            "dilation": node.integers("dilations") or (1,) * axes,
            "padding": pads_attribute(node, axes),
        },
    )
