"""One direction of the search for the least peak: expansion, eager steps, and permanent roots."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from perfmodel.schedule.masks import bits
from perfmodel.schedule.peak.region import Region
from perfmodel.schedule.peak.valley import valleys

# Maximum remaining readers of a buffer for which they are re-examined when one of them has run:
# beyond it the check costs more than it saves. It affects how many steps run at once, not the
# result.
FEW = 4


class PeakSearchDirection:
    """A search over executed sets, from the empty set, or (backward) from the full set.

    Attributes
    ----------
    root, end
        Executed sets at which orders begin and end in this direction; the root advances, and the
        end follows the root of the other side.
    known
        Least peak at which each stored set was reached.
    """

    def __init__(self, region: Region, backward: bool) -> None:
        self.region = region
        self.backward = backward
        self.end, self.root = (0, region.full) if backward else (region.full, 0)
        self.root_bytes = region.bytes_of(self.root)
        self.settled: list[int] = []  # steps that led to the root, in the direction of the search
        self.parent: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.known: dict[int, int] = {}
        # Sets within the threshold: (-steps moved, set, bytes, steps that would add nothing but
        # exceed the peak, steps that may be ready); and the others, each preceded by its peak.
        self.open: list[tuple[int, int, int, int, int]] = []
        self.later: list[tuple[int, int, int, int, int, int]] = []
        # Predecessors and successors of each step in this direction.
        self.waits = region.after if backward else region.before
        self.opens = region.before if backward else region.after
        self.direct = [direct(mask, self.opens, backward) for mask in self.opens]
        # A buffer with a single reader needs no check of other readers.
        self.private = [
            sum(size for size, mask in reads if mask == 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        self.shared = [
            tuple((size, mask) for size, mask in reads if mask != 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        # Lazy steps wait until just before a successor: their mask; for each step, the lazy steps
        # that it pulls along, and the steps to examine once it (`awake`) or one of its neighbours
        # (`near`) has moved.
        self.lazy = 0
        self.pulls = [0] * len(region.steps)
        self.near = [0] * len(region.steps)
        self.awake = [0] * len(region.steps)

    def restart(self, threshold: int) -> None:
        """Restart the search at the root."""
        self.known, self.parent = {}, {}
        self.open, self.later = [], []
        self._set_lazy()
        full = self.region.full
        self._store(-1, 0, self.root, self.root_bytes, full, full, threshold, threshold)

    def follow(self, other: PeakSearchDirection, threshold: int) -> None:
        """Restart if the root of the other side has advanced: orders now end there.

        Steps run at once on the way to the old end may lie outside the new one.
        """
        if self.end != other.root:
            self.end = other.root
            self.restart(threshold)

    def _set_lazy(self) -> None:
        """Determine the steps that may wait until just before one of their successors.

        Forward, such a step never frees more than it leaves, and needs no more while it runs than
        the first of its successors does after it: moving it to just before that one makes no order
        worse. Backward the same holds for a step that never leaves more than it frees.
        """
        region, gain, growth, private = (
            self.region,
            self.region.gain,
            self.region.growth,
            self.private,
        )
        span = self.root ^ self.end
        lazy = 0
        for s in bits(span):
            heirs = self.direct[s] & span
            if not heirs:
                continue
            if self.backward:
                rise = 0 if gain[s] <= private[s] else -1
                limit = min(growth[p] - gain[p] + private[p] for p in bits(heirs))
            else:
                rise = gain[s] - private[s] - sum(size for size, _ in self.shared[s])
                limit = rise + min(growth[p] for p in bits(heirs))
            if rise >= 0 and growth[s] <= limit:
                lazy |= 1 << s
        self.lazy = lazy
        self.pulls = pulls = [0] * len(region.steps)
        pulled_by = [0] * len(region.steps)
        steps = range(len(region.steps))
        for s in reversed(steps) if self.backward else steps:
            if lazy >> s & 1:
                for heir in bits(self.direct[s]):
                    pulls[heir] |= pulls[s] | 1 << s
        for s in bits(span & ~lazy):
            for p in bits(pulls[s]):
                pulled_by[p] |= 1 << s
        # Steps that move together with each step, and those that may follow once it has moved.
        self.awake = [pulled_by[s] if lazy >> s & 1 else 1 << s for s in steps]
        for s in bits(span):
            self.near[s] = self._awake(self.direct[s] & span)

    def _awake(self, mask: int) -> int:
        """Return the steps to examine after a change at the steps of a mask."""
        moving = 0
        for s in bits(mask):
            moving |= self.awake[s]
        return moving

    def has_open(self, threshold: int) -> bool:
        """Return whether a set is within the threshold, after promoting those that now are."""
        while self.later and self.later[0][0] <= threshold:
            peak, *entry = heapq.heappop(self.later)
            if self.known.get(entry[1]) == peak:
                self._open(entry[0], entry[1], entry[2], entry[3], entry[4], threshold)
        return bool(self.open)

    def next_threshold(self) -> int:
        """Return the least peak above the threshold at which a set was reached."""
        while self.known.get(self.later[0][2]) != self.later[0][0]:
            heapq.heappop(self.later)
        return self.later[0][0]

    def expand(self, threshold: int, other: PeakSearchDirection) -> int | None:
        """Expand the most advanced set; return a set that both sides have reached, or None."""
        _, state, on_chip, shed, may = heapq.heappop(self.open)
        if state == self.end or other.known.get(state, threshold + 1) <= threshold:
            return state
        root = self.root
        waits, pulls = self.waits, self.pulls
        missing = state & ~self.end if self.backward else self.end & ~state
        moves: list[int] = []
        ready = 0
        candidates = may & missing & ~self.lazy
        while candidates:
            low = candidates & -candidates
            candidates ^= low
            s = low.bit_length() - 1
            need = waits[s] & missing
            if not need & ~pulls[s]:
                ready |= low
                moves.append(need | low)
        for moving in moves:
            during, after = self._effect(state, on_chip, moving)
            peak = during if during > threshold else threshold
            if self.known.get(state ^ moving, peak + 1) <= peak:
                continue
            heirs, touched = self._touched(state, moving)
            self._store(
                state, moving, state ^ moving, after, shed | touched, ready | heirs, peak, threshold
            )
            if self.root != root:
                break
        return None

    def _effect(self, state: int, on_chip: int, moving: int) -> tuple[int, int]:
        """Return the peak of the bytes on chip while some steps move, and the bytes after."""
        gain, growth, private, shared = (
            self.region.gain,
            self.region.growth,
            self.private,
            self.shared,
        )
        most = 0
        if self.backward:
            while moving:
                s = moving.bit_length() - 1
                on_chip += private[s] - gain[s]
                for size, mask in shared[s]:
                    if not mask & ~state:
                        on_chip += size
                if on_chip + growth[s] > most:
                    most = on_chip + growth[s]
                state ^= 1 << s
                moving ^= 1 << s
            return most, on_chip
        while moving:
            low = moving & -moving
            s = low.bit_length() - 1
            moving ^= low
            if on_chip + growth[s] > most:
                most = on_chip + growth[s]
            state |= low
            on_chip += gain[s] - private[s]
            for size, mask in shared[s]:
                if not mask & ~state:
                    on_chip -= size
        return most, on_chip

    def _touched(self, state: int, moving: int) -> tuple[int, int]:
        """Return the steps enabled by a move from a set, including those that now add fewer bytes.

        Among the readers of a buffer these are the ones that may now be the last to free it (or,
        backward, that no longer bring it back). Forward, a buffer with many readers left is
        skipped: fewer steps run at once, with no effect on the result.
        """
        heirs = touched = 0
        remaining = moving
        while remaining:
            low = remaining & -remaining
            remaining ^= low
            s = low.bit_length() - 1
            heirs |= self.near[s]
            for _, readers in self.shared[s]:
                left = readers & ~state
                if self.backward:
                    if not left:
                        touched |= self._awake(readers & ~moving)
                elif (left & ~moving).bit_count() <= FEW:
                    touched |= self._awake(left & ~moving)
        return heirs, heirs | touched

    def _store(
        self,
        origin: int,
        moves: int,
        state: int,
        on_chip: int,
        todo: int,
        may: int,
        peak: int,
        threshold: int,
    ) -> None:
        """Store a set reached from another, after all steps that fit and add nothing have moved.

        Only steps of `todo` can be of that kind, and only those of `may` can be ready.
        """
        known, waits, pulls = self.known, self.waits, self.pulls
        trail = [moves]
        shed = 0  # steps that would add nothing but exceed the peak
        missing = state & ~self.end if self.backward else self.end & ~state
        todo &= missing & ~self.lazy
        while todo:
            low = todo & -todo
            todo ^= low
            s = low.bit_length() - 1
            need = waits[s] & missing
            if need & ~pulls[s]:
                continue
            moving = need | low
            during, after = self._effect(state, on_chip, moving)
            if after > on_chip:
                continue
            if during > peak:
                shed |= low
                continue
            heirs, touched = self._touched(state, moving)
            state ^= moving
            on_chip = after
            trail.append(moving)
            missing &= ~moving
            todo = (todo | shed | touched) & missing & ~self.lazy
            may |= heirs
            shed = 0
        if known.get(state, peak + 1) <= peak:
            return
        known[state] = peak
        self.parent[state] = (origin, tuple(trail))
        progress = state.bit_count() if self.backward else -state.bit_count()
        if peak <= threshold:
            self._open(progress, state, on_chip, shed, may, threshold)
        else:
            heapq.heappush(self.later, (peak, progress, state, on_chip, shed, may))

    def _open(
        self, progress: int, state: int, on_chip: int, shed: int, may: int, threshold: int
    ) -> None:
        if on_chip <= self.root_bytes and state != self.root:
            self._settle(state, threshold)
        else:
            heapq.heappush(self.open, (progress, state, on_chip, shed, may))

    def _settle(self, state: int, threshold: int) -> None:
        """Make the set with the fewest bytes between the root and this one the permanent root."""
        first, last = (state, self.root) if self.backward else (self.root, state)
        chain = [v for v in valleys(self.region, first, last) if v != self.root]
        target = chain[0] if self.backward else chain[-1]
        changed = target ^ self.root
        self.settled += [s for s in self._trail(state) if changed >> s & 1]
        self.root, self.root_bytes = target, self.region.bytes_of(target)
        self.restart(threshold)

    def _trail(self, state: int) -> list[int]:
        """Return the steps from the root to a set, in the direction of the search."""
        pieces: list[tuple[int, ...]] = []
        while state in self.parent:
            state, moves = self.parent[state]
            pieces.append(moves)
        steps: list[int] = []
        for piece in reversed(pieces):
            for moving in piece:
                some = list(bits(moving))
                steps += reversed(some) if self.backward else some
        return steps

    def path(self, state: int) -> list[int]:
        """Return the steps between the start of this side and a set, in execution order."""
        steps = [*self.settled, *self._trail(state)]
        return steps[::-1] if self.backward else steps


def direct(mask: int, opens: Sequence[int], backward: bool) -> int:
    """Return the nearest steps of a mask: those that wait for no other step of it."""
    nearest = 0
    while mask:
        # The nearest one depends on none of the others.
        s = mask.bit_length() - 1 if backward else (mask & -mask).bit_length() - 1
        nearest |= 1 << s
        mask &= ~(opens[s] | 1 << s)
    return nearest
