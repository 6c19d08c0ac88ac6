"""What an installed onnxruntime takes to dispatch a node, a view, a body and a run; one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.calibrate.probe.onnx_bytes import chain, choices, views

#: Lengths of the chains; the shortest tells the run, the slope tells the node.
_LENGTHS = (1, 101, 201, 401)
_FEWER = (2, 52, 102, 202)
#: Runs timed together: long beside the clock's step, short beside a slice of the scheduler.
_TOGETHER = 20


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Times of dispatch.

    Attributes
    ----------
    version : str
        Of onnxruntime.
    per_node_s, per_run_s : float
        Slope and intercept of the time of chains of trivial nodes against their length.
    per_view_s : float or None
        Slope of chains of nodes that add and take away an axis.
    per_subgraph_s : float or None
        Slope of chains of ``If`` nodes, less the node inside each body, which is no more than a
        view.
    """

    version: str
    per_node_s: float
    per_run_s: float
    per_view_s: float | None = None
    per_subgraph_s: float | None = None


def measure_dispatch(
    seconds: float, onnxruntime: Any, clock: Callable[[], float] = time.perf_counter,
    timer: Callable[[], float] = time.thread_time,
) -> Dispatch:  # fmt: skip
    """Time chains of nodes on one float, each long enough to see the dispatch of a node.

    Parameters
    ----------
    seconds : float
        Time to spend; every chain is run at least a few times whatever it is.
    onnxruntime : module
    clock : callable
        Seconds, rising, that are spent.
    timer : callable
        Seconds, rising, that chains are timed by: those that this thread runs, without the slices
        that other processes get.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    x = {"x": np.ones(1, np.float32)}
    chosen = {**x, "c": np.array(True)}
    families = ((chain, _LENGTHS, x), (views, _FEWER, x), (choices, _FEWER, chosen))
    timed = [
        (onnxruntime.InferenceSession(made(n), options, providers=["CPUExecutionProvider"]), feeds)
        for made, lengths, feeds in families
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
