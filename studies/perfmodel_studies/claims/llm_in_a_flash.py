"""What the model says of the input and output times of LLM in a flash."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.kinds.storage import storage_bandwidth

#: Bytes per second that the paper measured: linear, scattered over 32 threads, bundled.
LINEAR, SCATTERED, BUNDLED = 6.1e9, 1.25e9, 2.25e9
#: Share of the neurons that are active, and of the others that the predictor names all the same.
ACTIVE, NAMED = 0.03, 0.07
#: Share of the feed-forward weights that a token loads anew beside a window of earlier ones.
NEW = 0.024
#: Bytes of an element; threads that read; bytes of a neuron's row and column side by side (in the
#: fp32 that the paper gives the size of).
WIDTH, THREADS, BUNDLE = 2.0, 32.0, 32768.0


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    model = pm.workload("opt_6_7b")
    weights = float(model.weights) * WIDTH
    width, hidden, layers = 4096, 16384, 32
    feed_forward = layers * 2 * width * hidden * WIDTH
    named = feed_forward * (ACTIVE + NAMED * (1.0 - ACTIVE))
    new = feed_forward * NEW
    commands = _commands(BUNDLE / 2.0)
    bundled = storage_bandwidth(BUNDLE, THREADS, 0.0, LINEAR, commands=commands, pipelined=True)
    return {
        "io_naive_ms": 1e3 * weights / LINEAR,
        "io_hybrid_ms": 1e3 * weights / 2.0 / LINEAR,
        "io_predictor_ms": 1e3 * 0.9e9 / SCATTERED,
        "io_windowing_ms": 1e3 * new / SCATTERED,
        "io_bundling_ms": 1e3 * 0.2e9 / BUNDLED,
        "moved_naive_gb": weights / 1e9,
        "moved_predictor_gb": named / 1e9,
        "moved_windowing_gb": new / 1e9,
        "bundled_gb_s": float(bundled) / 1e9,
    }


def _commands(row: float) -> float:
    """Return commands per second at which scattered rows are read as fast as was measured."""
    low, high = 1e3, 1e7
    for _ in range(100):
        middle = (low * high) ** 0.5
        rate = storage_bandwidth(row, THREADS, 0.0, LINEAR, commands=middle, pipelined=True)
        low, high = (middle, high) if float(rate) < SCATTERED else (low, middle)
    return low
