"""Solver of problems in which every table belongs to one decision: multiple-choice knapsacks.

Presolve and relaxation, then beam search for an incumbent, reduction by its value, branch and
bound, and a MILP solver for the remaining core.
"""

from __future__ import annotations

import math

import numpy as np

from perfmodel.search.exact.beam import beam
from perfmodel.search.exact.branch import branch
from perfmodel.search.exact.incumbent import ChoiceIncumbent
from perfmodel.search.exact.programme import by_programme
from perfmodel.search.exact.reduced import NoChoice, Reduced
from perfmodel.search.exact.relaxation import relax
from perfmodel.search.exact.result import ChoiceSolution

#: Number of decisions that the beam search covers, and beam width.
CORE, WIDTH = 40, 192
#: Number of nodes after which HiGHS, with its cuts, is more likely to finish.
PATIENCE = 150_000


def knapsack(p: Reduced, incumbent: ChoiceIncumbent) -> ChoiceSolution:
    """Solve a reduced problem without tables over several decisions."""
    deadline, gap = incumbent.deadline, incumbent.gap
    try:
        at = relax(p, deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    incumbent.price(p, at.prices)
    incumbent.offer_all(p.choices(at.local[None]))
    beam(p, at, incumbent, core=CORE, width=WIDTH)
    if not np.isfinite(incumbent.value):
        beam(p, at, incumbent, core=4 * CORE, width=WIDTH)
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
            # No remaining choice is better than the incumbent.
            return incumbent.certified(value, "core")
        bound = max(bound, min(at.bound, value))
        shrunk = int(smaller.count.sum()) < 0.8 * int(core.count.sum())
        core = smaller
        if not shrunk and incumbent.work["nodes"]:
            break
        tree = branch(core, at.prices, incumbent, nodes=PATIENCE)
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = max(bound, tree.bound)
        if tree.proved or deadline.passed():
            return incumbent.certified(bound, "branch and bound")
        if incumbent.value >= value:
            break
    # The core contains only choices that may be better than the earlier incumbent.
    least = min(incumbent.value, by_programme(core, incumbent))
    return incumbent.certified(max(bound, least), "branch and bound, milp")
