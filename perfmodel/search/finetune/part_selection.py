"""Exact selection of the layer parts to train: the largest total gain within a memory limit.

A mixed-integer linear programme with at most one part per layer, in which no row of the step's
memory exceeds the limit. Its objective is the negated gain, so a lower bound of the programme is an
upper bound of the gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.milp_model import MilpModel
from perfmodel.search.finetune.training_memory import (
    Floats,
    LayerUpdate,
    Scheme,
    TrainingMemoryModel,
)


def best(
    memory: TrainingMemoryModel,
    gains: Mapping[tuple[int, LayerUpdate], float],
    limit_bytes: float,
    deadline: Deadline,
) -> Certified[Scheme]:
    """Return the optimal scheme with its certificate; the value is the negated total gain.

    Parameters
    ----------
    gains
        (layer, part) -> gain from training it.
    limit_bytes
        Largest memory use at any time of the step, in bytes.
    deadline
        Time limit. The empty scheme is a valid answer whenever the forward pass fits.
    """
    if (memory.constant > limit_bytes).any():
        return nothing("forward pass", math.inf)
    worth: Floats = np.array([gains.get(choice, 0.0) for choice in memory.choices])
    most = float(worth.max()) or 1.0
    best_of: dict[int, float] = {}
    for (layer, _), gain in zip(memory.choices, worth.tolist(), strict=True):
        best_of[layer] = max(best_of.get(layer, 0.0), gain)
    known = _from_the_end(memory, gains, limit_bytes, deadline)
    value, bound = -sum(gains.get(choice, 0.0) for choice in known.items()), -sum(best_of.values())
    if value <= bound:
        return Certified(known, value, bound, "widest parts")
    model = _programme(memory, -worth / most, limit_bytes)
    start = memory.values(known)
    added = memory.added_bytes @ start / max(limit_bytes, 1.0)
    solved = model.solve(deadline, gap=1e-9, start=np.append(start, added))
    values = start if solved.solution is None else solved.solution
    scheme = dict(choice for choice, x in zip(memory.choices, values, strict=False) if x > 0.5)
    return Certified(
        scheme,
        -sum(gains.get(choice, 0.0) for choice in scheme.items()),
        max(solved.bound * most, bound),
        solved.method,
        solved.work,
        # The solver's optimality holds within its own tolerance.
        tolerance=1e-6 if solved.met else 1e-9,
        scale=most,
    )


def _programme(memory: TrainingMemoryModel, cost: Floats, limit_bytes: float) -> MilpModel:
    """Return the integer programme over the columns of a step's memory.

    With x the columns, the memory rows obey
    ``constant[r] + added + sum of matrix[r, c] x[c] <= limit``, where
    ``added >= sum of added_bytes[c] x[c]``. Each layer has at most one part,
    ``sum of x[layer, part] <= 1``, and an implied column is at least its factor times each of its
    causes, ``x[c] >= factor x[base]``.
    """
    model = MilpModel("training")
    x = model.variables("train", cost.shape, cost=cost, integer=True)
    x = np.append(x, model.variables("implied", (memory.width - len(x),)))
    # Relative to the limit, so that these rows have the scale of the others.
    scale = max(limit_bytes, 1.0)
    row, column, size = memory.entries()
    memory_rows = np.arange(len(memory.constant))
    added = model.variables("added", (1,), high=np.inf)
    trained = np.flatnonzero(memory.added_bytes)
    summed = x[trained], -memory.added_bytes[trained] / scale, 0 * trained
    model.require_all("added", (added, 1.0), summed, low=0.0)
    model.require_all(
        "memory",
        (x[column], size / scale, row),
        (added[0 * memory_rows], 1.0, memory_rows),
        high=(limit_bytes - memory.constant) / scale,
    )
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
    """Return the parts of largest gain if they fit, else a greedy scheme from the last layer."""
    offered: dict[int, list[LayerUpdate]] = {}
    for layer, part in memory.choices:
        if gains.get((layer, part), 0.0) > 0.0:
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
