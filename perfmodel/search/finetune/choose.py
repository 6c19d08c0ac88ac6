"""The parts to train that are worth the most within a memory, exactly.

A mixed-integer programme: one part a layer, no row of the step's memory above the limit. HiGHS
solves it and proves its answer, or leaves a bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.programme import MilpModel
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
    if (memory.constant > limit_bytes).any():
        return None, 0.0, True
    worth: Floats = np.array([gains.get(choice, 0.0) for choice in memory.choices])
    most = float(worth.max()) or 1.0
    model = _programme(memory, -worth / most, limit_bytes)
    start = memory.values(_from_the_end(memory, gains, limit_bytes, deadline))
    solved = model.solve(deadline, gap=1e-9, start=start)
    values = start if solved.solution is None else solved.solution
    scheme = dict(choice for choice, x in zip(memory.choices, values, strict=False) if x > 0.5)
    best_of: dict[int, float] = {}
    for (layer, _), gain in zip(memory.choices, worth.tolist(), strict=True):
        best_of[layer] = max(best_of.get(layer, 0.0), gain)
    every = sum(best_of.values())
    proved = solved.proved or -solved.value * most >= every * (1.0 - 1e-9)
    return scheme, min(-solved.bound * most, every), proved


def _programme(memory: TrainingMemoryModel, cost: Floats, limit_bytes: float) -> MilpModel:
    """Return the programme over the columns of a step's memory.

    No row of it exceeds the limit, ``constant[r] + sum of matrix[r, c] x[c] <= limit``; of a layer
    one part is trained at most, ``sum of x[layer, part] <= 1``; and what choices imply is at least
    the share of each, ``x[c] >= factor x[base]``.
    """
    model = MilpModel("training")
    x = model.variables("train", cost.shape, cost=cost, integer=True)
    x = np.append(x, model.variables("implied", (memory.width - len(x),)))
    row, column = np.nonzero(memory.matrix)
    # In parts of the limit, so that a row is no larger than the others.
    scale = max(limit_bytes, 1.0)
    bytes_ = x[column], memory.matrix[row, column] / scale, row
    model.require_all("memory", bytes_, high=(limit_bytes - memory.constant) / scale)
    layers, layer = np.unique([layer for layer, _ in memory.choices], return_inverse=True)
    model.require_all("part", (x[: len(layer)], 1.0, layer), high=np.ones(len(layers)))
    pairs = [(c, base, f) for c, least in memory.lower.items() for base, f in least]
    if pairs:
        columns, bases, factors = map(np.array, zip(*pairs, strict=True))
        model.require_all(
            "implies", (x[columns.astype(int)], 1.0), (x[bases.astype(int)], -factors), low=0.0
        )
    return model


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
