"""Operators that a template may call, declared in ``workloads/operators/layers.yaml``.

For each operator, an adder checks the shapes that its formula requires and calls the method of the
builder. `OPERATORS` maps the names in a file to their declarations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfmodel.specfile import shipped
from perfmodel.workload.deformable import deformable_conv
from perfmodel.workload.explicit_operators import explicit_operator
from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_declarations import (
    Adder,
    Fields,
    LayerBuilder,
    LayerOperator,
    calls,
    parse_field,
)
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import FUNCTIONS


def _linear(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add ``y = x W + b`` over the last axis; a tied weight must have its shape."""
    x = inputs[0]
    tied: Tensor | None = fields["weight"]
    if tied is not None:
        _same(
            "features x inputs of the tied weight",
            tied.shape,
            (fields["features"], x.shape[-1]),
        )
    bias = inputs[1] if len(inputs) > 1 else fields["bias"]
    return builder.linear(
        x, fields["features"], name=name, bias=bias, tag=fields["tag"], weight=tied
    )


def _matmul(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add a product of two tensors, whose inner and batch extents must agree."""
    a, b = inputs
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ValueError(f"cannot multiply {show(a.shape)} by {show(b.shape)}: rank below 2")
    _same("inner extents", a.shape[-1:], b.shape[-2:-1])
    for left, right in zip(a.shape[-3::-1], b.shape[-3::-1], strict=False):
        _same("batch extents", (left,), (right,))
    return builder.matmul(a, b, name=name)


def _conv(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add a convolution; a transposed one also has field ``output_padding``."""
    (x,), transposed = inputs, "output_padding" in fields
    axes, groups = len(x.shape) - 2, fields["groups"]
    channels = x.shape[1] if fields["channels"] is None else fields["channels"]
    for noun, number in (("input channels", x.shape[1]), ("channels", channels)):
        share = constant(simplify(number / groups))
        if share is not None and share != int(share):
            raise ValueError(f"{number} {noun} do not divide into {groups} groups")
    kernel, tied = _axes(fields["kernel"], axes), fields.get("weight")
    if tied is not None:
        own = (channels, simplify(x.shape[1] / groups), *kernel)
        if len(tied.shape) != len(own):
            raise ValueError(
                f"the tied weight {show(tied.shape)} does not have the shape {show(own)}"
            )
        _same("extents of the tied weight", tied.shape, own)
    extra = {"output_padding": _axes(fields["output_padding"], axes)} if transposed else {}
    return builder.conv(
        x,
        channels,
        kernel,
        stride=_axes(fields["stride"], axes),
        padding=_padding(fields["padding"], axes),
        dilation=_axes(fields["dilation"], axes),
        groups=groups,
        bias=fields["bias"],
        transposed=transposed,
        name=name,
        weight=tied,
        **extra,
    )


def _conv_norm(
    builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields
) -> Tensor:
    """Add convolution, normalisation and activation."""
    x = inputs[0]
    axes = len(x.shape) - 2
    channels = x.shape[1] if fields["channels"] is None else fields["channels"]
    padding = None if fields["padding"] is None else _padding(fields["padding"], axes)
    return builder.conv_norm(
        x,
        channels,
        _axes(fields["kernel"], axes),
        stride=_axes(fields["stride"], axes),
        padding=padding,
        groups=fields["groups"],
        activation=fields["activation"],
        bias=fields["bias"],
        dilation=fields["dilation"],
        name=name,
    )


def _weight(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Declare stored parameters."""
    shape = fields["means"] if fields["shape"] is None else fields["shape"]
    if shape is None:
        raise ValueError("it has neither a shape nor the means of one")
    return builder.weight(name, shape, tag=fields["tag"], format=fields["format"])


def _pool(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add a pool over the spatial axes."""
    x = inputs[0]
    axes = len(x.shape) - 2
    stride = fields["stride"]
    return builder.pool(
        x,
        _axes(fields["kernel"], axes),
        stride=None if stride is None else _axes(stride, axes),
        padding=_padding(fields["padding"], axes),
        ceil=fields["ceil"],
        name=name,
    )


def _elementwise(
    builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields
) -> Tensor:
    """Add a function of each element."""
    return builder.elementwise(
        fields["function"],
        *inputs,
        name=name,
        ops=fields["ops"],
        format=fields["format"],
        shape=fields["shape"],
    )


def _function(function: str) -> Adder:
    return lambda builder, name, inputs, fields: builder.elementwise(function, *inputs, name=name)


def _norm(function: str) -> Adder:
    return lambda builder, name, inputs, fields: builder.norm(
        inputs[0], function, name=name, **fields
    )


def _view(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    x = inputs[0]
    if not fields["part"]:
        _same("elements", (x.elements,), (product(*fields["shape"]),))
    return builder.view(x, fields["shape"], name=name)


def _flatten(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    x = inputs[0]
    del fields
    return builder.view(x, (x.shape[0], product(*x.shape[1:])), name=name)


def _concat(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Concatenate tensors; a single input is returned as it is."""
    x = inputs[0]
    first, axis = x.shape, _axis(fields["axis"], x)
    if len(inputs) == 1:
        return x
    for other in inputs[1:]:
        if len(other.shape) != len(first):
            raise ValueError(f"cannot join {show(first)} and {show(other.shape)}: ranks differ")
        _same(
            f"extents off axis {axis}",
            (*first[:axis], *first[axis + 1 :]),
            (*other.shape[:axis], *other.shape[axis + 1 :]),
        )
    total: Dim = sum((t.shape[axis] for t in inputs), 0)
    return builder.copy(inputs, (*first[:axis], total, *first[axis + 1 :]), name=name)


def _slice(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Copy part of a tensor, reading that part only."""
    x = inputs[0]
    shape: tuple[Dim, ...] = fields["shape"]
    if len(shape) != len(x.shape):
        raise ValueError(f"a slice of {show(x.shape)} with the rank of {show(shape)}")
    for part, extent in zip(shape, x.shape, strict=True):
        a, b = constant(part), constant(extent)
        if a is not None and b is not None and a > b:
            raise ValueError(f"a slice {show(shape)} beyond {show(x.shape)}")
    return builder.copy([x], shape, name=name, read=[product(*shape)])


def _transpose(
    builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields
) -> Tensor:
    """Add a transposition, which copies."""
    x = inputs[0]
    order: tuple[int, ...] = fields["order"]
    if sorted(order) != list(range(len(x.shape))):
        raise ValueError(f"order {list(order)} does not permute the axes of {show(x.shape)}")
    return builder.copy([x], [x.shape[i] for i in order], name=name, order=order)


def _copy(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    shape = inputs[0].shape if fields["shape"] is None else fields["shape"]
    return builder.copy(inputs, shape, name=name, order=fields.get("order") or ())


def _resize(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    x = inputs[0]
    spatial: tuple[Dim, ...] = fields["spatial"]
    if len(spatial) != len(x.shape) - 2:
        raise ValueError(f"{len(spatial)} spatial extents for an input {show(x.shape)}")
    return builder.resize(x, spatial, name=name, ops=fields["ops"])


def _attention(
    builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields
) -> Tensor:
    """Add attention; extents that are not stated follow from the inputs."""
    query, heads = inputs[0], fields["heads"]
    batch, queries, width = query.shape
    batch = batch if fields["batch"] is None else fields["batch"]
    other, bias = (inputs[1] if len(inputs) > 1 else None), fields["bias"]
    if fields["head_dim"] is None and other is None:
        raise ValueError("a head_dim is needed where queries, keys and values are one input")
    head_dim = fields["head_dim"]
    if head_dim is None:
        size = constant(simplify(width / heads))
        if size is None or size != int(size):
            raise ValueError(f"{width} features do not divide into {heads} heads")
        head_dim = int(size)
    kv_heads = fields["kv_heads"] or heads
    if heads % kv_heads:
        raise ValueError(f"{heads} heads do not divide into {kv_heads} key and value heads")
    keys: Dim | None = fields["keys"]
    if keys is None:
        keys = queries if other is None else other.shape[1]
    return builder.attention(
        query,
        batch=batch,
        queries=queries,
        keys=keys,
        heads=heads,
        head_dim=head_dim,
        kv_heads=kv_heads,
        value_dim=fields["value_dim"],
        causal=fields["causal"],
        window=fields["window"],
        cached=fields["cached"],
        write_cache=fields["cached"] if fields["stores"] is None else fields["stores"],
        key_value=inputs[1:] or None,
        latent=fields["latent"] or 0,
        bias=bias,
        name=name,
        cache=fields["cache"],
        stored_keys=fields["stored"],
    )


def _experts(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add the grouped product of a mixture of experts."""
    x = inputs[0]
    if fields["per_token"] > fields["experts"]:
        raise ValueError(f"{fields['per_token']} experts a token of {fields['experts']}")
    rows = product(*x.shape[:-1])
    tokens = rows if fields["gathered"] else simplify(rows / fields["per_token"])
    return builder.experts(
        x,
        tokens,
        fields["features"],
        count=fields["experts"],
        per_token=fields["per_token"],
        matrices=fields["matrices"],
        name=name,
        gathered=fields["gathered"],
    )


def _recurrent(cell: str) -> Adder:
    return lambda builder, name, inputs, fields: builder.recurrent(
        inputs[0], cell=cell, name=name, **fields
    )


def _scan(builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields) -> Tensor:
    """Add a selective scan over the steps of a sequence."""
    x = inputs[0]
    batch, steps, channels = x.shape
    size = constant(channels)
    if size is None:
        raise ValueError("the channels of a scan are a fixed number")
    return builder.scan(
        x,
        batch=batch,
        steps=steps,
        channels=int(size),
        state=fields["state"],
        name=name,
        selected=inputs[1:],
    )


def show(shape: Sequence[Dim]) -> str:
    """Format a shape for a message: ``(batch, 3, 8)``."""
    return "(" + ", ".join(map(str, shape)) + ")"


def _same(description: str, left: Sequence[Dim], right: Sequence[Dim]) -> None:
    """Raise ValueError if two fixed extents differ; free extents are assumed to agree."""
    if left == right:
        return
    for a, b in zip(left, right, strict=True):
        if a != b and constant(a) is not None and constant(b) is not None:
            raise ValueError(f"{description} differ: {a} and {b}")


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
    "operator": explicit_operator,
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
    fields = {key: parse_field(form) for key, form in entry.get("fields", {}).items()}
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
