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


def _whole(number: int) -> bytes:
    """Return a varint: base 128, lowest seven bits first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _whole(field << 3) + _whole(value)


def _part(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _whole(field << 3 | 2) + _whole(len(data)) + data


def _one(name: str, kind: int = _FLOAT, *, scalar: bool = False) -> bytes:
    """Return the ValueInfoProto of a tensor with one number."""
    shape = b"" if scalar else _part(1, _number(1, 1))
    tensor = _number(1, kind) + _part(2, shape)
    return _part(1, name) + _part(2, _part(1, tensor))


def _node(operator: str, reads: tuple[str, ...], write: str, *attributes: bytes) -> bytes:
    inputs = b"".join(_part(1, name) for name in reads)
    return inputs + _part(2, write) + _part(4, operator) + b"".join(_part(5, a) for a in attributes)


def _model(nodes: list[bytes], stored: bytes = b"", further: bytes = b"") -> bytes:
    """Return the ModelProto of a graph from ``x`` to ``y``, both one float."""
    graph = b"".join(_part(1, node) for node in nodes) + _part(2, "chain")
    graph += stored + _part(11, _one("x")) + further + _part(12, _one("y"))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _number(2, _OPERATORS))


def _names(nodes: int) -> list[str]:
    return ["x", *(f"t{i}" for i in range(1, nodes)), "y"]


def chain(nodes: int) -> bytes:
    """Return a model of consecutive additions, each of one float: only dispatch.

    Parameters
    ----------
    nodes : int
        At least 1. Input ``x``, output ``y``.
    """
    return _model([_node("Add", (a, "x"), b) for a, b in pairwise(_names(nodes))])


def views(nodes: int) -> bytes:
    """Return a model of consecutive views that alternately add and remove an axis.

    Parameters
    ----------
    nodes : int
        Even, at least 2. Input ``x``, output ``y``.
    """
    reshapes = [
        _node("Squeeze" if i % 2 else "Unsqueeze", (a, "axis"), b)
        for i, (a, b) in enumerate(pairwise(_names(nodes)))
    ]
    axis = _number(1, 1) + _number(2, _INT64) + _number(7, 0) + _part(8, "axis")
    return _model(reshapes, _part(5, axis))


def choices(nodes: int) -> bytes:
    """Return a model of consecutive ``If`` nodes, each body a single ``Identity``.

    Parameters
    ----------
    nodes : int
        At least 1. Inputs ``x`` and ``c``, a condition that every node reads; output ``y``.
    """

    def body(place: str, source: str, result: str) -> bytes:
        graph = _part(1, _node("Identity", (source,), result)) + _part(2, result)
        graph += _part(12, _one(result))
        return _part(1, place) + _part(6, graph) + _number(20, _GRAPH)

    branches = [
        _node("If", ("c",), b, body("then_branch", a, f"p{i}"), body("else_branch", a, f"q{i}"))
        for i, (a, b) in enumerate(pairwise(_names(nodes)))
    ]
    return _model(branches, further=_part(11, _one("c", _BOOL, scalar=True)))
