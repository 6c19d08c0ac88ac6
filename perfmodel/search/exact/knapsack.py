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
#: Number of nodes after which branch and bound pauses for meeting in the middle, and after which
#: HiGHS, with its cuts, is more likely to finish.
MAX_FIRST_NODES, MAX_NODES = 500, 150_000


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
    tiny, bound, core, searches = 1e-12 * p.size, at.bound, p, 0
    while True:
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
        shrunk = int(smaller.count.sum()) < 0.8 * int(core.count.sum())
        core = smaller
        if not shrunk and searches > 1:
            break
        tree = branch_and_bound(
            core, at.prices, incumbent, nodes=MAX_NODES if searches else MAX_FIRST_NODES
        )
        searches += 1
        incumbent.work["nodes"] += tree.work["nodes"]
        bound = max(bound, tree.bound)
        if tree.proved or deadline.passed():
            return incumbent.certified(bound, "branch and bound")
        if searches == 1:
            bound = max(bound, meet_in_the_middle(core, at, incumbent))
            if bound >= incumbent.cut():
                return incumbent.certified(bound, "meet in the middle")
            continue
        if incumbent.value >= value:
            break
    # The core contains only choices that may be better than the earlier incumbent.
    least = min(incumbent.value, solve_by_milp(core, incumbent))
    return incumbent.certified(max(bound, least), "branch and bound, milp")
