"""Does a packing of a given height exist? A complete depth-first search over skylines answers.

This is the decision problem of dynamic storage allocation: buffers ("pieces") with lifetimes are to
get offsets below a height such that no two that are live together overlap. Drawn with time to the
right and addresses upwards, the placed pieces form a skyline: the filled height, or floor, of each
section of time (`sections.Sections`). A *valley* is a run of sections of equal floor between higher
neighbours, its walls. `restarted_search.RestartedSearch` calls `SkylineSearch.dive` again and again
with another order of the pieces.

Why the search is complete: if no piece of a packing can sink, the space directly above the floor of
a valley is, in each of its sections, either a piece that lies inside the valley or waste. The
search therefore branches on the pieces that can lie on the floor in one section, and on waste;
pieces that are placed never move again. The section with the fewest options comes first.

Pruning:

* Slack of a section t: ``slack[t] = height - floor[t] - (sum of its unplaced sizes)``, the waste
  that is still allowed there. The branch fails if it becomes negative.
* A section without options is raised to the lowest height at which one of its pieces can lie.
* If no unplaced piece connects two neighbouring sections, both sides are searched independently:
  if one fails, the other is not tried again.
* Failures increase the weight of their section, and ``options / weight`` chooses the next section
  (dom/wdeg; Boussemart et al., "Boosting systematic search by weighting constraints", ECAI 2004).
* Failed states are stored across dives as the set of unplaced pieces and the slack of each section.
  A state with the same unplaced pieces and no more slack in any section fails as well.

Alignments and fixed offsets only restrict the offsets at which a piece can lie. Sets of pieces are
bit masks of integers, piece i at bit i.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import le
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections
from perfmodel.schedule.allocate.skyline_state import (
    Agenda,
    BranchingDecision,
    BranchingFrame,
    FloorChange,
    pieces_of,
)

#: Outcomes of a dive: a packing, a proof that there is none, or stopped at a limit.
PACKED: Final = "packed"
EXHAUSTED: Final = "exhausted"
CUT: Final = "cut"

#: Height above any other: a piece that can no longer be placed, or the outer wall of a valley.
_UNREACHABLE: Final = 1 << 80
#: Maximum number of options of a section that are checked against the depth of the valley.
_MAX_CHECKED_OPTIONS: Final = 3
#: Maximum number of stored failed states, in total and with the same unplaced pieces.
_MAX_STATES, _MAX_STATES_PER_MASK = 60_000, 12


class SkylineSearch:
    """Depth-first search for a packing of one height; what failed is remembered across dives.

    Parameters
    ----------
    packing
        Pieces over sections.
    height
        Maximum height.
    max_ends
        Maximum end of each piece, if lower than the height.

    Attributes
    ----------
    weights : list of float
        Weight of each section, at least 1.
    offsets : list of int
        Offset of each piece, after a successful dive.
    nodes : int
        Placements and decisions of the last dive.
    """

    def __init__(
        self, packing: Sections, height: int, max_ends: Sequence[int] | None = None
    ) -> None:
        self.packing, self.height = packing, height
        self.weights = [1.0] * len(packing.sections)
        self.offsets = [-1] * len(packing.pieces)
        self.nodes = 0
        self._size = [piece.size for piece in packing.pieces]
        self._align = [piece.alignment for piece in packing.pieces]
        self._max_ends = [height] * len(packing.pieces) if max_ends is None else list(max_ends)
        limited = [end < height for end in self._max_ends]
        self._fixed = [i for i, p in enumerate(packing.pieces) if p.offset is not None]
        # Without alignments and fixed offsets the inner loop needs no checks of positions.
        self._is_unconstrained = not self._fixed and max(self._align) == 1 and not any(limited)
        # Pieces that can become unplaceable although no section overflows.
        self._constrained = [
            i for i, p in enumerate(packing.pieces) if limited[i] or p.offset is not None
        ]
        self._failed: dict[int, list[tuple[int, ...]]] = {}
        self._states = 0
        self._fixed_overlaps = self._fixed_pieces_overlapping()
        self._next_alike, self._later_alike = self._interchangeable()
        self._start()

    def _fixed_pieces_overlapping(self) -> list[list[int]]:
        """Return the pieces of fixed offset that overlap each piece in time, by offset."""
        first, last = self.packing.first, self.packing.last
        by_offset = sorted(self._fixed, key=lambda f: self.packing.pieces[f].offset or 0)
        return [
            [f for f in by_offset if f != i and first[f] <= last[i] and first[i] <= last[f]]
            for i in range(len(self._size))
        ]

    def _interchangeable(self) -> tuple[list[int], int]:
        """Return the next interchangeable piece of each, or -1, and the mask of later ones.

        Only one order of interchangeable pieces is tried (breaking of symmetry). They have the same
        sections, size, alignment and maximum end. The latter differs where sizes were rounded up:
        3 and 4 bytes are both two units of 2 bytes, but only 3 bytes fit from 6 up to 9.
        """
        packing = self.packing
        following, later, known = [-1] * len(packing.pieces), 0, dict[tuple[int, ...], int]()
        for i, piece in enumerate(packing.pieces):
            if piece.offset is not None:
                continue
            span = packing.first[i], packing.last[i]
            key = (*span, piece.size, piece.alignment, self._max_ends[i])
            if key in known:
                following[known[key]] = i
                later |= 1 << i
            known[key] = i
        return following, later

    def _start(self) -> None:
        """Reset the state: every floor is 0, and every piece is unplaced."""
        packing = self.packing
        self._floor = [0] * len(packing.sections)
        self._slack = [self.height - load for load in packing.loads]
        self._unplaced = (1 << len(self._size)) - 1
        self._deferred = self._later_alike
        self._trail: list[FloorChange] = []
        self._frames: list[BranchingFrame] = []

    def dive(self, rank: Sequence[float], limit: int, deadline: Deadline) -> str:
        """Search until packed, exhausted, or stopped at a number of nodes or a deadline.

        Parameters
        ----------
        rank
            Rank of each piece: options of lower rank are tried first.

        Returns
        -------
        str
            ``PACKED``, ``EXHAUSTED`` (no packing of this height exists) or ``CUT``.
        """
        self._start()
        self.nodes = 0
        if min(self._slack) < 0:
            return EXHAUSTED
        agenda = self._split(0, len(self._floor) - 1, -1, None)
        examined = 0
        while agenda is not None:
            examined += 1
            first, last, parent, agenda = agenda
            frame = self._propagate(first, last, rank)
            if isinstance(frame, BranchingFrame):
                frame.parent, frame.agenda = parent, agenda
                self._frames.append(frame)
                back = len(self._frames) - 1
            elif frame:  # only forced moves, which may have disconnected the run
                agenda = self._split(first, last, parent, agenda)
                continue
            else:
                back = parent
            if self.nodes > limit or (not examined & 7 and deadline.passed()):
                return CUT
            if back < 0:
                return EXHAUSTED
            back = self._backtrack(back)
            if back < 0:
                return EXHAUSTED
            agenda = self._take_next_option(back)
        return PACKED

    def _split(self, first: int, last: int, parent: int, agenda: Agenda | None) -> Agenda | None:
        """Return the agenda with a run of sections, split where no unplaced piece connects them."""
        unplaced, cross = self._unplaced, self.packing.cross
        start = first
        for t in range(first, last + 1):
            if t == last or not unplaced & cross[t]:
                if t > start or unplaced & self.packing.cover[t]:
                    agenda = (start, t, parent, agenda)
                start = t + 1
        return agenda

    def _is_disconnected(self, low: int, high: int) -> bool:
        """Return whether no unplaced piece connects all sections from low to high."""
        unplaced = self._unplaced
        if low == high:
            return not unplaced & self.packing.cover[low]
        return any(not unplaced & mask for mask in self.packing.cross[low:high])

    def _place(self, piece: int, floor: int) -> bool:
        """Place a piece on the floor; return whether that disconnects its sections."""
        low, high = self.packing.first[piece], self.packing.last[piece] + 1
        self.offsets[piece] = floor
        self._trail.append((low, high, floor, 0))
        self._floor[low:high] = [floor + self._size[piece]] * (high - low)
        self._unplaced ^= 1 << piece
        following = self._next_alike[piece]
        if following >= 0:
            self._deferred ^= 1 << following
        return self._is_disconnected(low, high - 1)

    def _raise(self, low: int, high: int, floor: int, level: int) -> int:
        """Leave sections of equal floor empty up to a level; return one that overflows, or -1."""
        waste = level - floor
        slack = self._slack
        for t in range(low, high):
            if slack[t] < waste:
                return t
        self._trail.append((low, high, floor, waste))
        self._floor[low:high] = [level] * (high - low)
        for t in range(low, high):
            slack[t] -= waste
        return -1

    def _lowest_offset(self, piece: int) -> int:
        """Return the lowest offset that a piece can still have."""
        packing = self.packing
        at = max(self._floor[packing.first[piece] : packing.last[piece] + 1])
        if self._is_unconstrained:
            return at
        fixed = packing.pieces[piece].offset
        if fixed is not None:
            fits = at <= fixed and fixed + self._size[piece] <= self._max_ends[piece]
            return fixed if fits else _UNREACHABLE
        step, size = self._align[piece], self._size[piece]
        at = -(-at // step) * step
        for f in self._fixed_overlaps[piece]:  # ascending in offset
            low = packing.pieces[f].offset or 0
            if self._unplaced >> f & 1 and at + size > low and at < low + self._size[f]:
                at = -(-(low + self._size[f]) // step) * step
        return at if at + size <= self._max_ends[piece] else _UNREACHABLE

    def _lowest_crossing(self, pieces: int, low: int, high: int, first: int, last: int) -> int:
        """Return the lowest height at which some pieces can cross a wall of their valley.

        The level rises and spreads until it covers the span of a piece.
        """
        floors, begins, ends = self._floor, self.packing.begins, self.packing.ends
        while not pieces & begins[low] & ends[high]:
            left = floors[low - 1] if low > first else _UNREACHABLE
            right = floors[high + 1] if high < last else _UNREACHABLE
            level = left if left < right else right
            while low > first and floors[low - 1] <= level:
                low -= 1
            while high < last and floors[high + 1] <= level:
                high += 1
        return max(floors[low : high + 1])

    def _least_offset_of(self, pieces: int, enough: int) -> int:
        """Return the lowest offset of any piece of a mask; one up to `enough` ends the search."""
        level = _UNREACHABLE
        for piece in pieces_of(pieces):
            level = min(level, self._lowest_offset(piece))
            if level <= enough:
                break
        return level

    def _placeable_at(self, pieces: int, floor: int) -> int:
        """Return the mask of the pieces that can lie exactly on a floor."""
        return sum(1 << piece for piece in pieces_of(pieces) if self._lowest_offset(piece) == floor)

    def _propagate(self, first: int, last: int, rank: Sequence[float]) -> BranchingFrame | bool:
        """Make all forced moves in a run of sections, then choose the section to branch on.

        Returns
        -------
        BranchingFrame or bool
            A frame if there is something to decide; True if a forced move disconnected the run or
            completed it; False if the run failed.
        """
        floors = self._floor
        best = BranchingDecision(float(_UNREACHABLE), -1, -1, 0, 0, _UNREACHABLE)
        if self._constrained and (section := self._section_without_offset(first, last)) >= 0:
            return self._fail(section)
        left, i = _UNREACHABLE, first
        while i <= last:
            floor, j = floors[i], i
            while j < last and floors[j + 1] == floor:
                j += 1
            right = floors[j + 1] if j < last else _UNREACHABLE
            if not left > floor < right:
                left, i = floor, j + 1
                continue
            better = self._examine_valley(i, j, first, last, left if left < right else right, best)
            if better is False:
                return False
            if better is not True:
                if better.score >= 0:
                    best = better
                    left, i = floor, j + 1
                    continue
                self.nodes += 1
                if self._place(better.placeable.bit_length() - 1, floor):
                    return True
            # The valley has changed, and may have merged with the run to its left; results for
            # sections further to the left remain valid.
            if self._constrained and (section := self._section_without_offset(first, last)) >= 0:
                return self._fail(section)
            if i > first:
                i -= 1
                floor = floors[i]
                while i > first and floors[i - 1] == floor:
                    i -= 1
            left = floors[i - 1] if i > first else _UNREACHABLE
        self.nodes += 1
        return self._branch(first, last, best, rank)

    def _examine_valley(
        self, i: int, j: int, first: int, last: int, wall: int, best: BranchingDecision
    ) -> BranchingDecision | bool:
        """Return the better of the best decision so far and those in the valley from i to j.

        A negative score means that a piece is forced. True if a floor of the valley was raised
        instead; False if the run from `first` to `last` failed.
        """
        packing, slack, weights, size = self.packing, self._slack, self.weights, self._size
        cover, floor = packing.cover, self._floor[i]
        inside = self._unplaced & packing.begins[i] & packing.ends[j]
        if not inside:
            failed = self._raise(i, j + 1, floor, wall)
            return True if failed < 0 else self._fail(failed)
        placeable = inside & ~self._deferred
        if not self._is_unconstrained:
            placeable = self._placeable_at(placeable, floor)
        least, section, fewest = best.score, -1, 0
        for t in range(i, j + 1):
            options = placeable & cover[t]
            count = options.bit_count()
            if not count:
                remaining = self._unplaced & cover[t]
                if self._is_unconstrained:
                    level = self._lowest_crossing(remaining, i, j, first, last)
                else:
                    level = self._least_offset_of(remaining, floor + 1)
                if level == _UNREACHABLE or self._raise(t, t + 1, floor, level) >= 0:
                    return self._fail(t)
                return True
            if count <= _MAX_CHECKED_OPTIONS and wall < _UNREACHABLE:
                # The pieces contained in the valley cannot fill it up to its wall.
                need, mask = wall - floor - slack[t], inside & cover[t]
                while mask and need > 0:  # as `pieces_of`, but often stopped early
                    lowest = mask & -mask
                    mask ^= lowest
                    need -= size[lowest.bit_length() - 1]
                if need > 0:
                    return self._fail(t)
            if slack[t]:
                count += 1
            score = count / weights[t] if count > 1 else -1.0
            if score < least:
                least, section, fewest = score, t, options
                if count == 1:
                    break
        return (
            best if section < 0 else BranchingDecision(least, section, floor, fewest, inside, wall)
        )

    def _section_without_offset(self, first: int, last: int) -> int:
        """Return the first section of a piece that can no longer be placed, or -1."""
        begins = self.packing.first
        for i in self._constrained:
            if (
                self._unplaced >> i & 1
                and first <= begins[i] <= last
                and self._lowest_offset(i) == _UNREACHABLE
            ):
                return begins[i]
        return -1

    def _fail(self, section: int) -> bool:
        """Increase the weight of the section that caused a failure; return False."""
        self.weights[section] += 1.0
        return False

    def _branch(
        self, first: int, last: int, decision: BranchingDecision, rank: Sequence[float]
    ) -> BranchingFrame | bool:
        """Return the frame of a decision; False if a stored failure covers the present state."""
        _, section, floor, placeable, _, _ = decision
        key = self._unplaced & self.packing.begins[first] & self.packing.ends[last]
        slacks = tuple(self._slack[first : last + 1])
        for failed in self._failed.get(key, ()):
            if all(map(le, slacks, failed)):
                return False
        options = sorted(pieces_of(placeable), key=rank.__getitem__)
        if self._slack[section]:
            level = self._next_level(decision)
            if level - floor <= self._slack[section]:
                options.append(~level)
        changes = len(self._trail)
        unplaced, deferred = self._unplaced, self._deferred
        return BranchingFrame(
            first, last, section, floor, options, changes, unplaced, deferred, key, slacks
        )

    def _next_level(self, decision: BranchingDecision) -> int:
        """Return the lowest height above the floor at which a piece of a section may lie.

        A piece that could lie on the floor then rests on another piece of the valley outside this
        section, or on one that enters over a wall.
        """
        _, section, floor, placeable, contained, wall = decision
        cover = self.packing.cover[section]
        sizes = [self._size[piece] for piece in pieces_of(contained & ~cover)]
        level = min(wall, floor + min(sizes, default=wall))
        if not self._is_unconstrained:
            others = self._unplaced & cover & ~placeable & ~self._deferred
            level = min(level, self._least_offset_of(others, floor + 1))
        return level

    def _backtrack(self, back: int) -> int:
        """Undo up to the latest frame, among `back` and its parents, that has an option left."""
        frames, floors, slack = self._frames, self._floor, self._slack
        while back >= 0:
            frame = frames[back]
            del frames[back + 1 :]
            while len(self._trail) > frame.changes:
                low, high, floor, waste = self._trail.pop()
                floors[low:high] = [floor] * (high - low)
                if waste:
                    for t in range(low, high):
                        slack[t] += waste
            self._unplaced, self._deferred = frame.unplaced, frame.deferred
            if frame.next < len(frame.options):
                return back
            if self._states < _MAX_STATES:
                alike = self._failed.setdefault(frame.key, [])
                if len(alike) < _MAX_STATES_PER_MASK:
                    alike.append(frame.slacks)
                    self._states += 1
            back = frame.parent
        return back

    def _take_next_option(self, back: int) -> Agenda | None:
        """Take the next option of a frame; return the runs that are then to be searched."""
        frame = self._frames[back]
        option = frame.options[frame.next]
        frame.next += 1
        if option < 0:
            self._raise(frame.section, frame.section + 1, frame.floor, ~option)
        elif self._place(option, frame.floor):
            return self._split(frame.first, frame.last, back, frame.agenda)
        return (frame.first, frame.last, back, frame.agenda)
