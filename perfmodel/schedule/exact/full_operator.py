"""The bound of steps that fill the memory: whatever else is live is off chip when they run."""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.nodes import ExecutedSet, Row
from perfmodel.schedule.exact.search import cheapest
from perfmodel.schedule.masks import bits

#: Sets of steps that may have run before an operator, at most, for it to be of use.
_MOST_SETS = 500

#: Operators with the least room to spare that are looked at.
_MOST_OPERATORS = 12

#: Expansions for what follows one of those sets: at first, and where it matters.
_GLANCE, _EXPANSIONS = 100, 3000


class FullOperator:
    """The bound of one step `v` that leaves `slack` bytes beside its working set.

    ``D`` runs over the sets of steps that may have run before `v`. When `v` runs after ``D``, what
    is live then and not read by `v` is off chip but for `slack` bytes: each such buffer is off chip
    already, or its eviction is still to be paid; if a step in between reads it, it comes back and
    leaves once more. After that at least ``rest(D)`` is to be paid, the least cost from the state
    where everything live lies off chip, with copies. The bound is the least sum over all ``D``.
    """

    def __init__(self, lattice: StateLattice, step: int, sets: list[int]) -> None:
        core = lattice.core
        self.lattice, self.core, self.step, self.sets = lattice, core, step, sets
        self.slack = lattice.capacity - core.growth[step] - core.bytes_of(core.reads[step])
        self.others = [core.live(done) & ~core.reads[step] for done in sets]
        self.rest = [0] * len(sets)
        self.limit = 1 << 62
        self._settled = [False] * len(sets)
        self._sizes = core.known_bytes
        self._known_reads: dict[int, int] = {}
        self._rows: dict[ExecutedSet, list[Row]] = {}

    def forced(self, twice: int, once: int) -> int:
        """Return what leaves at least, of bytes that cost twice and once their size to evict."""
        kept = min(twice, self.slack)
        return 2 * (twice - kept) + max(0, once - (self.slack - kept))

    def at_start(self, i: int) -> int:
        """Return the least eviction cost before the step if the set `i` has run, from the start."""
        core, others = self.core, self.others[i]
        here = core.live(0)
        made = others & ~here
        held = others & core.held
        once = core.bytes_of(made & core.stored) + core.bytes_of(held & core.stored)
        twice = core.bytes_of(made & ~core.stored) + core.bytes_of(held & ~core.stored)
        return self.forced(twice, once)

    def restrict(self, limit: int) -> None:
        """Be interested in costs below `limit` only."""
        self.limit = limit
        self._rows.clear()

    def solve(self, limit: int, deadline: Deadline, expansions: int = _EXPANSIONS) -> None:
        """Find what follows each set by a search each; only costs below `limit` are of interest."""
        self.restrict(limit)
        reads = self.core.reads[self.step]
        for i in range(len(self.sets) - 1, -1, -1):
            left = limit - self.at_start(i)
            if not self._settled[i] and self.rest[i] < left and not deadline.passed():
                start = (self.lattice.node(self.sets[i]), reads, reads)
                found = cheapest(
                    self.lattice,
                    left,
                    deadline,
                    start=start,
                    first=self.step,
                    expansions=expansions,
                )
                self.rest[i] = max(self.rest[i], int(found.bound))
                self._settled[i] = found.feasible

    def _rows_at(self, node: ExecutedSet) -> list[Row]:
        """Return a row for each set that contains the node's, the promising first.

        A row has the least it can give, what follows, bytes not made yet that cost twice and once
        their size, the buffers that must leave, and those of them that are read before.
        """
        core, done, limit = self.core, node.done, self.limit
        first = self._reads_of(core.ancestors[self.step] & ~done)
        optional = ~core.ancestors[self.step] & ~done
        rows: list[Row] = []
        for after, others, rest in zip(self.sets, self.others, self.rest, strict=True):
            if done & ~after or rest >= limit:
                continue
            made, here = others & ~node.live, others & node.live
            twice, once = core.bytes_of(made & ~core.stored), core.bytes_of(made & core.stored)
            least = rest + self.forced(twice, once)
            if least < limit:
                read = here & (first | self._reads_of(after & optional))
                rows.append((least, rest, twice, once, here, read))
        rows.sort()
        kept: list[Row] = []
        for row in rows:
            _, rest, twice, once, others, read = row
            for _, r, a, b, o, q in kept:
                if r <= rest and a <= twice and b <= once and not o & ~others and not q & ~read:
                    break
            else:
                kept.append(row)
        return kept

    def _reads_of(self, steps: int) -> int:
        """Return what any of some steps reads."""
        known = self._known_reads.get(steps)
        if known is None:
            known = 0
            for s in bits(steps):
                known |= self.core.reads[s]
            self._known_reads[steps] = known
        return known

    def __call__(self, node: ExecutedSet, resident: int, clean: int) -> int:
        """Return the bound at a state, the limit at most; 0 once the step has run."""
        ways = self.ways(node, resident, clean, self.limit)
        if ways is None:
            return 0
        return ways[0][0] if ways else self.limit

    def ways(self, node: ExecutedSet, resident: int, clean: int, room: int) -> list[Row] | None:
        """Return what the sets give at a state, below `room`; None once the step has run."""
        if node.done >> self.step & 1:
            return None
        rows = self._rows.get(node)
        if rows is None:
            rows = self._rows[node] = self._rows_at(node)
        sizes, bytes_of, slack = self._sizes, self.core.bytes_of, self.slack
        spoilt, pure, absent = resident & ~clean, resident & clean, ~resident
        ways: list[Row] = []
        for least, rest, twice, once, others, read in rows:
            if least >= room:
                break
            mask = others & spoilt
            if mask:
                twice += sizes[mask] if mask in sizes else bytes_of(mask)
            mask = others & pure | read & absent
            if mask:
                once += sizes[mask] if mask in sizes else bytes_of(mask)
            total = rest
            if twice >= slack:
                total += 2 * (twice - slack) + once
            elif twice + once > slack:
                total += twice + once - slack
            if total < room:
                ways.append((total, rest, twice, once, others, read))
        if len(ways) > 1:
            ways.sort()
        return ways


def full_operator_bound(
    lattice: StateLattice, limit: int, deadline: Deadline
) -> FullOperator | None:
    """Return the bound of the operator that says most at the start, or None where none does.

    The states of interchangeable steps stand for all their labellings, this bound for one of them:
    there is none then.
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
    """Return the sets of steps that may have run when `step` runs; None where there are many."""
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
