"""Lower bound of the exact search from one step that nearly fills the memory.

While such a step `v` runs, almost all live buffers that it does not read must be off chip, whatever
the order. With ``D`` ranging over the sets of steps that may have run before `v`,

``cost(state) >= min over D of [forced(D) + remaining(D)]``,

``forced(D) = 2 * max(0, twice - slack) + max(0, once - max(0, slack - twice))``,

where `slack` are the bytes that `v` leaves free, `twice` and `once` the bytes of the buffers live
after ``D`` that still cost twice (store and reload) or once their size to evict, and
``remaining(D)`` bounds the cost from `v` on. Each ``D`` is one `BoundCase`. The bound guides
`shortest_path.py` and `beam_search.py`; `segment_search.py` decides where it is used.
"""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.shortest_path import cheapest_path
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.exact.states import BoundCase, ExecutedSet
from perfmodel.schedule.masks import bits, union

#: Maximum number of sets of steps executed before an operator for the bound to be usable.
_MOST_SETS = 500

#: Number of operators examined, those with the least free memory first.
_MOST_OPERATORS = 12

#: Expansions of the search for the remaining cost of a set: at first, and where it matters.
_FIRST_EXPANSIONS, _EXPANSIONS = 100, 3000


def full_operator_bound(graph: StateGraph, limit: int, deadline: Deadline) -> FullOperator | None:
    """Return the bound of the operator with the largest bound at the start, or None.

    The states of interchangeable steps represent all their labellings, but this bound holds for one
    labelling only: with such steps the result is None.
    """
    core = graph.core
    if graph.copies or core.steps < 4:
        return None
    rated: list[tuple[int, int, FullOperator]] = []
    slacks = [
        (graph.capacity - core.growth[s] - core.bytes_of(core.reads[s]), s)
        for s in range(core.steps)
    ]
    for _, s in sorted(slacks)[:_MOST_OPERATORS]:
        sets = _sets_before(core, s, deadline)
        if sets is not None:
            operator = FullOperator(graph, s, sets)
            forced = min(map(operator.forced_from_start, range(len(sets))))
            if forced:
                rated.append((forced, -s, operator))
    if not rated:
        return None
    *_, best = max(rated)
    best.solve(limit, deadline, _FIRST_EXPANSIONS)
    return best


