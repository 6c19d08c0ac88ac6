"""What the order of D2MoE is worth in a pipeline of loading and computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from perfmodel.schedule.stream import Load, pipeline

from perfmodel_studies.streams.order import hottest_first, johnson
from perfmodel_studies.streams.slices import bit_slices

#: Mixtral: experts of a layer, and of a token; share of the visits in 2, 3 and 4 bits.
EXPERTS, VISITS, SHARES = 8, 2, (0.3, 0.4, 0.3)
#: Bytes of base and residuals, in units of one bit a weight.
SLICES: Final = (2.0, 1.0, 1.0)
#: Requests at once -> computing as a share of the latency: 5.3 / 16.77 and 18.56 / 20.77, from the
#: published shares of dequantising in either.
COMPUTING: Final = {32: 0.316, 4: 0.894}
LAYERS: Final = 40


def layers(requests: int) -> list[list[list[int]]]:
    """Return who asks for what in each layer: ``[expert][bits]``."""
    random = np.random.default_rng(0)
    out: list[list[list[int]]] = []
    for _ in range(LAYERS):
        counts = np.zeros((EXPERTS, 3), dtype=int)
        for _ in range(requests):
            for expert in random.choice(EXPERTS, VISITS, replace=False):
                counts[expert, random.choice(3, p=SHARES)] += 1
        out.append(counts.tolist())
    return out


def seconds(
    requested: list[list[list[int]]], work: float, order: Callable[[Sequence[Load]], Sequence[int]]
) -> tuple[float, float]:
    """Return (seconds, seconds of computing) of all layers under an order."""
    total = busy = 0.0
    for layer in requested:
        items = bit_slices(layer, SLICES, 1.0, work)
        line = pipeline(items, order(items))
        total, busy = total + line.makespan_s, busy + line.compute_s
    return total, busy


def natural(items: Sequence[Load]) -> Sequence[int]:
    """Expert after expert, each with all its slices."""
    return range(len(items))


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    out: dict[str, float] = {}
    for requests, share in COMPUTING.items():
        requested = layers(requests)
        low, high = 1e-3, 10.0
        for _ in range(40):
            middle = (low * high) ** 0.5
            total, busy = seconds(requested, middle, hottest_first)
            low, high = (middle, high) if busy / total < share else (low, middle)
        hot, busy = seconds(requested, low, hottest_first)
        loading = sum(
            item.io_s for layer in requested for item in bit_slices(layer, SLICES, 1.0, low)
        )
        out[f"over_natural_{requests}"] = seconds(requested, low, natural)[0] / hot
        out[f"over_serial_{requests}"] = (loading + busy) / hot
        out[f"of_least_{requests}"] = seconds(requested, low, johnson)[0] / hot
    return out
