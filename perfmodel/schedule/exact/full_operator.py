"""The bound of steps that fill the memory: whatever else is live is off chip when they run."""

from __future__ import annotations

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.exact.core import Core, bits
from perfmodel.schedule.exact.lattice import Lattice, Node
from perfmodel.schedule.exact.search import Bound, cheapest

__all__ = ["full_operator_bound"]

#: Sets of steps that may have run before an operator, at most, for it to be of use.
_MOST_SETS = 500

#: Operators with the least room to spare that are looked at.
_MOST_OPERATORS = 12

#: Expansions for the exact cost of what follows one of those sets.
_EXPANSIONS = 3000


class FullOperator:
    """The bound of one step `v` that leaves `slack` bytes beside its working set.

    ``D`` runs over the sets of steps that may have run before `v`. When `v` runs after ``D``, what
    is live then and not read by `v` is off chip but for `slack` bytes: each such buffer is off chip
    already, or its eviction is still to be paid; if a step in between reads it, it comes back and
    leaves once more. After that at least ``rest(D)`` is to be paid, the least cost from the state
    where everything live lies off chip, with copies. The bound is the least sum over all ``D``.
    """

    def __init__(self, lattice: Lattice, step: int, sets: list[int]) -> None:
        core = lattice.core
        self.lattice, self.core, self.step, self.sets = lattice, core, step, sets
        self.slack = lattice.capacity - core.growth[step] - core.bytes_of(core.reads[step])
        self.others = [core.live(done) & ~core.reads[step] for done in sets]
        self.rest = [0] * len(sets)
        self._rows: dict[Node, list[tuple[int, int, int, int, int, int]]] = {}

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

    def solve(self, limit: int, bound: Bound | None, deadline: Deadline) -> None:
        """Find what follows each set, by searches that `bound` may guide."""
        core = self.core
        for i in sorted(range(len(self.sets)), key=lambda i: -self.sets[i].bit_count()):
            left = limit - self.at_start(i)
            if left <= 0:
                continue
            node = self.lattice.node(self.sets[i])
            reads = core.reads[self.step]
            found = cheapest(
                self.lattice, left, deadline, bound=bound, start=(node, reads, reads),
                first=self.step, expansions=_EXPANSIONS,
            )  # fmt: skip
            self.rest[i] = found.bound

    def _rows_at(self, node: Node) -> list[tuple[int, int, int, int, int, int]]:
        """Return a row for each set that contains the node's, the promising first.

        A row has the least it can give, what follows, bytes not made yet that cost twice and once
        their size, the buffers that must leave, and those of them that are read before.
        """
        core, done = self.core, node.done
        rows: list[tuple[int, int, int, int, int, int]] = []
        for i, after in enumerate(self.sets):
            if done & ~after:
                continue
            others = self.others[i]
            made = others & ~node.live
            twice, once = core.bytes_of(made & ~core.stored), core.bytes_of(made & core.stored)
            between = after & ~done
            read = sum(1 << t for t in bits(others & node.live) if core.readers[t] & between)
            least = self.rest[i] + self.forced(twice, once)
            rows.append((least, self.rest[i], twice, once, others & node.live, read))
        rows.sort()
        kept: list[tuple[int, int, int, int, int, int]] = []
        for row in rows:
            _, rest, twice, once, others, read = row
            if not any(
                r <= rest and a <= twice and b <= once and not o & ~others and not q & ~read
                for _, r, a, b, o, q in kept
            ):
                kept.append(row)
        return kept

    def __call__(self, node: Node, resident: int, clean: int) -> int:
        """Return the bound at a state; 0 once the step has run."""
        if node.done >> self.step & 1:
            return 0
        rows = self._rows.get(node)
        if rows is None:
            rows = self._rows[node] = self._rows_at(node)
        bytes_of, slack = self.core.bytes_of, self.slack
        spoilt, pure = resident & ~clean, resident & clean
        best = 1 << 62
        for least, rest, twice, once, others, read in rows:
            if least >= best:
                break
            twice += bytes_of(others & spoilt)
            once += bytes_of(others & pure | read & ~resident)
            if twice >= slack:
                total = rest + 2 * (twice - slack) + once
            else:
                total = rest + max(0, once - slack + twice)
            best = min(best, total)
        return best


def full_operator_bound(lattice: Lattice, limit: int, deadline: Deadline) -> Bound | None:
    """Return the bound of the operator that says most at the start, or None where none says much.

    The states of interchangeable steps stand for all their labellings, this bound for one of them:
    there is none then. Where a second operator may run after the first and says something as well,
    the larger of both is taken, and the first looks ahead with the second.
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
    best.solve(limit, None, deadline)
    return best


def _sets_before(core: Core, step: int, deadline: Deadline) -> list[int] | None:
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
