"""State graph of the search: ready steps, the evictions they require, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.nodes import Bound, ExecutedSet, ReadyStep, Row, Successor
from perfmodel.schedule.exact.tokens import Tokens
from perfmodel.schedule.masks import bits, mask_of

#: Maximum number of memoised eviction sets, and of sets tried per step.
_MOST_KEPT, _MOST_SETS = 1_000_000, 2_000


class StateLattice:
    """States of a core under a capacity: (executed, resident, clean).

    A live buffer that is not resident has a copy off chip, and its reload is charged at eviction.
    Hence a load is free, and a state with fewer resident buffers is no worse. A buffer is clean if
    a copy is off chip: its eviction costs its size, otherwise twice its size.

    Parameters
    ----------
    merge
        Represent all labellings of interchangeable steps by one state.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, *, merge: bool = True) -> None:
        self.core, self.capacity = core, capacity
        self.tokens = Tokens(core, merge=merge)
        #: Set if more eviction sets exist than were tried: the absence of a path is then no proof.
        self.truncated = False
        self._kept = 0
        self._nodes: dict[int, ExecutedSet] = {}
        self._evictions: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        self._steps = [
            (s, 1 << s, core.before[s] & ~self.tokens.steps_mask) for s in range(core.steps)
        ]

    def node(self, done: int, live: int = -1) -> ExecutedSet:
        """Return the node of a (canonical) set of executed steps; `live` if already known."""
        node = self._nodes.get(done)
        if node is None:
            live = self.core.live(done) if live < 0 else live
            node = self._nodes[done] = ExecutedSet(done, live)
            if self.tokens and live & self.tokens.buffers_mask:
                node.pools = self.tokens.pools(done)
        return node

    def start(self) -> tuple[ExecutedSet, int, int]:
        """Return the initial node and the masks of resident and clean buffers."""
        core = self.core
        return self.node(0), core.resident, core.resident & core.stored

    def moves(self, node: ExecutedSet) -> tuple[ReadyStep, ...]:
        """Return the steps that are ready at a node."""
        if node.moves is None:
            node.moves = tuple(self._moves(node))
        return node.moves

    def _moves(self, node: ExecutedSet) -> list[ReadyStep]:
        core, tokens, done = self.core, self.tokens, node.done
        moves: list[ReadyStep] = []
        for s, bit, before in self._steps:
            if done & bit or before & ~done:
                continue
            takes = tokens.takes(core, s, done)
            if takes is None or not tokens.representative(s, done):
                continue
            reads = core.reads[s] & ~tokens.buffers_mask
            after = done | bit
            dead = mask_of(t for t in bits(reads | core.writes[s]) if not core.readers[t] & ~after)
            outputs = core.writes[s] & ~dead
            output_bytes = core.bytes_of(outputs)
            if tokens:
                child = self.node(tokens.done(after))
            else:
                child = self.node(after, node.live & ~dead | outputs)
            moves.append(
                ReadyStep(
                    s,
                    reads,
                    core.growth[s],
                    ~dead,
                    outputs,
                    child,
                    output_bytes,
                    output_bytes + core.bytes_of(outputs & ~core.stored),
                    tuple(bits(reads & dead)),
                    takes,
                    tokens.exclusive(core, s, done),
                )
            )
        return moves

    def evictions(self, candidates: int, over: int, clean: int) -> list[tuple[int, int]]:
        """Return the minimal sets of `candidates` that free `over` bytes or more.

        Entries are (bytes, mask), ascending in bytes. No set contains another: a minimal set needs
        its smallest member. Among equal copies of a type the first are evicted. If there are very
        many sets, some are omitted and `truncated` is set.
        """
        tokens = self.tokens.buffers_mask & candidates
        key = (candidates, clean & tokens, over)
        known = self._evictions.get(key)
        if known is not None:
            self.truncated |= len(known) >= _MOST_SETS
            return known
        core = self.core
        kinds: list[tuple[int, int, int]] = []
        for t in bits(candidates):
            if core.sizes[t]:
                alike = 0
                if tokens >> t & 1:
                    alike = 2 * (1 + self.tokens.kind[t]) + (clean >> t & 1)
                kinds.append((-core.sizes[t], alike, t))
        kinds.sort()
        items = [(-size, alike, 1 << t) for size, alike, t in kinds]
        suffix_bytes = [0] * (len(items) + 1)
        for i in range(len(items) - 1, -1, -1):
            suffix_bytes[i] = suffix_bytes[i + 1] + items[i][0]
        sets: list[tuple[int, int]] = []

        def extend(i: int, left: int, evicted: int) -> None:
            skipped = 0
            while suffix_bytes[i] >= left and len(sets) < _MOST_SETS:
                size, alike, bit = items[i]
                if not alike or alike != skipped:
                    if size >= left:
                        sets.append((over - left + size, evicted | bit))
                    else:
                        extend(i + 1, left - size, evicted | bit)
                skipped = alike
                i += 1

        extend(0, over, 0)
        self.truncated |= len(sets) >= _MOST_SETS
        sets.sort()
        self._kept += 1 + len(sets)
        if self._kept >= _MOST_KEPT:
            self._evictions.clear()
            self._kept = 0
        self._evictions[key] = sets
        return sets

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
        rows: list[Row] | None = None
        for move in node.moves or self.moves(node):
            reads, alive, child, outputs = move.reads, move.alive, move.child, move.outputs
            for taken in self._takes(move.takes, resident, clean) if move.takes else (0,):
                if taken:
                    reads, alive = move.reads | taken, move.alive & ~taken
                missing = reads & ~resident
                after = (resident | missing) & alive | outputs
                clean_after = (clean | missing) & alive | outputs & stored
                if bound:
                    rows = bound.ways(child, after, clean_after, limit - cost)
                total = used + move.growth
                if missing:
                    total += bytes_of(missing)
                at_once = (
                    total <= capacity
                    and not missing & alive
                    and self._at_once(move, taken, resident, clean)
                )
                if rows is not None and not rows:
                    if at_once:
                        return []
                    continue
                if total > capacity:
                    way = (child, after, clean_after, cost, move.step, 0, taken, 0)
                    leaving, over = resident & ~reads, total - capacity
                    slack = bound.slack if bound else 0
                    successors += self._evicting(way, leaving, clean, over, limit, rows, slack)
                    continue
                if child.pools:
                    after, clean_after = _labelled(child, after, clean_after)
                least = rows[0][0] if rows else 0
                way = (child, after, clean_after, cost, move.step, 0, taken, least)
                if at_once:
                    return [way]
                successors.append(way)
        return successors

    def _evicting(
        self,
        way: Successor,
        leaving: int,
        clean: int,
        over: int,
        limit: int,
        rows: list[Row] | None,
        slack: int,
    ) -> Iterator[Successor]:
        """Yield one successor per minimal set of evictions before a step that does not fit.

        Parameters
        ----------
        way
            The successor without any eviction.
        leaving
            Mask of the eviction candidates, of which at least `over` bytes must be freed.
        rows, slack
            Rows of the bound, and the bytes that need not be evicted according to it.
        """
        child, after, clean_after, cost, step, _, taken, least = way
        bytes_of, dirty = self.core.bytes_of, after & ~clean_after
        if rows:
            leaving &= self._may_leave(rows, leaving, clean, limit - cost)
        for freed, gone in self.evictions(leaving, over, clean):
            price = cost + 2 * freed
            copied = clean & gone
            if copied:
                price -= bytes_of(copied)
            if price >= limit:
                if cost + freed >= limit:
                    break
                continue
            if rows:
                least = _least(rows, gone, dirty, bytes_of, slack, limit - price)
                if price + least >= limit:
                    continue
            now, there = after & ~gone, clean_after & ~gone
            if child.pools:
                now, there = _labelled(child, now, there)
            yield child, now, there, price, step, gone, taken, least

    def _may_leave(self, rows: list[Row], resident: int, clean: int, room: int) -> int:
        """Return the buffers that can be evicted now at a final cost below `room`.

        Evicting a buffer that a row does not require adds its eviction cost to that row.
        """
        sizes, may = self.core.sizes, 0
        for least, _, _, _, others, _ in rows:
            may |= others
            left = room - least
            for t in bits(resident & ~may):
                if sizes[t] * (1 if clean >> t & 1 else 2) < left:
                    may |= 1 << t
        return may

    def _at_once(self, move: ReadyStep, taken: int, resident: int, clean: int) -> bool:
        """Return whether a step that fits and leaves no loaded buffer behind is best run now."""
        if taken and (not move.exclusive or taken & ~(resident & ~clean)):
            return False
        if not move.outputs:
            return True
        sizes = self.core.sizes
        for t in move.freed:
            if resident >> t & 1 and move.output_bytes <= sizes[t]:
                price = sizes[t] if clean >> t & 1 else 2 * sizes[t]
                if move.eviction_cost <= price:
                    return True
        return False

    @staticmethod
    def _takes(takes: tuple[tuple[int, int], ...], resident: int, clean: int) -> list[int]:
        """Return the choices of outputs to consume: a fixed number per type, by location."""
        choices = [0]
        for waiting, count in takes:
            places = [waiting & ~resident, waiting & resident & clean, waiting & resident & ~clean]
            options: list[int] = []
            for first in range(min(count, places[0].bit_count()) + 1):
                for second in range(min(count - first, places[1].bit_count()) + 1):
                    third = count - first - second
                    if third <= places[2].bit_count():
                        options.append(
                            _lowest(places[0], first)
                            | _lowest(places[1], second)
                            | _lowest(places[2], third)
                        )
            choices = [a | b for a in choices for b in options]
        return choices


