"""What an installed onnxruntime takes to dispatch a node and a run, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.calibrate.probe.onnx_bytes import chain

__all__ = ["Dispatch", "measure_dispatch"]

#: Lengths of the chains; the shortest tells the run, the slope tells the node.
_LENGTHS = (1, 101, 201, 401)
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
    """

    version: str
    per_node_s: float
    per_run_s: float


def measure_dispatch(
    seconds: float, onnxruntime: Any, clock: Callable[[], float] = time.perf_counter
) -> Dispatch:
    """Time chains of additions of one float, each long enough to see the dispatch of a node.

    Parameters
    ----------
    seconds : float
        Time to spend; every chain is run at least a few times whatever it is.
    onnxruntime : module
    clock : callable
        Seconds, rising.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(chain(n), options, providers=["CPUExecutionProvider"])
        for n in _LENGTHS
    ]
    feeds = {"x": np.ones(1, np.float32)}
    best = [float("inf")] * len(_LENGTHS)
    started, rounds = clock(), 0
    while rounds < 3 or (clock() - started < seconds and rounds < 10_000):
        rounds += 1
        for i, session in enumerate(sessions):
            start = clock()
            for _ in range(_TOGETHER):
                session.run(None, feeds)
            best[i] = min(best[i], (clock() - start) / _TOGETHER)
    slope = float(np.polyfit(_LENGTHS, best, 1)[0])
    slope = max(slope, 0.0)
    return Dispatch(str(onnxruntime.__version__), slope, max(best[0] - slope, 0.0))
