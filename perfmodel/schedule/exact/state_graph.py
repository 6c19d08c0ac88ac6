"""State graph of the exact search: from each state the steps that can run, and their evictions.

A shortest path through this graph is a schedule that spills and reloads the fewest bytes; it is the
weighted red-blue pebble game of Hong and Kung (1981). The search (`shortest_path.py`) and the beam
(`beam_search.py`) ask for the successors of a state. Two rules keep their number small without
losing the optimum: only minimal sets of evictions are tried, and a step that never gets cheaper by
waiting runs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.interchangeable import InterchangeableSteps
from perfmodel.schedule.exact.states import Bound, BoundCase, ExecutedSet, ReadyStep, Successor
from perfmodel.schedule.masks import bits, mask_of

#: Maximum number of memoised eviction sets, and of sets tried per step.
_MOST_MEMOISED, _MOST_SETS = 1_000_000, 2_000


class StateGraph:
    """States (executed, resident, clean) of a core under a capacity, and the moves between them.

    A live buffer that is not resident has a copy off chip, and its reload is charged at eviction.
    Hence a load is free, and a state with fewer resident buffers is no worse. A buffer is clean if
    a copy is off chip. Evicting a buffer of `size` bytes costs

    ``size`` (a reload) if it is clean, ``2 * size`` (a store and a reload) otherwise.

    Parameters
    ----------
    core
        Steps and buffers as bit masks.
    capacity
        Bytes of the memory.
    merge
        Represent all labellings of interchangeable steps by one state.

    Attributes
    ----------
    copies
        The interchangeable steps.
    truncated
        Whether more eviction sets exist than were tried: the absence of a path is then no proof.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, *, merge: bool = True) -> None:
        self.core, self.capacity = core, capacity
        self.copies = InterchangeableSteps(core, merge=merge)
        self.truncated = False
        self._memoised = 0
        self._nodes: dict[int, ExecutedSet] = {}
        self._eviction_sets: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        self._steps = [
            (s, 1 << s, core.before[s] & ~self.copies.steps_mask) for s in range(core.steps)
        ]

    def start(self) -> tuple[ExecutedSet, int, int]:
        """Return the initial executed set and the masks of resident and clean buffers."""
        core = self.core
        return self.node(0), core.resident, core.resident & core.stored

    def node(self, done: int, live: int = -1) -> ExecutedSet:
        """Return the node of a (canonical) set of executed steps; `live` if already known."""
        node = self._nodes.get(done)
        if node is None:
            live = self.core.live(done) if live < 0 else live
            node = self._nodes[done] = ExecutedSet(done, live)
            if self.copies and live & self.copies.buffers_mask:
                node.copy_pools = self.copies.pools(done)
        return node

    def successors(
        self,
        node: ExecutedSet,
        resident: int,
        clean: int,
        cost: int,
        limit: int,
        bound: Bound | None = None,
    ) -> list[Successor]:
        """Return the successors of a state whose cost plus remaining bound is below `limit`.

        A step that fits, evicts nothing, and leaves no more bytes on chip than one buffer it frees,
        at no higher eviction cost, runs at once: in a schedule that runs it later, its output can
        occupy the place of that buffer until then.
        """
        capacity, bytes_of, stored = self.capacity, self.core.bytes_of, self.core.stored
        used = bytes_of(resident)
        successors: list[Successor] = []
        cases: list[BoundCase] | None = None
        for ready in node.ready_steps or self.ready_steps(node):
            reads, alive, child, outputs = ready.reads, ready.alive, ready.child, ready.outputs
            copies = ready.consumed_copies
            for taken in _choices_of_copies(copies, resident, clean) if copies else (0,):
                if taken:
                    reads, alive = ready.reads | taken, ready.alive & ~taken
                missing = reads & ~resident
                after = (resident | missing) & alive | outputs
                clean_after = (clean | missing) & alive | outputs & stored
                if bound:
                    cases = bound.cases(child, after, clean_after, limit - cost)
                total = used + ready.growth
                if missing:
                    total += bytes_of(missing)
                runs_at_once = (
                    total <= capacity
                    and not missing & alive
                    and self._gains_nothing_by_waiting(ready, taken, resident, clean)
                )
                if cases is not None and not cases:
                    if runs_at_once:
                        return []
                    continue
                if total > capacity:
                    direct = (child, after, clean_after, cost, ready.step, 0, taken, 0)
                    candidates, excess = resident & ~reads, total - capacity
                    slack = bound.slack if bound else 0
                    successors += self._with_evictions(
                        direct, candidates, clean, excess, limit, cases, slack
                    )
                    continue
                if child.copy_pools:
                    after, clean_after = _canonical_copies(child, after, clean_after)
                least = cases[0][0] if cases else 0
                direct = (child, after, clean_after, cost, ready.step, 0, taken, least)
                if runs_at_once:
                    return [direct]
                successors.append(direct)
        return successors

    def ready_steps(self, node: ExecutedSet) -> tuple[ReadyStep, ...]:
        """Return the steps that are ready at a node."""
        if node.ready_steps is None:
            node.ready_steps = tuple(self._find_ready_steps(node))
        return node.ready_steps

    def _find_ready_steps(self, node: ExecutedSet) -> Iterator[ReadyStep]:
        """Yield the ready steps of a node with the data that their successors need."""
        core, copies, done = self.core, self.copies, node.done
        for s, bit, before in self._steps:
            if done & bit or before & ~done:
                continue
            consumed = copies.consumed(core, s, done)
            if consumed is None or not copies.is_representative(s, done):
                continue
            reads = core.reads[s] & ~copies.buffers_mask
            after = done | bit
            dead = mask_of(t for t in bits(reads | core.writes[s]) if not core.readers[t] & ~after)
            outputs = core.writes[s] & ~dead
            output_bytes = core.bytes_of(outputs)
            if copies:
                child = self.node(copies.canonical_set(after))
            else:
                child = self.node(after, node.live & ~dead | outputs)
            yield ReadyStep(
                s,
                reads,
                core.growth[s],
                ~dead,
                outputs,
                child,
                output_bytes,
                output_bytes + core.bytes_of(outputs & ~core.stored),
                tuple(bits(reads & dead)),
                consumed,
                copies.is_exclusive(core, s, done),
            )

    def _with_evictions(
        self,
        direct: Successor,
        candidates: int,
        clean: int,
        excess: int,
        limit: int,
        cases: list[BoundCase] | None,
        slack: int,
    ) -> Iterator[Successor]:
        """Yield one successor per minimal set of evictions before a step that does not fit.

        Parameters
        ----------
        direct
            The successor without any eviction.
        candidates
            Mask of the buffers that may be evicted, of which at least `excess` bytes must be freed.
        cases, slack
            Cases of the bound, and the bytes that need not be evicted according to it.
        """
        child, after, clean_after, cost, step, _, taken, least = direct
        bytes_of, dirty = self.core.bytes_of, after & ~clean_after
        if cases:
            candidates &= self._affordable_evictions(cases, candidates, clean, limit - cost)
        for freed, evicted in self.minimal_evictions(candidates, excess, clean):
            price = cost + 2 * freed
            clean_evicted = clean & evicted
            if clean_evicted:
                price -= bytes_of(clean_evicted)
            if price >= limit:
                # The sets ascend in bytes, and each costs at least once its bytes.
                if cost + freed >= limit:
                    break
                continue
            if cases:
                least = _least_cost(cases, evicted, dirty, bytes_of, slack, limit - price)
                if price + least >= limit:
                    continue
            remaining, clean_remaining = after & ~evicted, clean_after & ~evicted
            if child.copy_pools:
                remaining, clean_remaining = _canonical_copies(child, remaining, clean_remaining)
            yield child, remaining, clean_remaining, price, step, evicted, taken, least

    def minimal_evictions(self, candidates: int, excess: int, clean: int) -> list[tuple[int, int]]:
        """Return the minimal sets of `candidates` that free `excess` bytes or more.

        Returns
        -------
        list of (int, int)
            Bytes and mask of each set, ascending in bytes. No set contains another: a minimal set
            needs its smallest member. Among equal copies of a type the first are evicted. If there
            are very many sets, some are omitted and `truncated` is set.
        """
        copies = self.copies.buffers_mask & candidates
        key = (candidates, clean & copies, excess)
        known = self._eviction_sets.get(key)
        if known is not None:
            self.truncated |= len(known) >= _MOST_SETS
            return known
        sizes = self.core.sizes
        # Largest first; buffers with the same positive class are equal copies.
        classed: list[tuple[int, int, int]] = []
        for t in bits(candidates):
            if sizes[t]:
                copy_class = 0
                if copies >> t & 1:
                    copy_class = 2 * (1 + self.copies.type_of[t]) + (clean >> t & 1)
                classed.append((-sizes[t], copy_class, t))
        classed.sort()
        items = [(-size, copy_class, 1 << t) for size, copy_class, t in classed]
        suffix_bytes = [0] * (len(items) + 1)
        for i in range(len(items) - 1, -1, -1):
            suffix_bytes[i] = suffix_bytes[i + 1] + items[i][0]
        sets: list[tuple[int, int]] = []

        def extend(i: int, left: int, evicted: int) -> None:
            skipped = 0
            while suffix_bytes[i] >= left and len(sets) < _MOST_SETS:
                size, copy_class, bit = items[i]
                if not copy_class or copy_class != skipped:
                    if size >= left:
                        sets.append((excess - left + size, evicted | bit))
                    else:
                        extend(i + 1, left - size, evicted | bit)
                skipped = copy_class
                i += 1

        extend(0, excess, 0)
        self.truncated |= len(sets) >= _MOST_SETS
        sets.sort()
        self._memoised += 1 + len(sets)
        if self._memoised >= _MOST_MEMOISED:
            self._eviction_sets.clear()
            self._memoised = 0
        self._eviction_sets[key] = sets
        return sets

    def _affordable_evictions(
        self, cases: list[BoundCase], resident: int, clean: int, budget: int
    ) -> int:
        """Return the buffers that can be evicted now at a final cost below `budget`.

        Evicting a buffer that a case does not require adds its eviction cost to that case.
        """
        sizes, affordable = self.core.sizes, 0
        for least, _, _, _, required, _ in cases:
            affordable |= required
            left = budget - least
            for t in bits(resident & ~affordable):
                if sizes[t] * (1 if clean >> t & 1 else 2) < left:
                    affordable |= 1 << t
        return affordable

    def _gains_nothing_by_waiting(
        self, ready: ReadyStep, taken: int, resident: int, clean: int
    ) -> bool:
        """Return whether a step that fits and leaves no loaded buffer behind is best run now."""
        if taken and (not ready.is_exclusive or taken & ~(resident & ~clean)):
            return False
        if not ready.outputs:
            return True
        sizes = self.core.sizes
        for t in ready.freed:
            if resident >> t & 1 and ready.output_bytes <= sizes[t]:
                price = sizes[t] if clean >> t & 1 else 2 * sizes[t]
                if ready.eviction_cost <= price:
                    return True
        return False


