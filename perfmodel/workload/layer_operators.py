"""The operators that a plain graph may name: their fields, and the builder's method behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.deformable import deformable_conv
from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_forms import (
    REQUIRED,
    Adder,
    Field,
    Fields,
    LayerBuilder,
    LayerOperator,
    calls,
)
from perfmodel.workload.layer_stated import STATED
from perfmodel.workload.symbols import Dim, constant, product, simplify


def _linear(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    tied: Tensor | None = f["weight"]
    if tied is not None:
        _same("features x inputs of the tied weight", tied.shape, (f["features"], x[0].shape[-1]))
    bias = x[1] if len(x) > 1 else f["bias"]
    return g.linear(x[0], f["features"], name=name, bias=bias, tag=f["tag"], weight=tied)


def _matmul(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    a, b = x
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ValueError(f"cannot multiply {show(a.shape)} by {show(b.shape)}: rank below 2")
    _same("inner extents", a.shape[-1:], b.shape[-2:-1])
    for left, right in zip(a.shape[-3::-1], b.shape[-3::-1], strict=False):
        _same("batch extents", (left,), (right,))
    return g.matmul(a, b, name=name)


def _conv(g: LayerBuilder, name: str, inputs: Sequence[Tensor], f: Fields) -> Tensor:
    """Add a convolution; one that scatters has a padding of its output."""
    (x,), transposed = inputs, "output_padding" in f
    axes, groups = len(x.shape) - 2, f["groups"]
    channels = x.shape[1] if f["channels"] is None else f["channels"]
    for what, number in (("input channels", x.shape[1]), ("channels", channels)):
        share = constant(simplify(number / groups))
        if share is not None and share != int(share):
            raise ValueError(f"{number} {what} do not divide into {groups} groups")
    kernel, tied = _axes(f["kernel"], axes), f.get("weight")
    if tied is not None:
        own = (channels, simplify(x.shape[1] / groups), *kernel)
        if len(tied.shape) != len(own):
            raise ValueError(f"the tied weight {show(tied.shape)} is none of {show(own)}")
        _same("extents of the tied weight", tied.shape, own)
    extra = {"output_padding": _axes(f["output_padding"], axes)} if transposed else {}
    return g.conv(
        x,
        channels,
        kernel,
        stride=_axes(f["stride"], axes),
        padding=_padding(f["padding"], axes),
        dilation=_axes(f["dilation"], axes),
        groups=groups,
        bias=f["bias"],
        transposed=transposed,
        name=name,
        weight=tied,
        **extra,
    )


def _conv_norm(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    axes = len(x[0].shape) - 2
    channels = x[0].shape[1] if f["channels"] is None else f["channels"]
    padding = None if f["padding"] is None else _padding(f["padding"], axes)
    return g.conv_norm(
        x[0],
        channels,
        _axes(f["kernel"], axes),
        stride=_axes(f["stride"], axes),
        padding=padding,
        groups=f["groups"],
        activation=f["activation"],
        bias=f["bias"],
        dilation=f["dilation"],
        name=name,
    )


def _weight(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    shape = f["means"] if f["shape"] is None else f["shape"]
    if shape is None:
        raise ValueError("it has neither a shape nor the means of one")
    return g.weight(name, shape, tag=f["tag"], format=f["format"])


def _pool(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    axes = len(x[0].shape) - 2
    stride = f["stride"]
    return g.pool(
        x[0],
        _axes(f["kernel"], axes),
        stride=None if stride is None else _axes(stride, axes),
        padding=_padding(f["padding"], axes),
        ceil=f["ceil"],
        name=name,
    )


def _elementwise(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    return g.elementwise(
        f["function"], *x, name=name, ops=f["ops"], format=f["format"], shape=f["shape"]
    )


def _function(function: str) -> Adder:
    return lambda g, name, x, f: g.elementwise(function, *x, name=name)


def _norm(function: str) -> Adder:
    return lambda g, name, x, f: g.norm(x[0], function, name=name, **f)


def _view(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    if not f["part"]:
        _same("elements", (x[0].elements,), (product(*f["shape"]),))
    return g.view(x[0], f["shape"], name=name)


def _flatten(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    del f
    return g.view(x[0], (x[0].shape[0], product(*x[0].shape[1:])), name=name)


def _concat(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    """Join tensors; one alone stays itself."""
    first, axis = x[0].shape, _axis(f["axis"], x[0])
    if len(x) == 1:
        return x[0]
    for other in x[1:]:
        if len(other.shape) != len(first):
            raise ValueError(f"cannot join {show(first)} and {show(other.shape)}: ranks differ")
        _same(
            f"extents off axis {axis}",
            (*first[:axis], *first[axis + 1 :]),
            (*other.shape[:axis], *other.shape[axis + 1 :]),
        )
    total: Dim = sum((t.shape[axis] for t in x), 0)
    return g.copy(x, (*first[:axis], total, *first[axis + 1 :]), name=name)


def _slice(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    """Take part of a tensor: only that part is read."""
    shape: tuple[Dim, ...] = f["shape"]
    if len(shape) != len(x[0].shape):
        raise ValueError(f"a slice of {show(x[0].shape)} with the rank of {show(shape)}")
    for part, whole in zip(shape, x[0].shape, strict=True):
        a, b = constant(part), constant(whole)
        if a is not None and b is not None and a > b:
            raise ValueError(f"a slice {show(shape)} beyond {show(x[0].shape)}")
    return g.copy([x[0]], shape, name=name, read=[product(*shape)])


def _transpose(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    order: tuple[int, ...] = f["order"]
    if sorted(order) != list(range(len(x[0].shape))):
        raise ValueError(f"order {list(order)} does not permute the axes of {show(x[0].shape)}")
    return g.copy([x[0]], [x[0].shape[i] for i in order], name=name, order=order)


def _copy(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    shape = x[0].shape if f["shape"] is None else f["shape"]
    return g.copy(x, shape, name=name, order=f.get("order") or ())


def _resize(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    spatial: tuple[Dim, ...] = f["spatial"]
    if len(spatial) != len(x[0].shape) - 2:
        raise ValueError(f"{len(spatial)} spatial extents for an input {show(x[0].shape)}")
    return g.resize(x[0], spatial, name=name, ops=f["ops"])


def _attention(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    query, heads = x[0], f["heads"]
    batch, queries, width = query.shape
    batch = batch if f["batch"] is None else f["batch"]
    other, bias = (x[1] if len(x) > 1 else None), f["bias"]
    if f["head_dim"] is None and other is None:
        raise ValueError("a head_dim is needed where queries, keys and values are one input")
    head_dim = f["head_dim"]
    if head_dim is None:
        size = constant(simplify(width / heads))
        if size is None or size != int(size):
            raise ValueError(f"{width} features do not divide into {heads} heads")
        head_dim = int(size)
    kv_heads = f["kv_heads"] or heads
    if heads % kv_heads:
        raise ValueError(f"{heads} heads do not divide into {kv_heads} key and value heads")
    keys: Dim | None = f["keys"]
    if keys is None:
        keys = queries if other is None else other.shape[1]
    return g.attention(
        query,
        batch=batch,
        queries=queries,
        keys=keys,
        heads=heads,
        head_dim=head_dim,
        kv_heads=kv_heads,
        value_dim=f["value_dim"],
        causal=f["causal"],
        window=f["window"],
        cached=f["cached"],
        write_cache=f["cached"] if f["stores"] is None else f["stores"],
        key_value=x[1:] or None,
        latent=f["latent"] or 0,
        bias=bias,
        name=name,
        cache=f["cache"],
        stored_keys=f["stored"],
    )


def _experts(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    if f["per_token"] > f["experts"]:
        raise ValueError(f"{f['per_token']} experts a token of {f['experts']}")
    rows = product(*x[0].shape[:-1])
    tokens = rows if f["gathered"] else simplify(rows / f["per_token"])
    return g.experts(
        x[0],
        tokens,
        f["features"],
        count=f["experts"],
        per_token=f["per_token"],
        matrices=f["matrices"],
        name=name,
        gathered=f["gathered"],
    )


def _recurrent(cell: str) -> Adder:
    return lambda g, name, x, f: g.recurrent(x[0], cell=cell, name=name, **f)


def _scan(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    batch, steps, channels = x[0].shape
    size = constant(channels)
    if size is None:
        raise ValueError("the channels of a scan are a fixed number")
    return g.scan(
        x[0],
        batch=batch,
        steps=steps,
        channels=int(size),
        state=f["state"],
        name=name,
        selected=x[1:],
    )


def show(shape: Sequence[Dim]) -> str:
    """Return a shape for a message: ``(batch, 3, 8)``."""
    return "(" + ", ".join(map(str, shape)) + ")"


def _same(what: str, left: Sequence[Dim], right: Sequence[Dim]) -> None:
    """Refuse fixed extents that differ; free ones are taken to agree."""
    if left == right:
        return
    for a, b in zip(left, right, strict=True):
        if a != b and constant(a) is not None and constant(b) is not None:
            raise ValueError(f"{what} differ: {a} and {b}")


def _axes(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    numbers = (value,) * axes if isinstance(value, int) else value
    if len(numbers) != axes:
        raise ValueError(f"{list(numbers)} has {len(numbers)} numbers for {axes} spatial axes")
    return numbers


def _padding(value: int | str | tuple[int, ...], axes: int) -> str | tuple[int, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple) and len(value) == 2 * axes:
        return value
    return _axes(value, axes)


def _axis(axis: int, x: Tensor) -> int:
    rank = len(x.shape)
    if not -rank <= axis < rank:
        raise ValueError(f"no axis {axis} in {show(x.shape)}")
    return axis % rank


_SPATIAL: Final = (3, 4, 5)
_MANY: Final = 10_000
_CONV: Final = {
    "channels": Field("extent", None),
    "kernel": Field("wholes", REQUIRED),
    "stride": Field("wholes", 1),
    "padding": Field("wholes", 0, ("same",), least=0),
    "dilation": Field("wholes", 1),
    "groups": Field("extent", 1),
    "bias": Field("flag", True),
}
_RECURRENT: Final = {
    "hidden": Field("whole", REQUIRED),
    "directions": Field("whole", 1),
    "bias": Field("flag", True),
}
_FUNCTIONS: Final = tuple(
    name
    for name in VECTOR_OPS
    if name
    not in {
        "batch_norm",
        "layer_norm",
        "rms_norm",
        "group_norm",
        "softmax",
        "quantise",
        "dequantise",
    }
)

#: What other tools call some of the operators, for suggestions.
ELSEWHERE: Final[Mapping[str, str]] = {
    "convolution": "conv",
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "depthwise_conv": "conv",
    "convtranspose": "conv_transpose",
    "deconv": "conv_transpose",
    "dense": "linear",
    "fc": "linear",
    "fully_connected": "linear",
    "gemm": "linear",
    "maxpool": "pool",
    "max_pool": "pool",
    "avg_pool": "pool",
    "average_pool": "pool",
    "global_average_pool": "global_pool",
    "reshape": "view",
    "cat": "concat",
    "permute": "transpose",
    "upsample": "resize",
    "interpolate": "resize",
    "batchnorm": "batch_norm",
    "layernorm": "layer_norm",
    "rmsnorm": "rms_norm",
    "self_attention": "attention",
    "moe": "experts",
    "mamba": "scan",
    "quantize": "quantise",
    "dequantize": "dequantise",
    "swish": "silu",
}

#: Name in a file -> operator.
OPERATORS: Final[Mapping[str, LayerOperator]] = {
    "linear": LayerOperator(
        _linear,
        {
            "features": Field("extent", REQUIRED),
            "bias": Field("flag", True),
            "tag": Field("text", ""),
            "weight": Field("layer", None),
        },
        (1, 2),
    ),
    "matmul": LayerOperator(_matmul, inputs=(2, 2)),
    "conv": LayerOperator(_conv, {**_CONV, "weight": Field("layer", None)}, ranks=_SPATIAL),
    "conv_transpose": LayerOperator(
        _conv, {**_CONV, "output_padding": Field("wholes", 0, least=0)}, ranks=_SPATIAL
    ),
    "conv_norm": LayerOperator(
        _conv_norm,
        {
            **_CONV,
            "padding": Field("wholes", None, ("same",), least=0),
            "dilation": Field("whole", 1),
            "bias": Field("flag", False),
            "activation": Field("text", "", ("", *_FUNCTIONS)),
        },
        ranks=_SPATIAL,
    ),
    "deformable_conv": LayerOperator(
        calls(deformable_conv),
        {
            "channels": Field("extent", REQUIRED),
            "kernel": Field("whole", 3),
            "stride": Field("whole", 1),
            "groups": Field("extent", 1),
            "offsets": Field("text", "free", ("free", "square")),
            "offset_kernel": Field("whole", 3),
            "modulated": Field("flag", False),
            "rounded": Field("flag", False),
            "bound": Field("whole", 0, least=0),
            "bias": Field("flag", False),
        },
        ranks=(4,),
    ),
    "squeeze_excite": LayerOperator(
        calls(LayerBuilder.squeeze_excite),
        {
            "channels": Field("extent", REQUIRED),
            "activation": Field("text", "relu", _FUNCTIONS),
            "gate": Field("text", "sigmoid", _FUNCTIONS),
        },
        ranks=_SPATIAL,
    ),
    "weight": LayerOperator(
        _weight,
        {
            "shape": Field("shape", None),
            "means": Field("any", None),
            "tag": Field("text", ""),
            "format": Field("format", ""),
        },
        (0, 0),
    ),
    **STATED,
    "pool": LayerOperator(
        _pool,
        {
            "kernel": Field("wholes", REQUIRED),
            "stride": Field("wholes", None),
            "padding": Field("wholes", 0, ("same",), least=0),
            "ceil": Field("flag", False),
        },
        ranks=_SPATIAL,
    ),
    "global_pool": LayerOperator(
        calls(LayerBuilder.global_pool), {"keep": Field("flag", False)}, ranks=_SPATIAL
    ),
    "reduce": LayerOperator(calls(LayerBuilder.reduce), {"shape": Field("shape", REQUIRED)}),
    "elementwise": LayerOperator(
        _elementwise,
        {
            "function": Field("text", REQUIRED, _FUNCTIONS),
            "ops": Field("number", None, least=0),
            "format": Field("format", ""),
            "shape": Field("shape", None),
        },
        (1, _MANY),
    ),
    "softmax": LayerOperator(calls(LayerBuilder.softmax)),
    "view": LayerOperator(_view, {"shape": Field("shape", REQUIRED), "part": Field("flag", False)}),
    "flatten": LayerOperator(_flatten),
    "concat": LayerOperator(_concat, {"axis": Field("whole", 1, least=-5)}, (1, _MANY)),
    "slice": LayerOperator(_slice, {"shape": Field("shape", REQUIRED)}),
    "transpose": LayerOperator(_transpose, {"order": Field("wholes", REQUIRED, least=0)}),
    "pad": LayerOperator(_copy, {"shape": Field("shape", REQUIRED)}),
    "shift": LayerOperator(_copy, {"shape": Field("shape", None)}),
    "copy": LayerOperator(
        _copy,
        {"shape": Field("shape", None), "order": Field("wholes", None, least=0)},
        (1, _MANY),
    ),
    "resize": LayerOperator(
        _resize,
        {"spatial": Field("shape", REQUIRED), "ops": Field("number", 7, least=0)},
        ranks=_SPATIAL,
    ),
    "quantise": LayerOperator(calls(LayerBuilder.convert), {"format": Field("format", REQUIRED)}),
    "dequantise": LayerOperator(calls(LayerBuilder.convert), {"format": Field("format", "")}),
    "embedding": LayerOperator(
        calls(LayerBuilder.embedding),
        {
            "vocabulary": Field("extent", REQUIRED),
            "features": Field("extent", REQUIRED),
            "weight": Field("layer", None),
        },
    ),
    "attention": LayerOperator(
        _attention,
        {
            "heads": Field("whole", REQUIRED),
            "head_dim": Field("whole", None),
            "kv_heads": Field("whole", None),
            "value_dim": Field("whole", None),
            "keys": Field("extent", None),
            "batch": Field("extent", None),
            "causal": Field("flag", False),
            "window": Field("whole", None),
            "cached": Field("flag", False),
            "latent": Field("whole", None),
            "bias": Field("result", None),
            "cache": Field("result", None),
            "stores": Field("flag", None),
            "stored": Field("extent", None),
        },
        (1, 3),
        ranks=(3,),
    ),
    "experts": LayerOperator(
        _experts,
        {
            "experts": Field("whole", REQUIRED),
            "per_token": Field("whole", REQUIRED),
            "features": Field("extent", REQUIRED),
            "matrices": Field("whole", 1),
            "gathered": Field("flag", True),
        },
    ),
    **{
        cell: LayerOperator(_recurrent(cell), _RECURRENT, ranks=(3,))
        for cell in ("lstm", "gru", "rnn")
    },
    "scan": LayerOperator(_scan, {"state": Field("whole", REQUIRED)}, (1, _MANY), (3,)),
    **{
        name: LayerOperator(
            _norm(name),
            {"affine": Field("whole", affine, least=0), "features": Field("extent", None)},
            ranks=ranks,
        )
        for name, affine, ranks in (
            ("batch_norm", 2, (2, *_SPATIAL)),
            ("group_norm", 2, (2, *_SPATIAL)),
            ("layer_norm", 2, ()),
            ("rms_norm", 1, ()),
        )
    },
    **{name: LayerOperator(_function(name), inputs=(1, _MANY)) for name in _FUNCTIONS},
}
