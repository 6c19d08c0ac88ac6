"""The front against peak memory, which is the largest of sums and so nothing to minimise."""

from __future__ import annotations

import numpy as np

import perfmodel as pm
from perfmodel.search import accuracy, configurations_of

CHOICES = {"weight_bits": [2, 4, 8]}


def test_it_spans_every_configuration() -> None:
    net, device = pm.workload("tiny_cnn"), "gemmini_16x16"
    space = configurations_of(net, CHOICES, precision="int8")
    losses = {
        decision.layers[0]: {"int2": 9.0 + i, "int4": 1.0 + i, "int8": 0.1}
        for i, decision in enumerate(space.decisions)
    }
    found = pm.search(
        net,
        device,
        choices=CHOICES,
        precision="int8",
        accuracy=accuracy.table(losses),
        constraints="peak_memory_bytes <= 1 MB",
    )
    # Brute force: every configuration predicted.
    points: list[tuple[float, float]] = []
    for choice in space:
        p = pm.predict(space.workload(choice), device, precision="int8")
        chosen = zip(space.decisions, choice, strict=True)
        loss = sum(losses[d.layers[0]][d.options[i]] for d, i in chosen)
        points.append((float(p.peak_memory_bytes), loss))
    least = min(memory for memory, _ in points)
    memory = np.asarray(found.front["peak_memory_bytes"], dtype=float)
    values = np.asarray(found.front["sensitivity"], dtype=float)
    assert least <= memory.min() <= least * 1.002
    for at, value in zip(memory.tolist(), values.tolist(), strict=True):
        best = min(loss for needed, loss in points if needed <= at * (1 + 1e-9))
        assert abs(value - best) < 1e-9