def _choices_of_copies(
    consumed: tuple[tuple[int, int], ...], resident: int, clean: int
) -> list[int]:
    """Return the masks of copies that a step may consume: a fixed number of each type.

    Copies of one type differ only in their location, so that the number taken off chip, clean and
    dirty identifies a choice.
    """
    choices = [0]
    for waiting, count in consumed:
        off_chip, stored, dirty = (
            waiting & ~resident,
            waiting & resident & clean,
            waiting & resident & ~clean,
        )
        options = [
            _lowest(off_chip, first) | _lowest(stored, second) | _lowest(dirty, third)
            for first in range(min(count, off_chip.bit_count()) + 1)
            for second in range(min(count - first, stored.bit_count()) + 1)
            if (third := count - first - second) <= dirty.bit_count()
        ]
        choices = [a | b for a in choices for b in options]
    return choices


def _lowest(mask: int, count: int) -> int:
    """Return the lowest `count` set bits of a mask."""
    return mask_of(islice(bits(mask), count))


def _least_cost(
    cases: list[BoundCase],
    evicted: int,
    dirty: int,
    bytes_of: Callable[[int], int],
    slack: int,
    limit: int,
) -> int:
    """Return the least remaining cost over the cases (or `limit`) after some evictions.

    In a case that demands `twice` bytes at double and `once` bytes at single cost, of which `slack`
    bytes may remain, the cost is `remaining` plus

    ``2 * max(0, twice - slack) + max(0, once - max(0, slack - twice))``.
    """
    best = limit
    for least, remaining, twice, once, required, read in cases:
        # Evicting a buffer now that the case does not require reduces no later cost.
        if least - 2 * bytes_of(evicted & required) >= best:
            continue
        mask = evicted & required & dirty
        if mask:
            twice -= bytes_of(mask)
        mask = evicted & required & ~dirty
        if mask:
            once -= bytes_of(mask)
        mask = evicted & read
        if mask:
            once += bytes_of(mask)
        if twice >= slack:
            remaining += 2 * (twice - slack) + once
        elif twice + once > slack:
            remaining += twice + once - slack
        best = min(best, remaining)
    return best


def _canonical_copies(node: ExecutedSet, resident: int, clean: int) -> tuple[int, int]:
    """Return resident and clean buffers with the copies of each type in canonical positions."""
    for mask, last in node.copy_pools:
        resident_copies = resident & mask
        count = resident_copies.bit_count()
        dirty = (resident_copies & ~clean).bit_count()
        resident = resident & ~mask | last[count]
        clean = clean & ~mask | last[count] & ~last[dirty]
    return resident, clean
