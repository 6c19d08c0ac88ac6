"""Table of the operators in a plain graph, declared in ``workloads/operators/layers.yaml``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfmodel.specfile import shipped
from perfmodel.workload.deformable import deformable_conv
from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_forms import (
    Adder,
    Fields,
    LayerBuilder,
    LayerOperator,
    calls,
    declared_field,
)
from perfmodel.workload.layer_stated import stated_operator
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import FUNCTIONS


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
    """Add a convolution; a transposed one also has field ``output_padding``."""
    (x,), transposed = inputs, "output_padding" in f
    axes, groups = len(x.shape) - 2, f["groups"]
    channels = x.shape[1] if f["channels"] is None else f["channels"]
    for noun, number in (("input channels", x.shape[1]), ("channels", channels)):
        share = constant(simplify(number / groups))
        if share is not None and share != int(share):
            raise ValueError(f"{number} {noun} do not divide into {groups} groups")
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
    """Concatenate tensors; a single input is returned as it is."""
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
    """Copy part of a tensor, reading that part only."""
    shape: tuple[Dim, ...] = f["shape"]
    if len(shape) != len(x[0].shape):
        raise ValueError(f"a slice of {show(x[0].shape)} with the rank of {show(shape)}")
    for part, extent in zip(shape, x[0].shape, strict=True):
        a, b = constant(part), constant(extent)
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
    """Format a shape for a message: ``(batch, 3, 8)``."""
    return "(" + ", ".join(map(str, shape)) + ")"


def _same(what: str, left: Sequence[Dim], right: Sequence[Dim]) -> None:
    """Raise ValueError if two fixed extents differ; free extents are assumed to agree."""
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


#: Operator -> function that adds it, unless a method of the builder accepts its fields by name.
_ADDERS: Final[Mapping[str, Adder]] = {
    "linear": _linear,
    "matmul": _matmul,
    "conv": _conv,
    "conv_transpose": _conv,
    "conv_norm": _conv_norm,
    "deformable_conv": calls(deformable_conv),
    "weight": _weight,
    "operator": stated_operator,
    "pool": _pool,
    "elementwise": _elementwise,
    "view": _view,
    "flatten": _flatten,
    "concat": _concat,
    "slice": _slice,
    "transpose": _transpose,
    "pad": _copy,
    "copy": _copy,
    "resize": _resize,
    "quantise": calls(LayerBuilder.convert),
    "dequantise": calls(LayerBuilder.convert),
    "attention": _attention,
    "experts": _experts,
    "scan": _scan,
    **{cell: _recurrent(cell) for cell in ("lstm", "gru", "rnn")},
    **{name: _norm(name) for name in ("batch_norm", "group_norm", "layer_norm", "rms_norm")},
}


def _operator(name: str, entry: Mapping[str, Any]) -> LayerOperator:
    fields = {key: declared_field(form) for key, form in entry.get("fields", {}).items()}
    least, most = entry.get("inputs", (1, 1))
    return LayerOperator(
        _ADDERS.get(name) or calls(getattr(LayerBuilder, name)),
        fields,
        (least, math.inf if most == "any" else most),
        tuple(entry.get("ranks", ())),
    )


_ENTRIES: Final = shipped("workloads", "operators/layers.yaml")["operators"]

#: Names of operators in other tools -> name here, for suggestions.
ELSEWHERE: Final[Mapping[str, str]] = {
    other: name for name, entry in _ENTRIES.items() for other in entry.get("also", ())
} | {"swish": "silu"}

#: Name in a file -> operator.
OPERATORS: Final[Mapping[str, LayerOperator]] = {
    name: LayerOperator(_function(name), inputs=(1, math.inf)) for name in FUNCTIONS
} | {name: _operator(name, entry) for name, entry in _ENTRIES.items()}
