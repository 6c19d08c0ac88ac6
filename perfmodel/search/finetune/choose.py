"""The parts to train that are worth the most within a memory, exactly.

A mixed-integer programme: one part a layer, no row of the step's memory above the limit. HiGHS
solves it and proves its answer, or leaves a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.schedule.deadline import Deadline
from perfmodel.search.finetune.memory import Floats, LayerUpdate, Scheme, TrainingMemoryModel


def best(
    memory: TrainingMemoryModel,
    gains: Mapping[tuple[int, LayerUpdate], float],
    limit_bytes: float,
    deadline: Deadline,
) -> tuple[dict[int, LayerUpdate] | None, float, bool]:
    """Return what to train, a bound on what anything within the limit is worth, and a proof.

    Parameters
    ----------
    gains
        (layer, part) -> what training it is worth.
    limit_bytes
        Most bytes at any time of the step.
    deadline
        When to stop; to train nothing is within every limit that the forward pass is within.
    """
    import scipy.sparse

    from perfmodel.schedule.solver import MilpMatrix, Status, solve

    sparse: Any = scipy.sparse

    count, width = len(memory.choices), memory.width
    worth: Floats = np.zeros(width)
    for i, choice in enumerate(memory.choices):
        worth[i] = gains.get(choice, 0.0)
    scale = max(limit_bytes, 1.0)
    rows: list[Any] = [sparse.csr_array(memory.matrix / scale)]
    highest = [(limit_bytes - memory.constant) / scale]
    layers: dict[int, list[int]] = {}
    for i, (layer, _) in enumerate(memory.choices):
        layers.setdefault(layer, []).append(i)
    one = np.zeros((len(layers), width))
    for row, columns in enumerate(layers.values()):
        one[row, columns] = 1.0
    rows.append(sparse.csr_array(one))
    highest.append(np.ones(len(layers)))
    pairs = [(c, base, f) for c, least in memory.lower.items() for base, f in least]
    if pairs:
        at = np.arange(len(pairs))
        columns, bases, factors = (np.array(side) for side in zip(*pairs, strict=True))
        shape = (len(pairs), width)
        least = sparse.csr_array((factors.astype(float), (at, bases)), shape=shape)
        rows.append(least - sparse.csr_array((np.ones(len(pairs)), (at, columns)), shape=shape))
        highest.append(np.zeros(len(pairs)))
    if (highest[0] < 0).any():
        return None, 0.0, True
    most = float(worth.max()) or 1.0
    integral = np.concatenate([np.ones(count), np.zeros(width - count)])
    programme = MilpMatrix.of(
        -worth / most, sparse.vstack(rows), -np.inf, np.concatenate(highest),
        upper=1.0, integer=integral > 0.5,
    )  # fmt: skip
    start = memory.values(_from_the_end(memory, gains, limit_bytes, deadline))
    found = solve(programme, deadline, gap=1e-9, start=start)
    chosen = {memory.choices[i][0]: memory.choices[i][1]
              for i in np.flatnonzero(found.values[:count] > 0.5).tolist()}  # fmt: skip
    every = float(sum(worth[columns].max() for columns in layers.values()))
    proved = found.status is Status.OPTIMAL or -found.objective * most >= every * (1.0 - 1e-9)
    return chosen, min(-found.bound * most, every), proved


def _from_the_end(
    memory: TrainingMemoryModel,
    gains: Mapping[tuple[int, LayerUpdate], float],
    limit_bytes: float,
    deadline: Deadline,
) -> Scheme:
    """Return all of the most worth if it fits, or as much of it, the last layers first."""
    offered: dict[int, list[LayerUpdate]] = {}
    for layer, part in memory.choices:
        offered.setdefault(layer, []).append(part)
    for layer, parts in offered.items():
        parts.sort(key=lambda part, layer=layer: -gains.get((layer, part), 0.0))
    widest: Scheme = {layer: parts[0] for layer, parts in offered.items()}
    if memory.peak_bytes(widest) <= limit_bytes:
        return widest
    scheme: Scheme = {}
    for layer in sorted(offered, reverse=True):
        for part in offered[layer]:
            if deadline.passed():
                return scheme
            wider = {**scheme, layer: part}
            if memory.peak_bytes(wider) <= limit_bytes:
                scheme = wider
                break
    return scheme
