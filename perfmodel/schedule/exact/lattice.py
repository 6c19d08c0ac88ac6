"""The graph of states: which steps may run next, what leaves for them, what they cost."""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.nodes import Bound, ExecutedSet, ReadyStep, Row, Successor
from perfmodel.schedule.exact.tokens import Tokens
from perfmodel.schedule.masks import bits

#: Sets to evict that are kept for the next time, and tried at once.
_MOST_KEPT, _MOST_SETS = 1_000_000, 2_000


class StateLattice:
    """States of a core under a capacity: (executed, resident, clean).

    Whatever is live and not resident has a copy off chip, and its reload is paid when it leaves.
    So a load is free, and a state with less resident is no worse. A buffer is clean when a copy is
    off chip: to evict it costs its size, and twice that otherwise.

    Parameters
    ----------
    merge
        Keep one state for all labellings of interchangeable steps.
    """

    def __init__(self, core: BitmaskProblem, capacity: int, *, merge: bool = True) -> None:
        self.core, self.capacity = core, capacity
        self.tokens = Tokens(core, merge=merge)
        #: Set where more sets might leave than were tried: what is not there may exist.
        self.truncated = False
        self._kept = 0
        self._nodes: dict[int, ExecutedSet] = {}
        self._evictions: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        self._steps = [
            (s, 1 << s, core.before[s] & ~self.tokens.steps_mask) for s in range(core.steps)
        ]

    def node(self, done: int, live: int = -1) -> ExecutedSet:
        """Return the node of a (canonical) set of executed steps; `live` where it is known."""
        node = self._nodes.get(done)
        if node is None:
            live = self.core.live(done) if live < 0 else live
            node = self._nodes[done] = ExecutedSet(done, live)
            if self.tokens and live & self.tokens.buffers_mask:
                node.pools = self.tokens.pools(done)
        return node

    def start(self) -> tuple[ExecutedSet, int, int]:
        """Return the node, the resident and the clean buffers before the first step."""
        core = self.core
        return self.node(0), core.held, core.held & core.stored

    def moves(self, node: ExecutedSet) -> tuple[ReadyStep, ...]:
        """Return the steps that may run."""
        if node.moves is None:
            node.moves = tuple(self._moves(node))
        return node.moves

    def _moves(self, node: ExecutedSet) -> list[ReadyStep]:
        core, tokens, done = self.core, self.tokens, node.done
        moves: list[ReadyStep] = []
        for s, bit, before in self._steps:
            if done & bit or before & ~done:
                continue
            takes: tuple[tuple[int, int], ...] = ()
            reads = core.reads[s]
            if tokens:
                if not tokens.representative(s, done):
                    continue
                found = tokens.takes(core, s, done)
                if found is None:
                    continue
                takes = found
                reads &= ~tokens.buffers_mask
            after = done | bit
            dead = 0
            for t in bits(reads | core.writes[s]):
                if not core.readers[t] & ~after:
                    dead |= 1 << t
            kept = core.writes[s] & ~dead
            kept_bytes = core.bytes_of(kept)
            if tokens:
                child = self.node(tokens.done(after))
            else:
                child = self.node(after, node.live & ~dead | kept)
            moves.append(
                ReadyStep(
                    s,
                    reads,
                    core.growth[s],
                    ~dead,
                    kept,
                    child,
                    kept_bytes,
                    kept_bytes + core.bytes_of(kept & ~core.stored),
                    tuple(bits(reads & dead)),
                    takes,
                    tokens.alone(core, s, done),
                )
            )
        return moves

    def evictions(self, candidates: int, over: int, clean: int) -> list[tuple[int, int]]:
        """Return the smallest sets of `candidates` that free `over` bytes or more.

        Each stands after its bytes, those with fewer first. No set contains another: one that is
        smallest needs its smallest member. Of equal copies of a type, the first go. Where there are
        very many, some are left out, and `truncated` is set.
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
        rest = [0] * (len(items) + 1)
        for i in range(len(items) - 1, -1, -1):
            rest[i] = rest[i + 1] + items[i][0]
        sets: list[tuple[int, int]] = []

        def extend(i: int, left: int, chosen: int) -> None:
            skipped = 0
            while rest[i] >= left and len(sets) < _MOST_SETS:
                size, alike, bit = items[i]
                if not alike or alike != skipped:
                    if size >= left:
                        sets.append((over - left + size, chosen | bit))
                    else:
                        extend(i + 1, left - size, chosen | bit)
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
        """Return what can follow a state, if its cost and the bound of the rest are below `limit`.

        A step that fits, evicts nothing, leaves no more on chip than one buffer it frees, and no
        dearer to evict, runs at once: in a schedule that runs it later what it writes can take the
        place of that buffer until then.
        """
        core, capacity, bytes_of = self.core, self.capacity, self.core.bytes_of
        stored = core.stored
        used = bytes_of(resident)
        found: list[Successor] = []
        rows: list[Row] | None = None
        for move in node.moves or self.moves(node):
            reads, alive, child, kept = move.reads, move.alive, move.child, move.kept
            for taken in self._takes(move.takes, resident, clean) if move.takes else (0,):
                if taken:
                    reads, alive = move.reads | taken, move.alive & ~taken
                missing = reads & ~resident
                after = (resident | missing) & alive | kept
                pure = (clean | missing) & alive | kept & stored
                if bound:
                    rows = bound.ways(child, after, pure, limit - cost)
                total = used + move.growth
                if missing:
                    total += bytes_of(missing)
                if total <= capacity:
                    at_once = not missing & alive and self._at_once(move, taken, resident, clean)
                    if rows is None or rows:
                        least = rows[0][0] if rows else 0
                        if child.pools:
                            after, pure = _labelled(child, after, pure)
                        way = (child, after, pure, cost, move.step, 0, taken, least)
                        if at_once:
                            return [way]
                        found.append(way)
                    elif at_once:
                        return []
                    continue
                if rows is not None and not rows:
                    continue
                least = 0
                spoilt = after & ~pure
                leaving = resident & ~reads
                if rows:
                    leaving &= self._may_leave(rows, leaving, clean, limit - cost)
                for freed, gone in self.evictions(leaving, total - capacity, clean):
                    price = cost + 2 * freed
                    copied = clean & gone
                    if copied:
                        price -= bytes_of(copied)
                    if price >= limit:
                        if cost + freed >= limit:
                            break
                        continue
                    if rows and bound:
                        least = _least(rows, gone, spoilt, bytes_of, bound.slack, limit - price)
                        if price + least >= limit:
                            continue
                    now, there = after & ~gone, pure & ~gone
                    if child.pools:
                        now, there = _labelled(child, now, there)
                    found.append((child, now, there, price, move.step, gone, taken, least))
        return found

    def _may_leave(self, rows: list[Row], resident: int, clean: int, room: int) -> int:
        """Return the buffers that can leave now at a cost below `room` in the end.

        What need not leave later costs its eviction on top of a row.
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
        """Tell whether a step that fits and loads nothing that stays is best run now."""
        if taken and (not move.alone or taken & ~(resident & ~clean)):
            return False
        if not move.kept:
            return True
        sizes = self.core.sizes
        for t in move.freed:
            if resident >> t & 1 and move.kept_bytes <= sizes[t]:
                price = sizes[t] if clean >> t & 1 else 2 * sizes[t]
                if move.kept_spill <= price:
                    return True
        return False

    @staticmethod
    def _takes(takes: tuple[tuple[int, int], ...], resident: int, clean: int) -> list[int]:
        """Return the choices of outputs that a step consumes: of each type so many, by place."""
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
    chosen = 0
    for _ in range(count):
        low = mask & -mask
        chosen |= low
        mask ^= low
    return chosen


def _least(
    rows: list[Row], gone: int, spoilt: int, bytes_of: Callable[[int], int], slack: int, limit: int
) -> int:
    """Return the least of the ways on (or `limit`) when `gone` leaves."""
    best = limit
    for least, rest, twice, once, others, read in rows:
        # What leaves now and need not have left makes nothing cheaper later.
        if least - 2 * bytes_of(gone & others) >= best:
            continue
        mask = gone & others & spoilt
        if mask:
            twice -= bytes_of(mask)
        mask = gone & others & ~spoilt
        if mask:
            once -= bytes_of(mask)
        mask = gone & read
        if mask:
            once += bytes_of(mask)
        if twice >= slack:
            rest += 2 * (twice - slack) + once
        elif twice + once > slack:
            rest += twice + once - slack
        best = min(best, rest)
    return best


def _labelled(node: ExecutedSet, resident: int, clean: int) -> tuple[int, int]:
    """Return resident and clean buffers with the copies of each type in their canonical places."""
    for mask, last in node.pools:
        here = resident & mask
        held = here.bit_count()
        spoilt = (here & ~clean).bit_count()
        resident = resident & ~mask | last[held]
        clean = clean & ~mask | last[held] & ~last[spoilt]
    return resident, clean
