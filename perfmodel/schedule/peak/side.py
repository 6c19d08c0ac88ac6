"""One direction of the search for the least peak: what moves, and what is gone to for good."""

from __future__ import annotations

import heapq

from perfmodel.schedule.masks import bits
from perfmodel.schedule.peak.region import Region
from perfmodel.schedule.peak.valley import valleys

# Readers left of a buffer up to which they are looked at again when one of them has run: beyond,
# looking costs more than it finds. It changes how much is run at once, not what is found.
FEW = 4


class PeakSearchDirection:
    """A search over executed sets: from none on, or (backward) from all back.

    Attributes
    ----------
    root, end
        Executed sets where orders begin and end in this direction; the root moves on, and the end
        follows the root of the other side.
    known
        The least peak at which each stored set was reached.
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
        # need more, steps that may be ready); and the others, each with its peak before.
        self.open: list[tuple[int, int, int, int, int]] = []
        self.later: list[tuple[int, int, int, int, int, int]] = []
        # What each step waits for in this direction, and what waits for it.
        self.waits = region.after if backward else region.before
        self.opens = region.before if backward else region.after
        self.direct = [direct(mask, self.opens, backward) for mask in self.opens]
        # What one step alone reads needs no look at the others.
        self.alone = [
            sum(size for size, mask in reads if mask == 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        self.shared = [
            tuple((size, mask) for size, mask in reads if mask != 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        self.lazy = 0
        self.pulls = [0] * len(region.steps)
        self.near = [0] * len(region.steps)
        self.awake = [0] * len(region.steps)

    def restart(self, threshold: int) -> None:
        """Begin at the root."""
        self.known, self.parent = {}, {}
        self.open, self.later = [], []
        self._set_lazy()
        full = self.region.full
        self._store(-1, 0, self.root, self.root_bytes, full, full, threshold, threshold)

    def follow(self, other: PeakSearchDirection, threshold: int) -> None:
        """Begin again if the other side has gone for good to a set: orders now end there.

        What was run at once on the way to the old end may lie beyond the new one.
        """
        if self.end != other.root:
            self.end = other.root
            self.restart(threshold)

    def _set_lazy(self) -> None:
        """Find the steps that may wait until just before one that waits for them.

        Forward, such a step never frees more than it leaves, and needs no more while it runs than
        the first of its successors does after it: moved to just before that one, it makes nothing
        worse. Backward the same holds of a step that never leaves more than it frees.
        """
        region, gain, growth, alone = self.region, self.region.gain, self.region.growth, self.alone
        span = self.root ^ self.end
        lazy = 0
        for s in bits(span):
            heirs = self.direct[s] & span
            if not heirs:
                continue
            if self.backward:
                rise = 0 if gain[s] <= alone[s] else -1
                limit = min(growth[p] - gain[p] + alone[p] for p in bits(heirs))
            else:
                rise = gain[s] - alone[s] - sum(size for size, _ in self.shared[s])
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
        # Steps that move together with each, and those that may follow when it has moved.
        self.awake = [pulled_by[s] if lazy >> s & 1 else 1 << s for s in steps]
        for s in bits(span):
            self.near[s] = self._awake(self.direct[s] & span)

    def _awake(self, mask: int) -> int:
        moving = 0
        for s in bits(mask):
            moving |= self.awake[s]
        return moving

    def has_open(self, threshold: int) -> bool:
        """Tell whether a set within the threshold waits; take over those that now are."""
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
        """Expand the set that is farthest; return a set that the other side knows, if it is one."""
        _, state, held, shed, may = heapq.heappop(self.open)
        if state == self.end or other.known.get(state, threshold + 1) <= threshold:
            return state
        root = self.root
        waits, pulls = self.waits, self.pulls
        missing = state & ~self.end if self.backward else self.end & ~state
        moves: list[int] = []
        ready = 0
        rest = may & missing & ~self.lazy
        while rest:
            low = rest & -rest
            rest ^= low
            s = low.bit_length() - 1
            need = waits[s] & missing
            if not need & ~pulls[s]:
                ready |= low
                moves.append(need | low)
        for moved in moves:
            during, after = self._effect(state, held, moved)
            peak = during if during > threshold else threshold
            if self.known.get(state ^ moved, peak + 1) <= peak:
                continue
            heirs, touched = self._touched(state, moved)
            self._store(
                state, moved, state ^ moved, after, shed | touched, ready | heirs, peak, threshold
            )
            if self.root != root:
                break
        return None

    def _effect(self, state: int, held: int, moved: int) -> tuple[int, int]:
        """Return the most bytes on chip while some steps move, and the bytes after."""
        gain, growth, alone, shared = self.region.gain, self.region.growth, self.alone, self.shared
        most = 0
        if self.backward:
            while moved:
                s = moved.bit_length() - 1
                held += alone[s] - gain[s]
                for size, mask in shared[s]:
                    if not mask & ~state:
                        held += size
                if held + growth[s] > most:
                    most = held + growth[s]
                state ^= 1 << s
                moved ^= 1 << s
            return most, held
        while moved:
            low = moved & -moved
            s = low.bit_length() - 1
            moved ^= low
            if held + growth[s] > most:
                most = held + growth[s]
            state |= low
            held += gain[s] - alone[s]
            for size, mask in shared[s]:
                if not mask & ~state:
                    held -= size
        return most, held

    def _touched(self, state: int, moved: int) -> tuple[int, int]:
        """Return the steps that may move because some move from a set, and also those adding less.

        Of the readers of a buffer those whose turn to free it may have come (or, backward, who no
        longer bring it back). Forward, a buffer with more readers left is let be: less is run at
        once then, nothing is lost.
        """
        heirs = touched = 0
        rest = moved
        while rest:
            low = rest & -rest
            rest ^= low
            s = low.bit_length() - 1
            heirs |= self.near[s]
            for _, readers in self.shared[s]:
                left = readers & ~state
                if self.backward:
                    if not left:
                        touched |= self._awake(readers & ~moved)
                elif (left & ~moved).bit_count() <= FEW:
                    touched |= self._awake(left & ~moved)
        return heirs, heirs | touched

    def _store(
        self,
        origin: int,
        moves: int,
        state: int,
        held: int,
        todo: int,
        may: int,
        peak: int,
        threshold: int,
    ) -> None:
        """Store a set reached from another, once all has moved that fits and adds nothing.

        Only the steps of `todo` may be of that kind, and only those of `may` can move.
        """
        known, waits, pulls = self.known, self.waits, self.pulls
        trail = [moves]
        shed = 0  # steps that would add nothing but need more than the peak
        missing = state & ~self.end if self.backward else self.end & ~state
        todo &= missing & ~self.lazy
        while todo:
            low = todo & -todo
            todo ^= low
            s = low.bit_length() - 1
            need = waits[s] & missing
            if need & ~pulls[s]:
                continue
            moved = need | low
            during, after = self._effect(state, held, moved)
            if after > held:
                continue
            if during > peak:
                shed |= low
                continue
            heirs, touched = self._touched(state, moved)
            state ^= moved
            held = after
            trail.append(moved)
            missing &= ~moved
            todo = (todo | shed | touched) & missing & ~self.lazy
            may |= heirs
            shed = 0
        if known.get(state, peak + 1) <= peak:
            return
        known[state] = peak
        self.parent[state] = (origin, tuple(trail))
        progress = state.bit_count() if self.backward else -state.bit_count()
        if peak <= threshold:
            self._open(progress, state, held, shed, may, threshold)
        else:
            heapq.heappush(self.later, (peak, progress, state, held, shed, may))

    def _open(
        self, progress: int, state: int, held: int, shed: int, may: int, threshold: int
    ) -> None:
        if held <= self.root_bytes and state != self.root:
            self._settle(state, threshold)
        else:
            heapq.heappush(self.open, (progress, state, held, shed, may))

    def _settle(self, state: int, threshold: int) -> None:
        """Go for good to the set between the root and this one that holds the least."""
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
            for moved in piece:
                some = list(bits(moved))
                steps += reversed(some) if self.backward else some
        return steps

    def path(self, state: int) -> list[int]:
        """Return the steps between the beginning of this side and a set, as they run."""
        steps = [*self.settled, *self._trail(state)]
        return steps[::-1] if self.backward else steps


def direct(mask: int, opens: list[int], backward: bool) -> int:
    """Return what waits for a step and for nothing else that waits for it."""
    found = 0
    while mask:
        # The nearest one waits for none of the others.
        s = mask.bit_length() - 1 if backward else (mask & -mask).bit_length() - 1
        found |= 1 << s
        mask &= ~(opens[s] | 1 << s)
    return found
