"""The parts to train that are worth the most within a memory, exactly.

A mixed-integer programme: one part a layer, no row of the step's memory above the limit. HiGHS
solves it and proves its answer, or leaves a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.schedule.highs.silence import caught_output
from perfmodel.search.finetune.memory import Floats, Memory, Part

__all__ = ["best"]


def best(
    memory: Memory, gains: Mapping[tuple[int, Part], float], limit_bytes: float, seconds: float
) -> tuple[dict[int, Part] | None, float, bool]:
    """Return what to train, a bound on what anything within the limit is worth, and a proof.

    Parameters
    ----------
    gains
        (layer, part) -> what training it is worth.
    limit_bytes
        Most bytes at any time of the step.
    seconds
        When to stop.
    """
    import scipy.optimize
    import scipy.sparse

    optimize: Any = scipy.optimize
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
    limits = optimize.LinearConstraint(sparse.vstack(rows), -np.inf, np.concatenate(highest))
    # The library that scipy brings prints a line of its own now and then.
    with caught_output((b"HighsMip",)):
        found: Any = optimize.milp(
            -worth / most, integrality=integral, bounds=optimize.Bounds(0.0, 1.0),
            constraints=limits, options={"time_limit": seconds, "mip_rel_gap": 1e-9},
        )  # fmt: skip
    if found.x is None:
        return None, float("inf"), found.status == 2
    chosen = {memory.choices[i][0]: memory.choices[i][1]
              for i in np.flatnonzero(np.asarray(found.x)[:count] > 0.5).tolist()}  # fmt: skip
    bound = found.mip_dual_bound
    limit = float("inf") if bound is None else -float(bound) * most
    return chosen, limit, found.status == 0
