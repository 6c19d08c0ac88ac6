"""Lower bound from steps that fill the memory: other live buffers are off chip while they run."""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import ExecutedSet, Row
from perfmodel.schedule.exact.search import cheapest
from perfmodel.schedule.masks import bits

#: Maximum number of sets of steps executed before an operator for the bound to be usable.
_MOST_SETS = 500

#: Number of operators examined, those with the least free memory first.
_MOST_OPERATORS = 12

#: Expansions of the search for the remaining cost of a set: at first, and where it matters.
_GLANCE, _EXPANSIONS = 100, 3000


class FullOperator:
    """Lower bound from one step `v` that leaves `slack` bytes in addition to its working set.

    ``D`` ranges over the sets of steps that may have run before `v`. When `v` runs after ``D``, all
    but `slack` bytes of the live buffers that `v` does not read are off chip: each such buffer is
    off chip already, or its eviction is still to be paid; if a step in between reads it, it returns
    and is evicted once more. After `v` at least ``rest(D)`` is to be paid, the least cost from the
    state where all live buffers are off chip with copies. The bound is the minimum sum over all
    ``D``.
    """

    def __init__(self, lattice: StateLattice, step: int, sets: list[int]) -> None:
        core = lattice.core
        self.lattice, self.core, self.step, self.sets = lattice, core, step, sets
        self.slack = lattice.capacity - core.growth[step] - core.bytes_of(core.reads[step])
        self.others = [core.live(done) & ~core.reads[step] for done in sets]
        self.remaining = [0] * len(sets)
        self.limit = 1 << 62
        self._settled = [False] * len(sets)
        self._sizes = core.known_bytes
        self._known_reads: dict[int, int] = {}
        self._rows: dict[ExecutedSet, list[Row]] = {}

    def forced(self, twice: int, once: int) -> int:
        """Return the least eviction cost given the bytes that cost twice and once their size."""
        fitting = min(twice, self.slack)
        return 2 * (twice - fitting) + max(0, once - (self.slack - fitting))

    def at_start(self, i: int) -> int:
        """Return the least eviction cost before `v` from the start if the set `i` has run."""
        core, others = self.core, self.others[i]
        here = core.live(0)
        ahead = others & ~here
        resident = others & core.resident
        once = core.bytes_of(ahead & core.stored) + core.bytes_of(resident & core.stored)
        twice = core.bytes_of(ahead & ~core.stored) + core.bytes_of(resident & ~core.stored)
        return self.forced(twice, once)

    def restrict(self, limit: int) -> None:
        """Restrict the bound to costs below `limit`."""
        self.limit = limit
        self._rows.clear()

    def solve(self, limit: int, deadline: Deadline, expansions: int = _EXPANSIONS) -> None:
        """Compute ``rest(D)`` for each set by a search, for costs below `limit` only."""
        self.restrict(limit)
        reads = self.core.reads[self.step]
        for i in range(len(self.sets) - 1, -1, -1):
            left = limit - self.at_start(i)
            if not self._settled[i] and self.remaining[i] < left and not deadline.passed():
                start = (self.lattice.node(self.sets[i]), reads, reads)
                cheapest_way = cheapest(
                    self.lattice,
                    left,
                    deadline,
                    start=start,
                    first=self.step,
                    expansions=expansions,
                )
                self.remaining[i] = max(self.remaining[i], int(cheapest_way.bound))
                self._settled[i] = cheapest_way.feasible

    def _rows_at(self, node: ExecutedSet) -> list[Row]:
        """Return one row per set that contains the node's, the most promising first.

        A row has its least value, the remaining cost, the bytes not yet produced that cost twice
        and once their size, the buffers that must be evicted, and those among them that are read
        before.
        """
        core, done, limit = self.core, node.done, self.limit
        first = self._reads_of(core.ancestors[self.step] & ~done)
        optional = ~core.ancestors[self.step] & ~done
        rows: list[Row] = []
        for after, others, remaining in zip(self.sets, self.others, self.remaining, strict=True):
            if done & ~after or remaining >= limit:
                continue
            ahead, here = others & ~node.live, others & node.live
            twice, once = core.bytes_of(ahead & ~core.stored), core.bytes_of(ahead & core.stored)
            least = remaining + self.forced(twice, once)
            if least < limit:
                read = here & (first | self._reads_of(after & optional))
                rows.append((least, remaining, twice, once, here, read))
        rows.sort()
        undominated: list[Row] = []
        for row in rows:
            _, remaining, twice, once, others, read = row
            for _, r, a, b, o, q in undominated:
                if (
                    r <= remaining
                    and a <= twice
                    and b <= once
                    and not o & ~others
                    and not q & ~read
                ):
                    break
            else:
                undominated.append(row)
        return undominated

    def _reads_of(self, steps: int) -> int:
        """Return the mask of the buffers read by any of the given steps."""
        known = self._known_reads.get(steps)
        if known is None:
            known = 0
            for s in bits(steps):
                known |= self.core.reads[s]
            self._known_reads[steps] = known
        return known

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state, at most the limit; 0 once `v` has run."""
        ways = self.ways(node, resident, clean, self.limit)
        if ways is None:
            return 0
        return ways[0][0] if ways else self.limit

    def ways(self, node: ExecutedSet, resident: int, clean: int, room: int) -> list[Row] | None:
        """Return the rows of the sets at a state that cost below `room`; None once `v` has run."""
        if node.done >> self.step & 1:
            return None
        rows = self._rows.get(node)
        if rows is None:
            rows = self._rows[node] = self._rows_at(node)
        sizes, bytes_of, slack = self._sizes, self.core.bytes_of, self.slack
        dirty, copied, absent = resident & ~clean, resident & clean, ~resident
        ways: list[Row] = []
        for least, remaining, twice, once, others, read in rows:
            if least >= room:
                break
            mask = others & dirty
            if mask:
                twice += sizes[mask] if mask in sizes else bytes_of(mask)
            mask = others & copied | read & absent
            if mask:
                once += sizes[mask] if mask in sizes else bytes_of(mask)
            total = remaining
            if twice >= slack:
                total += 2 * (twice - slack) + once
            elif twice + once > slack:
                total += twice + once - slack
            if total < room:
                ways.append((total, remaining, twice, once, others, read))
        if len(ways) > 1:
            ways.sort()
        return ways


def full_operator_bound(
    lattice: StateLattice, limit: int, deadline: Deadline
) -> FullOperator | None:
    """Return the bound of the operator with the largest bound at the start, or None.

    The states of interchangeable steps represent all their labellings, but this bound holds for one
    labelling only: with such steps the result is None.
    """
    core = lattice.core
    if lattice.tokens or core.steps < 4:
        return None
    rated: list[tuple[int, int, FullOperator]] = []
    spare = [
        (lattice.capacity - core.growth[s] - core.bytes_of(core.reads[s]), s)
        for s in range(core.steps)
    ]
    for _, s in sorted(spare)[:_MOST_OPERATORS]:
        sets = _sets_before(core, s, deadline)
        if sets is not None:
            operator = FullOperator(lattice, s, sets)
            says = min(map(operator.at_start, range(len(sets))))
            if says:
                rated.append((says, s, operator))
    if not rated:
        return None
    best = max(rated, key=lambda r: (r[0], -r[1]))[2]
    best.solve(limit, deadline, _GLANCE)
    return best


def _sets_before(core: BitmaskProblem, step: int, deadline: Deadline) -> list[int] | None:
    """Return the sets of steps that may precede `step`; None if there are too many."""
    first = core.ancestors[step]
    free = core.full & ~first & ~core.descendants[step] & ~(1 << step)
    seen, todo = {first}, [first]
    while todo:
        done = todo.pop()
        for s in bits(free & ~done):
            after = done | 1 << s
            if not core.before[s] & ~done and after not in seen:
                seen.add(after)
                todo.append(after)
        if len(seen) > _MOST_SETS or deadline.passed():
            return None
    return sorted(seen)
