"""Problems in which every table belongs to one decision: the multiple-choice knapsack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.beam import beam
from perfmodel.search.exact.branch import branch
from perfmodel.search.exact.incumbent import Incumbent
from perfmodel.search.exact.problem import Floats
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced
from perfmodel.search.exact.relaxation import relax

#: Decisions that the beam searches, and how wide.
CORE, WIDTH = 40, 192
#: Nodes after which HiGHS, with its cuts, has the better chance.
PATIENCE = 150_000


@dataclass(frozen=True)
class KnapsackBound:
    """What a method reached.

    Attributes
    ----------
    bound
        Nothing is below it; infinite where no choice exists.
    prices : ndarray or None
        Of the rows of the reduced problem.
    """

    bound: float
    method: str
    prices: Floats | None
    nodes: int = 0


def knapsack(
    p: Reduced, incumbent: Incumbent, deadline: Deadline, gap: float, seed: int
) -> KnapsackBound:
    """Solve a reduced problem without shared tables."""
    try:
        at = relax(p, deadline)
    except NoChoice:
        return KnapsackBound(math.inf, "relaxation", None)
    prices = at.prices
    incumbent.offer(p.choices(at.local[None]))
    beam(p, at, incumbent, core=CORE, width=WIDTH, seed=seed)
    if not np.isfinite(incumbent.value):
        beam(p, at, incumbent, core=4 * CORE, width=WIDTH, seed=seed)
    tiny = 1e-12 * p.size
    nodes = 0
    bound = at.bound
    held: Reduced = p
    while True:
        if _near(incumbent.value, bound, gap, tiny):
            return KnapsackBound(min(bound, incumbent.value), "core", prices, nodes)
        try:
            smaller = held.keeping(at.penalties + at.bound < incumbent.value - tiny)
        except NoChoice:
            # Whatever is left is no better than the incumbent.
            return KnapsackBound(incumbent.value, "core", prices, nodes)
        if not len(smaller.count):
            incumbent.offer(smaller.base[None])
            return KnapsackBound(incumbent.value, "core", prices, nodes)
        try:
            at = relax(smaller, deadline)
        except NoChoice:
            return KnapsackBound(incumbent.value, "core", prices, nodes)
        bound = max(bound, min(at.bound, incumbent.value))
        shrunk = int(smaller.count.sum()) < 0.8 * int(held.count.sum())
        held = smaller
        if shrunk or nodes == 0:
            before = incumbent.value
            found = branch(held, at.prices, incumbent, deadline, gap=gap, nodes=PATIENCE, seed=seed)
            nodes += found.nodes
            bound = max(bound, found.bound)
            if found.done or deadline.passed():
                return KnapsackBound(bound, "branch and bound", prices, nodes)
            if incumbent.value < before:
                continue
        break
    return _rest(held, incumbent, deadline, gap, bound, prices, nodes)


def _rest(
    p: Reduced,
    incumbent: Incumbent,
    deadline: Deadline,
    gap: float,
    bound: float,
    prices: Floats,
    nodes: int,
) -> KnapsackBound:
    had = incumbent.value
    found, more = by_programme(p, incumbent, deadline, gap)
    # The programme covers only what may be better than the incumbent was.
    return KnapsackBound(
        max(bound, min(found, had)), "branch and bound, milp", prices, nodes + more
    )


def _near(value: float, bound: float, gap: float, tiny: float) -> bool:
    return value - bound <= max(tiny, gap * abs(value)) if math.isfinite(value) else False
