"""Solver of problems in which every table belongs to one decision: multiple-choice knapsacks.

Presolve and relaxation, then beam search for an incumbent, reduction by its value, branch and
bound, and a MILP solver for the remaining core.
"""

from __future__ import annotations

import math

import numpy as np

from perfmodel.search.exact.beam_search import beam_search
from perfmodel.search.exact.branch_and_bound import branch_and_bound
from perfmodel.search.exact.choice_incumbent import ChoiceIncumbent
from perfmodel.search.exact.choice_milp import solve_by_milp
from perfmodel.search.exact.choice_solution import ChoiceSolution
from perfmodel.search.exact.linear_relaxation import solve_relaxation
from perfmodel.search.exact.meet_in_the_middle import meet_in_the_middle
from perfmodel.search.exact.presolve import NoChoice, ReducedProblem

#: Number of decisions that the beam search covers, and beam width.
CORE_DECISIONS, BEAM_WIDTH = 40, 192
#: Nodes of branch and bound and pairs of meeting in the middle, in turns: each is fast where the
#: other is not, and the hardest problems of both come after the easier ones. What remains open is
#: left to HiGHS with its cuts.
EFFORTS = ((500, 2e7), (30_000, 1e9), (150_000, 0.0))


def solve_knapsack(p: ReducedProblem, incumbent: ChoiceIncumbent) -> ChoiceSolution:
    """Solve a reduced problem without tables over several decisions."""
    deadline, gap = incumbent.deadline, incumbent.gap
    try:
        at = solve_relaxation(p, deadline)
    except NoChoice:
        return incumbent.certified(math.inf, "relaxation")
    incumbent.price(p, at.prices)
    incumbent.offer_all(p.choices(at.local[None]))
    beam_search(p, at, incumbent, core=CORE_DECISIONS, width=BEAM_WIDTH)
    if not np.isfinite(incumbent.value):
        beam_search(p, at, incumbent, core=4 * CORE_DECISIONS, width=BEAM_WIDTH)
    tiny, bound, core = 1e-12 * p.size, at.bound, p
    for nodes, pairs in EFFORTS:
        value = incumbent.value
        if math.isfinite(value) and value - bound <= max(tiny, gap * abs(value)):
            return incumbent.certified(bound, "core")
        try:
            smaller = core.keeping(at.penalties + at.bound < value - tiny)
            if not len(smaller.count):
                incumbent.offer_all(smaller.base[None])
                return incumbent.certified(incumbent.value, "core")
            at = solve_relaxation(smaller, deadline)
        except NoChoice:
            # No remaining choice is better than the incumbent.
            return incumbent.certified(value, "core")
        bound = max(bound, min(at.bound, value))
        core = smaller
        tree = branch_and_bound(core, at.prices, incumbent, nodes=nodes)
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = max(bound, tree.bound)
        if tree.proved or deadline.passed():
            return incumbent.certified(bound, "branch and bound")
        if pairs:
            bound = max(bound, meet_in_the_middle(core, at, incumbent, pairs))
            if bound >= incumbent.cut():
                return incumbent.certified(bound, "meet in the middle")
    # The core contains only choices that may be better than the earlier incumbent.
    least = min(incumbent.value, solve_by_milp(core, incumbent))
    return incumbent.certified(max(bound, least), "branch and bound, milp")
