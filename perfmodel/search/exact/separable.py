"""Problems in which every table belongs to one decision: the multiple-choice knapsack."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact.beam import beam
from perfmodel.search.exact.branch import branch
from perfmodel.search.exact.incumbent import ChoiceIncumbent
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced
from perfmodel.search.exact.relaxation import relax
from perfmodel.search.exact.result import ChoiceSolution

#: Decisions that the beam searches, and how wide.
CORE, WIDTH = 40, 192
#: Nodes after which HiGHS, with its cuts, has the better chance.
PATIENCE = 150_000


def knapsack(
    p: Reduced, incumbent: ChoiceIncumbent, deadline: Deadline, gap: float, seed: int
) -> ChoiceSolution:
    """Solve a reduced problem without shared tables."""
    try:
        at = relax(p, deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    incumbent.price(p, at.prices)
    incumbent.offer_all(p.choices(at.local[None]))
    beam(p, at, incumbent, core=CORE, width=WIDTH, seed=seed)
    if not np.isfinite(incumbent.value):
        beam(p, at, incumbent, core=4 * CORE, width=WIDTH, seed=seed)
    tiny, bound, core = 1e-12 * p.size, at.bound, p
    while True:
        value = incumbent.value
        if math.isfinite(value) and value - bound <= max(tiny, gap * abs(value)):
            return incumbent.certified(bound, "core")
        try:
            smaller = core.keeping(at.penalties + at.bound < value - tiny)
            if not len(smaller.count):
                incumbent.offer_all(smaller.base[None])
                return incumbent.certified(incumbent.value, "core")
            at = relax(smaller, deadline)
        except NoChoice:
            # Whatever is left is no better than the incumbent.
            return incumbent.certified(value, "core")
        bound = max(bound, min(at.bound, value))
        shrunk = int(smaller.count.sum()) < 0.8 * int(core.count.sum())
        core = smaller
        if not shrunk and incumbent.work["nodes"]:
            break
        tree = branch(core, at.prices, incumbent, deadline, gap=gap, nodes=PATIENCE, seed=seed)
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = max(bound, tree.bound)
        if tree.proved or deadline.passed():
            return incumbent.certified(bound, "branch and bound")
        if incumbent.value >= value:
            break
    # The programme covers only what may be better than the incumbent was.
    least = min(incumbent.value, by_programme(core, incumbent, deadline, gap))
    return incumbent.certified(max(bound, least), "branch and bound, milp")
