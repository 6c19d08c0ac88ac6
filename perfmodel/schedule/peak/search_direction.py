"""One direction of the search for the least peak: expansion, eager steps and permanent roots.

Nodes are executed sets, as bit masks, forward from the empty set or backward from the full set. A
step is one move from a set to the next; moving it backward removes it. `PeakSearch`
(`bidirectional_search.py`) alternates between two directions under a common threshold.
"""

from __future__ import annotations

import heapq

from perfmodel.schedule.masks import bits, mask_of, nearest
from perfmodel.schedule.peak.minimum_cuts import least_bytes_sets
from perfmodel.schedule.peak.region import Region

#: Maximum remaining readers of a buffer for which they are re-examined when one of them has run:
#: beyond it the check costs more than it saves. It affects how many steps run at once, not the
#: result.
_FEW_READERS = 4


class PeakSearchDirection:
    """A search over executed sets, from the empty set, or backward from the full set.

    Attributes
    ----------
    root, root_bytes, end
        Executed sets at which orders begin and end in this direction, and the bytes on chip at the
        root. The root advances, and the end follows the root of the opposite direction.
    root_steps
        Steps that led to the root, in the direction of the search.
    least_peak
        Least peak at which each stored set was reached.
    parent
        For each stored set the set before it, and the masks of the steps moved since.
    open
        Heap of the sets within the threshold: (minus the steps moved, set, bytes on chip, mask of
        the steps that would add nothing but exceed the peak, mask of the steps that may be ready).
    beyond
        Heap of the other sets, each preceded by its peak.
    """

    def __init__(self, region: Region, *, is_backward: bool) -> None:
        self.region = region
        self.is_backward = is_backward
        self.end, self.root = (0, region.full) if is_backward else (region.full, 0)
        self.root_bytes = region.bytes_of(self.root)
        self.root_steps: list[int] = []
        self.parent: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.least_peak: dict[int, int] = {}
        self.open: list[tuple[int, int, int, int, int]] = []
        self.beyond: list[tuple[int, int, int, int, int, int]] = []
        # All steps before and after each step in this direction, and the nearest of those after.
        self.ancestors, self.descendants = region.before, region.after
        if is_backward:
            self.ancestors, self.descendants = region.after, region.before
        self.successors = [
            mask_of(nearest(mask, self.descendants, ascending=not is_backward))
            for mask in self.descendants
        ]
        # A buffer with a single reader needs no check of other readers.
        self.private_bytes = [
            sum(size for size, mask in reads if mask == 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        self.shared_reads = [
            tuple((size, mask) for size, mask in reads if mask != 1 << s)
            for s, reads in enumerate(region.reads)
        ]
        # Lazy steps wait until just before a successor: their mask; for each step, the lazy steps
        # that it pulls along, the steps to examine once it has moved, and those to examine once one
        # of its neighbours has moved.
        self.lazy = 0
        self.pulled = [0] * len(region.steps)
        self.examine_after = [0] * len(region.steps)
        self.examine_when_ready = [0] * len(region.steps)

    def restart(self, threshold: int) -> None:
        """Restart the search at the root."""
        self.least_peak, self.parent = {}, {}
        self.open, self.beyond = [], []
        self._find_lazy_steps()
        full = self.region.full
        self._store(-1, 0, self.root, self.root_bytes, full, full, threshold, threshold)

    def follow_root_of(self, opposite: PeakSearchDirection, threshold: int) -> None:
        """Restart if the root of the opposite direction has advanced: orders now end there.

        Steps run at once on the way to the old end may lie outside the new one.
        """
        if self.end != opposite.root:
            self.end = opposite.root
            self.restart(threshold)

    def has_open_sets(self, threshold: int) -> bool:
        """Return whether a set is within the threshold, after promoting those that now are."""
        while self.beyond and self.beyond[0][0] <= threshold:
            peak, progress, state, on_chip, too_high, candidates = heapq.heappop(self.beyond)
            if self.least_peak.get(state) == peak:
                self._open(progress, state, on_chip, too_high, candidates, threshold)
        return bool(self.open)

    def next_threshold(self) -> int:
        """Return the least peak above the threshold at which a set was reached."""
        while True:
            peak, _, state, _, _, _ = self.beyond[0]
            if self.least_peak.get(state) == peak:
                return peak
            heapq.heappop(self.beyond)

    def expand(self, threshold: int, opposite: PeakSearchDirection) -> int | None:
        """Expand the most advanced set; return a set that both directions have reached, or None."""
        _, state, on_chip, too_high, candidates = heapq.heappop(self.open)
        if state == self.end or opposite.least_peak.get(state, threshold + 1) <= threshold:
            return state
        root = self.root
        ancestors, pulled = self.ancestors, self.pulled
        missing = state & ~self.end if self.is_backward else self.end & ~state
        moves: list[int] = []
        ready = 0
        remaining = candidates & missing & ~self.lazy
        while remaining:
            low = remaining & -remaining
            remaining ^= low
            s = low.bit_length() - 1
            needed = ancestors[s] & missing
            if not needed & ~pulled[s]:
                ready |= low
                moves.append(needed | low)
        for moving in moves:
            during, after = self._effect(state, on_chip, moving)
            peak = during if during > threshold else threshold
            if self.least_peak.get(state ^ moving, peak + 1) <= peak:
                continue
            enabled, affected = self._affected(state, moving)
            self._store(
                state,
                moving,
                state ^ moving,
                after,
                too_high | affected,
                ready | enabled,
                peak,
                threshold,
            )
            if self.root != root:
                break
        return None

    def path(self, state: int) -> list[int]:
        """Return the steps between the start of this direction and a set, in execution order."""
        steps = [*self.root_steps, *self._steps_to(state)]
        return steps[::-1] if self.is_backward else steps

    def _store(
        self,
        origin: int,
        moving: int,
        state: int,
        on_chip: int,
        examined: int,
        candidates: int,
        peak: int,
        threshold: int,
    ) -> None:
        """Store a set reached from another, after all steps that fit and add nothing have moved.

        Parameters
        ----------
        origin, moving
            The set before, and the steps moved since.
        state, on_chip
            The set, and the bytes on chip.
        examined
            Steps among which those that add nothing are looked for.
        candidates
            Steps among which those that are ready are looked for.
        peak, threshold
            Peak at which the set is reached, and the least peak not yet ruled out.
        """
        ancestors, pulled = self.ancestors, self.pulled
        trail = [moving]
        too_high = 0  # steps that would add nothing but exceed the peak
        missing = state & ~self.end if self.is_backward else self.end & ~state
        examined &= missing & ~self.lazy
        while examined:
            low = examined & -examined
            examined ^= low
            s = low.bit_length() - 1
            needed = ancestors[s] & missing
            if needed & ~pulled[s]:
                continue
            moving = needed | low
            during, after = self._effect(state, on_chip, moving)
            if after > on_chip:
                continue
            if during > peak:
                too_high |= low
                continue
            enabled, affected = self._affected(state, moving)
            state ^= moving
            on_chip = after
            trail.append(moving)
            missing &= ~moving
            examined = (examined | too_high | affected) & missing & ~self.lazy
            candidates |= enabled
            too_high = 0
        if self.least_peak.get(state, peak + 1) <= peak:
            return
        self.least_peak[state] = peak
        self.parent[state] = (origin, tuple(trail))
        progress = state.bit_count() if self.is_backward else -state.bit_count()
        if peak <= threshold:
            self._open(progress, state, on_chip, too_high, candidates, threshold)
        else:
            heapq.heappush(self.beyond, (peak, progress, state, on_chip, too_high, candidates))

    def _open(
        self,
        progress: int,
        state: int,
        on_chip: int,
        too_high: int,
        candidates: int,
        threshold: int,
    ) -> None:
        """Make a set within the threshold a candidate for expansion, or the way to a new root."""
        if on_chip <= self.root_bytes and state != self.root:
            self._advance_root(state, threshold)
        else:
            heapq.heappush(self.open, (progress, state, on_chip, too_high, candidates))

    def _advance_root(self, state: int, threshold: int) -> None:
        """Make the set with the fewest bytes between the root and this one the permanent root."""
        first, last = (state, self.root) if self.is_backward else (self.root, state)
        sets = [each for each in least_bytes_sets(self.region, first, last) if each != self.root]
        new_root = sets[0] if self.is_backward else sets[-1]
        changed = new_root ^ self.root
        self.root_steps += [s for s in self._steps_to(state) if changed >> s & 1]
        self.root, self.root_bytes = new_root, self.region.bytes_of(new_root)
        self.restart(threshold)

    def _effect(self, state: int, on_chip: int, moving: int) -> tuple[int, int]:
        """Return the peak of the bytes on chip while some steps move, and the bytes after.

        Forward, step `s` holds ``on_chip + growth[s]`` bytes while it runs, and leaves
        ``on_chip + gain[s]`` less the buffers of which it is the last reader.
        """
        region, private, shared = self.region, self.private_bytes, self.shared_reads
        gain, growth = region.gain, region.growth
        most = 0
        if self.is_backward:
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

    def _affected(self, state: int, moving: int) -> tuple[int, int]:
        """Return the steps enabled by a move from a set, including those that now add fewer bytes.

        Among the readers of a buffer these are the ones that may now be the last to free it (or,
        backward, that no longer bring it back). Forward, a buffer with many readers left is
        skipped: fewer steps run at once, with no effect on the result.

        Returns
        -------
        (int, int)
            The steps that may now be ready; and these with the readers.
        """
        enabled = affected = 0
        remaining = moving
        while remaining:
            low = remaining & -remaining
            remaining ^= low
            s = low.bit_length() - 1
            enabled |= self.examine_after[s]
            for _, readers in self.shared_reads[s]:
                left = readers & ~state
                if self.is_backward:
                    if not left:
                        affected |= self._to_examine(readers & ~moving)
                elif (left & ~moving).bit_count() <= _FEW_READERS:
                    affected |= self._to_examine(left & ~moving)
        return enabled, enabled | affected

    def _to_examine(self, mask: int) -> int:
        """Return the steps to examine after a change at the steps of a mask."""
        steps = 0
        for s in bits(mask):
            steps |= self.examine_when_ready[s]
        return steps

    def _find_lazy_steps(self) -> None:
        """Determine the steps that may wait until just before one of their successors.

        Forward, such a step never frees more than it leaves, and needs no more while it runs than
        the first of its successors does after it: moving it to just before that one makes no order
        worse. Backward the same holds for a step that never leaves more than it frees.
        """
        span = self.root ^ self.end
        lazy = self.lazy = mask_of(s for s in bits(span) if self._is_lazy(s, span))
        steps = range(len(self.region.steps))
        pulled = self.pulled = [0] * len(steps)
        pulled_by = [0] * len(steps)
        for s in reversed(steps) if self.is_backward else steps:
            if lazy >> s & 1:
                for successor in bits(self.successors[s]):
                    pulled[successor] |= pulled[s] | 1 << s
        for s in bits(span & ~lazy):
            for p in bits(pulled[s]):
                pulled_by[p] |= 1 << s
        self.examine_when_ready = [pulled_by[s] if lazy >> s & 1 else 1 << s for s in steps]
        for s in bits(span):
            self.examine_after[s] = self._to_examine(self.successors[s] & span)

    def _is_lazy(self, s: int, span: int) -> bool:
        """Return whether a step may wait until just before one of its successors within a span."""
        gain, growth, private = self.region.gain, self.region.growth, self.private_bytes
        successors = list(bits(self.successors[s] & span))
        if not successors:
            return False
        if self.is_backward:
            needed = min(growth[p] - gain[p] + private[p] for p in successors)
            return gain[s] <= private[s] and growth[s] <= needed
        least_gain = gain[s] - private[s] - sum(size for size, _ in self.shared_reads[s])
        return least_gain >= 0 and growth[s] <= least_gain + min(growth[p] for p in successors)

    def _steps_to(self, state: int) -> list[int]:
        """Return the steps from the root to a set, in the direction of the search."""
        trails: list[tuple[int, ...]] = []
        while state in self.parent:
            state, trail = self.parent[state]
            trails.append(trail)
        steps: list[int] = []
        for trail in reversed(trails):
            for moving in trail:
                together = list(bits(moving))
                steps += reversed(together) if self.is_backward else together
        return steps
