"""Dispatch times of an installed onnxruntime: per node, view, body and run; one thread.

The models are written as bytes, without the onnx package: protocol buffers as in onnx.proto of the
ONNX repository, where a message is a sequence of fields, each a key (field number and wire type)
and a value.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

#: Lengths of the chains; the shortest yields the time per run, the slope that per node.
_LENGTHS = (1, 101, 201, 401)
_FEWER = (2, 52, 102, 202)
#: Runs timed together: long against the clock's resolution, short against a scheduler slice.
_TOGETHER = 20


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Dispatch times.

    Attributes
    ----------
    version : str
        Version of onnxruntime.
    per_node_s, per_run_s : float
        Slope and intercept of the time of chains of trivial nodes against their length.
    per_view_s : float or None
        Slope of chains of nodes that add and remove an axis.
    per_subgraph_s : float or None
        Slope of chains of ``If`` nodes, minus the node inside each body, which costs no more than a
        view.
    """

    version: str
    per_node_s: float
    per_run_s: float
    per_view_s: float | None = None
    per_subgraph_s: float | None = None


def measure_dispatch(
    seconds: float,
    onnxruntime: Any,
    clock: Callable[[], float] = time.perf_counter,
    timer: Callable[[], float] = time.thread_time,
) -> Dispatch:
    """Time chains of nodes on one float, long enough to resolve the dispatch of a node.

    Parameters
    ----------
    seconds : float
        Time to spend; every chain runs at least a few times regardless.
    onnxruntime : module
    clock : callable
        Monotonic seconds, for the budget.
    timer : callable
        Seconds for timing the chains: CPU time of this thread, without the slices of other
        processes.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    x = {"x": np.ones(1, np.float32)}
    with_condition = {**x, "c": np.array(True)}
    families = ((chain, _LENGTHS, x), (views, _FEWER, x), (choices, _FEWER, with_condition))
    timed = [
        (onnxruntime.InferenceSession(build(n), options, providers=["CPUExecutionProvider"]), feeds)
        for build, lengths, feeds in families
        for n in lengths
    ]
    best = [float("inf")] * len(timed)
    started, rounds = clock(), 0
    while rounds < 3 or (clock() - started < seconds and rounds < 10_000):
        rounds += 1
        for i, (session, feeds) in enumerate(timed):
            start = timer()
            for _ in range(_TOGETHER):
                session.run(None, feeds)
            best[i] = min(best[i], (timer() - start) / _TOGETHER)
    count = len(_LENGTHS)
    node, view, choice = (
        max(float(np.polyfit(lengths, best[count * k : count * (k + 1)], 1)[0]), 0.0)
        for k, (_, lengths, _) in enumerate(families)
    )
    return Dispatch(
        str(onnxruntime.__version__), node, max(best[0] - node, 0.0), view, max(choice - view, 0.0)
    )


_FLOAT, _INT64, _BOOL = 1, 7, 9
_GRAPH = 5
_IR_VERSION = 8
_OPERATORS = 13


def _varint(number: int) -> bytes:
    """Return a varint: base 128, lowest seven bits first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _integer_field(field: int, value: int) -> bytes:
    """Return a field with an integer."""
    return _varint(field << 3) + _varint(value)


def _bytes_field(field: int, value: bytes | str) -> bytes:
    """Return a field with bytes, a text or a message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _scalar_info(name: str, kind: int = _FLOAT, *, scalar: bool = False) -> bytes:
    """Return the ValueInfoProto of a tensor with one number."""
    shape = b"" if scalar else _bytes_field(1, _integer_field(1, 1))
    tensor = _integer_field(1, kind) + _bytes_field(2, shape)
    return _bytes_field(1, name) + _bytes_field(2, _bytes_field(1, tensor))


def _node(operator: str, reads: tuple[str, ...], write: str, *attributes: bytes) -> bytes:
    """Return the NodeProto of an operator."""
    inputs = b"".join(_bytes_field(1, name) for name in reads)
    return (
        inputs
        + _bytes_field(2, write)
        + _bytes_field(4, operator)
        + b"".join(_bytes_field(5, a) for a in attributes)
    )


def _model(nodes: list[bytes], stored: bytes = b"", further: bytes = b"") -> bytes:
    """Return the ModelProto of a graph from ``x`` to ``y``, both one float."""
    graph = b"".join(_bytes_field(1, node) for node in nodes) + _bytes_field(2, "chain")
    graph += (
        stored + _bytes_field(11, _scalar_info("x")) + further + _bytes_field(12, _scalar_info("y"))
    )
    return (
        _integer_field(1, _IR_VERSION)
        + _bytes_field(7, graph)
        + _bytes_field(8, _integer_field(2, _OPERATORS))
    )


def _tensor_names(nodes: int) -> list[str]:
    """Return the names of the tensors of a chain."""
    return ["x", *(f"t{i}" for i in range(1, nodes)), "y"]


def chain(nodes: int) -> bytes:
    """Return a model of consecutive additions, each of one float: only dispatch.

    Parameters
    ----------
    nodes : int
        At least 1. Input ``x``, output ``y``.
    """
    return _model([_node("Add", (a, "x"), b) for a, b in pairwise(_tensor_names(nodes))])


def views(nodes: int) -> bytes:
    """Return a model of consecutive views that alternately add and remove an axis.

    Parameters
    ----------
    nodes : int
        Even, at least 2. Input ``x``, output ``y``.
    """
    reshapes = [
        _node("Squeeze" if i % 2 else "Unsqueeze", (a, "axis"), b)
        for i, (a, b) in enumerate(pairwise(_tensor_names(nodes)))
    ]
    axis = (
        _integer_field(1, 1)
        + _integer_field(2, _INT64)
        + _integer_field(7, 0)
        + _bytes_field(8, "axis")
    )
    return _model(reshapes, _bytes_field(5, axis))


def choices(nodes: int) -> bytes:
    """Return a model of consecutive ``If`` nodes, each body a single ``Identity``.

    Parameters
    ----------
    nodes : int
        At least 1. Inputs ``x`` and ``c``, a condition that every node reads; output ``y``.
    """

    def body(place: str, source: str, result: str) -> bytes:
        graph = _bytes_field(1, _node("Identity", (source,), result)) + _bytes_field(2, result)
        graph += _bytes_field(12, _scalar_info(result))
        return _bytes_field(1, place) + _bytes_field(6, graph) + _integer_field(20, _GRAPH)

    branches = [
        _node("If", ("c",), b, body("then_branch", a, f"p{i}"), body("else_branch", a, f"q{i}"))
        for i, (a, b) in enumerate(pairwise(_tensor_names(nodes)))
    ]
    return _model(branches, further=_bytes_field(11, _scalar_info("c", _BOOL, scalar=True)))
