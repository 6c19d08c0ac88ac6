"""The graph of states: which steps may run next, what leaves for them, what they cost."""

from __future__ import annotations

from perfmodel.schedule.exact.core import Core, bits
from perfmodel.schedule.exact.tokens import Tokens

__all__ = ["Lattice", "Move", "Node", "Successor"]


#: Lists of sets to evict that are kept for the next time.
_MOST_KEPT = 200_000


class Move:
    """A step that may run at a node.

    Attributes
    ----------
    reads
        What it reads, but for what it consumes of interchangeable copies.
    alive
        Everything but the buffers that vanish after it.
    kept, kept_bytes, kept_spill
        What it writes and something reads, its bytes, the cost of evicting it.
    freed
        Buffers of which it is the last reader.
    takes
        For each type that it reads, the waiting copies and how many it consumes.
    alone
        No other step can consume them before.
    """

    __slots__ = (
        "alive", "alone", "child", "freed", "growth", "kept", "kept_bytes", "kept_spill", "reads",
        "step", "takes",
    )  # fmt: skip

    def __init__(
        self, step: int, reads: int, growth: int, alive: int, kept: int, child: Node,
        kept_bytes: int, kept_spill: int, freed: tuple[int, ...],
        takes: tuple[tuple[int, int], ...], alone: bool,
    ) -> None:  # fmt: skip
        self.step, self.reads, self.growth, self.alive = step, reads, growth, alive
        self.kept, self.kept_bytes, self.kept_spill = kept, kept_bytes, kept_spill
        self.child, self.freed, self.takes, self.alone = child, freed, takes, alone


class Node:
    """A set of executed steps, with what all states of that set have in common.

    Attributes
    ----------
    found
        Cost of the states met so far, by (resident, clean).
    expanded
        (resident, clean, cost) of some that were expanded: what they dominate is dropped.
    rows
        What bounds keep here.
    """

    __slots__ = ("done", "expanded", "found", "live", "moves", "pools", "rows")

    def __init__(self, done: int, live: int) -> None:
        self.done, self.live = done, live
        self.moves: tuple[Move, ...] | None = None
        self.pools: tuple[tuple[int, tuple[int, ...]], ...] = ()
        self.found: dict[tuple[int, int], int] = {}
        self.expanded: list[tuple[int, int, int]] = []
        self.rows: list[tuple[tuple[int, int, int, int, int, int], ...] | None] | None = None


#: Node, resident, clean, cost so far; the step that led there, what it evicted, what it took.
Successor = tuple[Node, int, int, int, int, int, int]


