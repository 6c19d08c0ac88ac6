"""A meter for hosts without a compiler: numpy's products and copies.

Coarser than compiled kernels: a call of numpy costs about as much as a pass over the nearest cache,
so the smallest working sets are not measured, and neither are latencies nor the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from perfmodel.calibrate.probe.measure import Measure, MeterError

#: Rows and columns of the product: large beside its overheads, small beside the time of a trial.
_SIDE = 384


class WithNumpy:
    """Runs numpy in this process; threads are those that its BLAS takes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.how = f"numpy {np.__version__}"
        self.kernels = frozenset({"product", "copy", "triad"})

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Rate of each trial."""
        call, work = self._kernel(measure)
        call()
        turns, took = 1, self._time(call, 1)
        while took < 0.2 * seconds and turns < 1 << 30:
            turns *= 4
            took = self._time(call, turns)
        turns = max(1, int(turns * seconds / max(took, 1e-9)))
        return [work * turns / max(self._time(call, turns), 1e-12) for _ in range(trials)]

    def _kernel(self, measure: Measure) -> tuple[Callable[[], object], float]:
        """What is called, and the work of one call."""
        match measure.kernel:
            case "product":
                a = np.full((_SIDE, _SIDE), 0.5, np.float32)
                out = np.empty_like(a)
                return lambda: np.matmul(a, a, out=out), 2.0 * _SIDE**3
            case "copy":
                n = max(1, measure.size_bytes // 8)
                b, c = np.ones(n, np.float32), np.zeros(n, np.float32)
                return lambda: np.copyto(c, b), 8.0 * n
            case "triad":
                n = max(1, measure.size_bytes // 12)
                d, e, f = (np.ones(n, np.float32) for _ in range(3))
                return lambda: np.add(d, e, out=f), 12.0 * n
            case other:
                raise MeterError(f"numpy has no kernel {other}")

    def _time(self, call: Callable[[], object], turns: int) -> float:
        start = self._clock()
        for _ in range(turns):
            call()
        return self._clock() - start