def _lowest(mask: int, count: int) -> int:
    """Return the lowest `count` set bits of a mask."""
    return mask_of(islice(bits(mask), count))


def _least(
    rows: list[Row], gone: int, dirty: int, bytes_of: Callable[[int], int], slack: int, limit: int
) -> int:
    """Return the least cost of the rows (or `limit`) if `gone` is evicted."""
    best = limit
    for least, remaining, twice, once, others, read in rows:
        # Evicting a buffer now that the row does not require reduces no later cost.
        if least - 2 * bytes_of(gone & others) >= best:
            continue
        mask = gone & others & dirty
        if mask:
            twice -= bytes_of(mask)
        mask = gone & others & ~dirty
        if mask:
            once -= bytes_of(mask)
        mask = gone & read
        if mask:
            once += bytes_of(mask)
        if twice >= slack:
            remaining += 2 * (twice - slack) + once
        elif twice + once > slack:
            remaining += twice + once - slack
        best = min(best, remaining)
    return best


def _labelled(node: ExecutedSet, resident: int, clean: int) -> tuple[int, int]:
    """Return resident and clean buffers with the copies of each type in canonical positions."""
    for mask, last in node.pools:
        here = resident & mask
        count = here.bit_count()
        dirty = (here & ~clean).bit_count()
        resident = resident & ~mask | last[count]
        clean = clean & ~mask | last[count] & ~last[dirty]
    return resident, clean