class Lattice:
    """States of a core under a capacity: (executed, resident, clean).

    Whatever is live and not resident has a copy off chip, and its reload is paid when it leaves.
    So a load is free, and a state with less resident is no worse. A buffer is clean when a copy is
    off chip: to evict it costs its size, and twice that otherwise.

    Parameters
    ----------
    merge
        Keep one state for all labellings of interchangeable steps.
    """

    def __init__(self, core: Core, capacity: int, *, merge: bool = True) -> None:
        self.core, self.capacity = core, capacity
        self.tokens = Tokens(core, merge=merge)
        self._nodes: dict[int, Node] = {}
        self._evictions: dict[tuple[int, int, int], list[int]] = {}

    @property
    def size(self) -> int:
        """Sets of executed steps met so far."""
        return len(self._nodes)

    def node(self, done: int) -> Node:
        """Return the node of a (canonical) set of executed steps."""
        node = self._nodes.get(done)
        if node is None:
            node = self._nodes[done] = Node(done, self.core.live(done))
            if self.tokens:
                node.pools = self.tokens.pools(done)
        return node

    def start(self) -> tuple[Node, int, int]:
        """Return the node, the resident and the clean buffers before the first step."""
        core = self.core
        return self.node(0), core.held, core.held & core.stored

    def moves(self, node: Node) -> tuple[Move, ...]:
        """Return the steps that may run."""
        if node.moves is None:
            node.moves = tuple(self._moves(node))
        return node.moves

    def _moves(self, node: Node) -> list[Move]:
        core, tokens, done = self.core, self.tokens, node.done
        moves: list[Move] = []
        for s in bits(core.full & ~done):
            takes: tuple[tuple[int, int], ...] = ()
            reads = core.reads[s]
            if core.before[s] & ~tokens.steps_mask & ~done:
                continue
            if tokens:
                if not tokens.representative(s, done):
                    continue
                found = tokens.takes(core, s, done)
                if found is None:
                    continue
                takes = found
                reads &= ~tokens.buffers_mask
            after = done | 1 << s
            dead = 0
            for t in bits(reads | core.writes[s]):
                if not core.readers[t] & ~after:
                    dead |= 1 << t
            kept = core.writes[s] & ~dead
            kept_bytes = core.bytes_of(kept)
            moves.append(
                Move(
                    s, reads, core.growth[s], ~dead, kept, self.node(tokens.done(after)),
                    kept_bytes, kept_bytes + core.bytes_of(kept & ~core.stored),
                    tuple(bits(reads & dead)), takes, tokens.alone(core, s, done),
                )
            )  # fmt: skip
        return moves

    def evictions(self, candidates: int, over: int, clean: int) -> list[int]:
        """Return the smallest sets of `candidates` that free at least `over` bytes.

        No set contains another: one that is smallest needs its smallest member. Of equal copies of
        a type, the first go.
        """
        tokens = self.tokens.buffers_mask & candidates
        key = (candidates, clean & tokens, over)
        known = self._evictions.get(key)
        if known is not None:
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
        sets: list[int] = []

        def extend(i: int, left: int, chosen: int) -> None:
            skipped = 0
            while rest[i] >= left:
                size, alike, bit = items[i]
                if not alike or alike != skipped:
                    if size >= left:
                        sets.append(chosen | bit)
                    else:
                        extend(i + 1, left - size, chosen | bit)
                skipped = alike
                i += 1

        extend(0, over, 0)
        if len(self._evictions) >= _MOST_KEPT:
            self._evictions.clear()
        self._evictions[key] = sets
        return sets

    def successors(
        self, node: Node, resident: int, clean: int, cost: int, limit: int
    ) -> list[Successor]:
        """Return what can follow a state, at a cost below `limit`.

        A step that fits, evicts nothing, leaves no more on chip than one buffer it frees, and no
        dearer to evict, runs at once: in a schedule that runs it later what it writes can take the
        place of that buffer until then.
        """
        core, capacity, bytes_of = self.core, self.capacity, self.core.bytes_of
        sizes, stored = core.sizes, core.stored
        used = bytes_of(resident)
        found: list[Successor] = []
        for move in node.moves or self.moves(node):
            reads, alive, child, kept = move.reads, move.alive, move.child, move.kept
            for taken in self._takes(move.takes, resident, clean) if move.takes else (0,):
                if taken:
                    reads, alive = move.reads | taken, move.alive & ~taken
                missing = reads & ~resident
                total = used + move.growth
                if missing:
                    total += bytes_of(missing)
                if total <= capacity:
                    after = (resident | missing) & alive | kept
                    pure = (clean | missing) & alive | kept & stored
                    at_once = False
                    if not missing & alive and (
                        not taken or (move.alone and not taken & ~(resident & ~clean))
                    ):
                        if not kept:
                            at_once = True
                        else:
                            for t in move.freed:
                                if resident >> t & 1 and move.kept_bytes <= sizes[t]:
                                    price = sizes[t] if clean >> t & 1 else 2 * sizes[t]
                                    if move.kept_spill <= price:
                                        at_once = True
                                        break
                    if child.pools:
                        after, pure = _labelled(child, after, pure)
                    if at_once:
                        return [(child, after, pure, cost, move.step, 0, taken)]
                    found.append((child, after, pure, cost, move.step, 0, taken))
                    continue
                for gone in self.evictions(resident & ~reads, total - capacity, clean):
                    price = cost + bytes_of(gone) + bytes_of(gone & ~clean)
                    if price < limit:
                        after = (resident & ~gone | missing) & alive | kept
                        pure = (clean & ~gone | missing) & alive | kept & stored
                        if child.pools:
                            after, pure = _labelled(child, after, pure)
                        found.append((child, after, pure, price, move.step, gone, taken))
        return found

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
                            _lowest(places[0], first) | _lowest(places[1], second)
                            | _lowest(places[2], third)
                        )  # fmt: skip
            choices = [a | b for a in choices for b in options]
        return choices


def _lowest(mask: int, count: int) -> int:
    chosen = 0
    for _ in range(count):
        low = mask & -mask
        chosen |= low
        mask ^= low
    return chosen


def _labelled(node: Node, resident: int, clean: int) -> tuple[int, int]:
    """Return resident and clean buffers with the copies of each type in their canonical places."""
    for mask, last in node.pools:
        here = resident & mask
        held = here.bit_count()
        spoilt = (here & ~clean).bit_count()
        resident = resident & ~mask | last[held]
        clean = clean & ~mask | last[held] & ~last[spoilt]
    return resident, clean
