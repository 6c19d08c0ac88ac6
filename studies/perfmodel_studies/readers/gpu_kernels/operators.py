"""Networks of one operator, their extents free: what a kernel benchmark runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload

__all__ = ["attention", "batched_product", "convolution", "product", "streaming"]

Build = Callable[[ExecutionSemantics], Graph]


def _workload(name: str, build: Build, **extents: float) -> Workload:
    return Workload(name, build, extents)


@cache
def _product() -> Build:
    g = GraphBuilder("product")
    x = g.input("x", (symbol("m"), symbol("k")))
    g.output(g.linear(x, symbol("n"), bias=False))
    graph = g.build()
    return lambda _: graph


def product(m: float, n: float, k: float) -> Workload:
    """Return ``y[m, n] = x[m, k] w[k, n]`` with weights `w`."""
    return _workload("product", _product(), m=m, n=n, k=k)


@cache
def _batched() -> Build:
    g = GraphBuilder("batched_product")
    a = g.input("a", (symbol("b"), symbol("m"), symbol("k")))
    c = g.input("c", (symbol("b"), symbol("k"), symbol("n")))
    g.output(g.matmul(a, c))
    graph = g.build()
    return lambda _: graph


def batched_product(b: float, m: float, n: float, k: float) -> Workload:
    """Return `b` products of two activations."""
    return _workload("batched_product", _batched(), b=b, m=m, n=n, k=k)


#: Function -> tensors that it reads; each writes one.
STREAMS: Final[Mapping[str, int]] = {
    "add": 2, "mul": 2, "div": 2, "pow": 1, "relu": 1, "tanh": 1, "gelu": 1, "scalar": 1,
    "softmax": 1, "layer_norm": 1,
}  # fmt: skip


@cache
def _streaming(function: str) -> Build:
    g = GraphBuilder(function)
    shape = (symbol("rows"), symbol("width"))
    inputs = [g.input(f"x{i}", shape) for i in range(STREAMS[function])]
    if function == "softmax":
        g.output(g.softmax(inputs[0]))
    elif function == "layer_norm":
        g.output(g.norm(inputs[0]))
    else:
        g.output(g.elementwise(function, *inputs, ops=1.0))
    graph = g.build()
    return lambda _: graph


def streaming(function: str, rows: float, width: float) -> Workload:
    """Return one of `STREAMS` over a matrix; softmax and normalisation go along its width."""
    return _workload(function, _streaming(function), rows=rows, width=width)


@cache
def _attention(heads: int, kv_heads: int, head_dim: int, cached: bool) -> Build:
    g = SequenceBuilder("decode_attention" if cached else "prefill_attention")
    b, q, s = symbol("batch"), 1 if cached else symbol("queries"), symbol("keys")
    query = g.input("query", (b, q, heads * head_dim))
    new = tuple(g.input(name, (b, q, kv_heads * head_dim)) for name in ("key", "value"))
    g.output(
        g.attention(
            query, batch=b, queries=q, keys=s, heads=heads, head_dim=head_dim, kv_heads=kv_heads,
            cached=cached, key_value=new,
        )
    )  # fmt: skip
    graph = g.build()
    return lambda _: graph


def attention(
    batch: float, queries: float, keys: float, heads: int, kv_heads: int, head_dim: int
) -> Workload:
    """Return causal attention: of a prompt, or of one new token over a cache."""
    cached = queries == 1 and keys > 1
    build = _attention(heads, kv_heads, head_dim, cached)
    if cached:
        return _workload("decode_attention", build, batch=batch, keys=keys)
    return _workload("prefill_attention", build, batch=batch, queries=queries, keys=keys)


@cache
def _convolution(
    filter_rows: int, filter_columns: int, stride: tuple[int, int], pads: tuple[int, int]
) -> Build:
    g = GraphBuilder("convolution")
    x = g.input("x", (symbol("batch"), symbol("channels"), symbol("height"), symbol("width")))
    g.output(
        g.conv(
            x, symbol("filters"), (filter_rows, filter_columns), stride=stride, padding=pads,
            bias=False,
        )
    )  # fmt: skip
    graph = g.build()
    return lambda _: graph


def convolution(
    batch: float, channels: float, height: float, width: float, filters: float,
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
) -> Workload:  # fmt: skip
    """Return a two-dimensional convolution without bias."""
    build = _convolution(*kernel, stride, padding)
    return _workload(
        "convolution", build, batch=batch, channels=channels, height=height, width=width,
        filters=filters,
    )  # fmt: skip