class FullOperator:
    """Lower bound from one step `v` that leaves `slack` bytes in addition to its working set.

    When `v` runs after the set ``D``, all but `slack` bytes of the live buffers that `v` does not
    read are off chip: each such buffer is off chip already, or its eviction is still to be paid; if
    a step in between reads it, it returns and is evicted once more. After `v` at least
    ``remaining(D)`` is to be paid, the least cost from the state where all live buffers are off
    chip with copies. The bound is the minimum sum over all ``D``.

    Parameters
    ----------
    graph
        State graph of the segment.
    step
        The step `v`.
    sets
        Every set ``D`` of steps that may have run when `v` begins.
    """

    def __init__(self, graph: StateGraph, step: int, sets: list[int]) -> None:
        core = graph.core
        self.graph, self.core, self.step, self.sets = graph, core, step, sets
        self.slack = graph.capacity - core.growth[step] - core.bytes_of(core.reads[step])
        #: For each set: the live buffers that `v` does not read, and the bound on what follows.
        self.others = [core.live(done) & ~core.reads[step] for done in sets]
        self.remaining = [0] * len(sets)
        self.limit = 1 << 62
        self._is_solved = [False] * len(sets)
        self._sizes = core.known_bytes
        self._known_reads: dict[int, int] = {}
        self._cases: dict[ExecutedSet, list[BoundCase]] = {}

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state, at most the limit; 0 once `v` has run."""
        cases = self.cases(node, resident, clean, self.limit)
        if cases is None:
            return 0
        return cases[0][0] if cases else self.limit

    def cases(
        self, node: ExecutedSet, resident: int, clean: int, budget: int
    ) -> list[BoundCase] | None:
        """Return the cases at a state that cost less than `budget`; None once `v` has run."""
        if node.done >> self.step & 1:
            return None
        known = self._cases.get(node)
        if known is None:
            known = self._cases[node] = self._cases_at(node)
        sizes, bytes_of, slack = self._sizes, self.core.bytes_of, self.slack
        dirty, stored, absent = resident & ~clean, resident & clean, ~resident
        cases: list[BoundCase] = []
        for least, remaining, twice, once, others, read in known:
            if least >= budget:
                break
            mask = others & dirty
            if mask:
                twice += sizes[mask] if mask in sizes else bytes_of(mask)
            mask = others & stored | read & absent
            if mask:
                once += sizes[mask] if mask in sizes else bytes_of(mask)
            # `forced`, written out: this loop runs for every successor of every state.
            total = remaining
            if twice >= slack:
                total += 2 * (twice - slack) + once
            elif twice + once > slack:
                total += twice + once - slack
            if total < budget:
                cases.append((total, remaining, twice, once, others, read))
        if len(cases) > 1:
            cases.sort()
        return cases

    def forced(self, twice: int, once: int) -> int:
        """Return the least eviction cost if `twice` and `once` bytes cost 2 and 1 per byte.

        The `slack` bytes that may remain resident are taken from the expensive ones first.
        """
        fitting = min(twice, self.slack)
        return 2 * (twice - fitting) + max(0, once - (self.slack - fitting))

    def forced_from_start(self, i: int) -> int:
        """Return the least eviction cost from the start until `v` runs after set number `i`."""
        core, others = self.core, self.others[i]
        counted = others & (~core.live(0) | core.resident)
        once = core.bytes_of(counted & core.stored)
        return self.forced(core.bytes_of(counted & ~core.stored), once)

    def restrict(self, limit: int) -> None:
        """Restrict the bound to costs below `limit`."""
        self.limit = limit
        self._cases.clear()

    def solve(self, limit: int, deadline: Deadline, expansions: int = _EXPANSIONS) -> None:
        """Compute ``remaining(D)`` for each set by a search, for costs below `limit` only."""
        self.restrict(limit)
        reads = self.core.reads[self.step]
        for i in range(len(self.sets) - 1, -1, -1):
            left = limit - self.forced_from_start(i)
            if not self._is_solved[i] and self.remaining[i] < left and not deadline.passed():
                path = cheapest_path(
                    self.graph,
                    left,
                    deadline,
                    start=(self.graph.node(self.sets[i]), reads, reads),
                    first=self.step,
                    expansions=expansions,
                )
                self.remaining[i] = max(self.remaining[i], int(path.bound))
                self._is_solved[i] = path.feasible

    def _cases_at(self, node: ExecutedSet) -> list[BoundCase]:
        """Return one case per set that contains the node's, the most promising first.

        A case has its least value, the remaining cost, the bytes not yet produced that cost twice
        and once their size, the buffers that must be evicted, and those among them that are read
        before. Cases that another one undercuts in every respect are left out.
        """
        core, done, limit = self.core, node.done, self.limit
        certain = self._reads_of(core.ancestors[self.step] & ~done)
        optional_steps = ~core.ancestors[self.step] & ~done
        cases: list[BoundCase] = []
        for after, others, remaining in zip(self.sets, self.others, self.remaining, strict=True):
            if done & ~after or remaining >= limit:
                continue
            ahead, present = others & ~node.live, others & node.live
            twice, once = core.bytes_of(ahead & ~core.stored), core.bytes_of(ahead & core.stored)
            least = remaining + self.forced(twice, once)
            if least < limit:
                read = present & (certain | self._reads_of(after & optional_steps))
                cases.append((least, remaining, twice, once, present, read))
        cases.sort()
        undominated: list[BoundCase] = []
        for case in cases:
            _, remaining, twice, once, others, read = case
            for (
                _,
                known_remaining,
                known_twice,
                known_once,
                known_others,
                known_read,
            ) in undominated:
                if (
                    known_remaining <= remaining
                    and known_twice <= twice
                    and known_once <= once
                    and not known_others & ~others
                    and not known_read & ~read
                ):
                    break
            else:
                undominated.append(case)
        return undominated

    def _reads_of(self, steps: int) -> int:
        """Return the mask of the buffers read by any of the given steps."""
        known = self._known_reads.get(steps)
        if known is None:
            known = self._known_reads[steps] = union(self.core.reads[s] for s in bits(steps))
        return known


def _sets_before(core: BitmaskProblem, step: int, deadline: Deadline) -> list[int] | None:
    """Return the sets of steps that may precede `step`; None if there are too many."""
    required = core.ancestors[step]
    optional = core.full & ~required & ~core.descendants[step] & ~(1 << step)
    seen, stack = {required}, [required]
    while stack:
        done = stack.pop()
        for s in bits(optional & ~done):
            after = done | 1 << s
            if not core.before[s] & ~done and after not in seen:
                seen.add(after)
                stack.append(after)
        if len(seen) > _MOST_SETS or deadline.passed():
            return None
    return sorted(seen)
