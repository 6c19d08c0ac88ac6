"""Exact search for a packing of a given height, by branching on the floors of valleys.

The state is a skyline: the filled height of each section. A *valley* is a run of sections of equal
height between higher neighbours. In each section of a valley, the space directly above its floor
is either a piece that is contained in the valley, or waste. Every packing in which no piece can
sink has that form, so that branching on the options at the floor of any one section, e.g. the one
with the fewest options, is complete, and placed pieces are never moved.

* The slack of a section is the height minus the floor minus the size still to be placed in it: the
  waste that is still allowed. If it is negative, the branch fails.
* A section without options is raised to the lowest height at which one of its pieces can be placed.
* If no unplaced piece crosses a boundary, the two sides are searched one after the other, and if
  one fails, the other is not tried again.
* Failures increase the weights of sections, and those of high weight are decided first (dom/wdeg;
  Boussemart et al., "Boosting systematic search by weighting constraints", ECAI 2004).
* Failed states are stored across dives: the unplaced pieces and the slack of each section. A state
  of the same pieces with no more slack in any section fails as well.

Alignments and fixed offsets only change the positions at which a piece can be placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import le
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.sections import Sections

PACKED: Final = "packed"
EXHAUSTED: Final = "exhausted"
CUT: Final = "cut"

_FAR: Final = 1 << 80
#: Maximum number of options of a section that are checked against the depth of the valley.
_FEW: Final = 3
#: Maximum number of stored failed states, in total and for the same pieces.
_STATES, _ALIKE = 60_000, 12

#: Components still to be searched: first and last section, parent frame, remaining agenda.
_Agenda = tuple[int, int, int, "_Agenda | None"]
#: Modified floors: first section, one past the last, previous floor, waste.
_Change = tuple[int, int, int, int]
#: A section to decide: its score (the least is decided first), the section, the floor of its
#: valley, the pieces placeable there, those contained in the valley, and the height of its wall.
_Choice = tuple[float, int, int, int, int, int]


@dataclass(slots=True, eq=False)
class _Frame:
    """A decided section, with the state to restore before its next option."""

    first: int
    last: int
    section: int
    floor: int
    #: Pieces to place at the floor, best first; finally a floor to raise to, as its complement.
    options: list[int]
    changes: int
    unplaced: int
    deferred: int
    key: int
    slacks: tuple[int, ...]
    next: int = 0
    parent: int = -1
    agenda: _Agenda | None = None


class Valleys:
    """Dives for a packing of one height; weights and failed states persist across dives.

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
        self._free = not self._fixed and max(self._align) == 1 and not any(limited)
        # Pieces that can become unplaceable although no section overflows.
        self._narrow = [
            i for i, p in enumerate(packing.pieces) if limited[i] or p.offset is not None
        ]
        self._failed: dict[int, list[tuple[int, ...]]] = {}
        self._states = 0
        self._near_fixed = self._fixed_near()
        self._twin, self._later_twins = self._twins()
        self._start()

    def _fixed_near(self) -> list[list[int]]:
        first, last = self.packing.first, self.packing.last
        by_offset = sorted(self._fixed, key=lambda f: self.packing.pieces[f].offset or 0)
        return [
            [f for f in by_offset if f != i and first[f] <= last[i] and first[i] <= last[f]]
            for i in range(len(self._size))
        ]

    def _twins(self) -> tuple[list[int], int]:
        """Return the next interchangeable piece of each, or -1, and the mask of later ones.

        Only one order of such pieces is tried. They have the same sections, size, alignment and
        lid: sizes of 3 and 4 bytes are both two units of 2, but only the first ends at 9 bytes.
        """
        packing = self.packing
        twin, later, known = [-1] * len(packing.pieces), 0, dict[tuple[int, ...], int]()
        for i, piece in enumerate(packing.pieces):
            if piece.offset is not None:
                continue
            span = packing.first[i], packing.last[i]
            key = (*span, piece.size, piece.alignment, self._max_ends[i])
            if key in known:
                twin[known[key]] = i
                later |= 1 << i
            known[key] = i
        return twin, later

    def _start(self) -> None:
        packing = self.packing
        self._floor = [0] * len(packing.sections)
        self._slack = [self.height - load for load in packing.loads]
        self._unplaced = (1 << len(self._size)) - 1
        self._deferred = self._later_twins
        self._trail: list[_Change] = []
        self._frames: list[_Frame] = []

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
        looked = 0
        while agenda is not None:
            looked += 1
            first, last, parent, agenda = agenda
            frame = self._open(first, last, rank)
            if isinstance(frame, _Frame):
                frame.parent, frame.agenda = parent, agenda
                self._frames.append(frame)
                back = len(self._frames) - 1
            elif frame:  # only forced moves: now split, or done
                agenda = self._split(first, last, parent, agenda)
                continue
            else:
                back = parent
            if self.nodes > limit or (not looked & 7 and deadline.passed()):
                return CUT
            if back < 0:
                return EXHAUSTED
            back = self._retreat(back)
            if back < 0:
                return EXHAUSTED
            agenda = self._advance(back)
        return PACKED

    def _split(self, first: int, last: int, parent: int, agenda: _Agenda | None) -> _Agenda | None:
        """Add the parts of a run of sections that no unplaced piece connects to the agenda."""
        unplaced, cross = self._unplaced, self.packing.cross
        at = first
        for t in range(first, last + 1):
            if t == last or not unplaced & cross[t]:
                if t > at or unplaced & self.packing.cover[t]:
                    agenda = (at, t, parent, agenda)
                at = t + 1
        return agenda

    def _parted(self, low: int, high: int) -> bool:
        """Return whether a placed piece was the last to connect the sections of its span."""
        unplaced = self._unplaced
        if low == high:
            return not unplaced & self.packing.cover[low]
        return any(not unplaced & mask for mask in self.packing.cross[low:high])

    def _place(self, piece: int, floor: int) -> bool:
        """Place a piece at the floor; return whether that disconnects its sections."""
        low, high = self.packing.first[piece], self.packing.last[piece] + 1
        self.offsets[piece] = floor
        self._trail.append((low, high, floor, 0))
        self._floor[low:high] = [floor + self._size[piece]] * (high - low)
        self._unplaced ^= 1 << piece
        twin = self._twin[piece]
        if twin >= 0:
            self._deferred ^= 1 << twin
        return self._parted(low, high - 1)

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

    def _reach(self, piece: int) -> int:
        """Return the lowest offset that a piece can still have."""
        packing = self.packing
        at = max(self._floor[packing.first[piece] : packing.last[piece] + 1])
        if self._free:
            return at
        fixed = packing.pieces[piece].offset
        if fixed is not None:
            fits = at <= fixed and fixed + self._size[piece] <= self._max_ends[piece]
            return fixed if fits else _FAR
        step, size = self._align[piece], self._size[piece]
        at = -(-at // step) * step
        for f in self._near_fixed[piece]:  # ascending in offset
            low = packing.pieces[f].offset or 0
            if self._unplaced >> f & 1 and at + size > low and at < low + self._size[f]:
                at = -(-(low + self._size[f]) // step) * step
        return at if at + size <= self._max_ends[piece] else _FAR

    def _over(self, pieces: int, low: int, high: int, first: int, last: int) -> int:
        """Return the lowest height at which some pieces can cross a wall of their valley.

        The level rises and spreads until it covers the span of a piece.
        """
        floors, begins, ends = self._floor, self.packing.begins, self.packing.ends
        while not pieces & begins[low] & ends[high]:
            left = floors[low - 1] if low > first else _FAR
            right = floors[high + 1] if high < last else _FAR
            level = left if left < right else right
            while low > first and floors[low - 1] <= level:
                low -= 1
            while high < last and floors[high + 1] <= level:
                high += 1
        return max(floors[low : high + 1])

    def _lowest(self, pieces: int, enough: int) -> int:
        """Return the lowest offset of any of some pieces, with early exit at `enough`."""
        level = _FAR
        while pieces:
            bit = pieces & -pieces
            pieces ^= bit
            level = min(level, self._reach(bit.bit_length() - 1))
            if level <= enough:
                break
        return level

    def _seated(self, pieces: int, floor: int) -> int:
        """Return the pieces of a valley that can be placed exactly at its floor."""
        out = 0
        while pieces:
            bit = pieces & -pieces
            pieces ^= bit
            if self._reach(bit.bit_length() - 1) == floor:
                out |= bit
        return out

    def _open(self, first: int, last: int, rank: Sequence[float]) -> _Frame | bool:
        """Perform the forced moves in a run of sections.

        Return a frame if a decision remains, True if the run was split, and False if it failed.
        """
        floors = self._floor
        choice: _Choice = (float(_FAR), -1, -1, 0, 0, _FAR)
        if self._narrow and (stuck := self._stuck(first, last)) >= 0:
            return self._fail(stuck)
        left, i = _FAR, first
        while i <= last:
            floor, j = floors[i], i
            while j < last and floors[j + 1] == floor:
                j += 1
            right = floors[j + 1] if j < last else _FAR
            if not left > floor < right:
                left, i = floor, j + 1
                continue
            better = self._look(i, j, first, last, left if left < right else right, choice)
            if better is False:
                return False
            if better is not True:
                score, _, _, seats, _, _ = better
                if score >= 0:
                    choice = better
                    left, i = floor, j + 1
                    continue
                self.nodes += 1
                if self._place(seats.bit_length() - 1, floor):
                    return True
            # The valley has changed, and may have merged with the run to its left; results for
            # sections further to the left remain valid.
            if self._narrow and (stuck := self._stuck(first, last)) >= 0:
                return self._fail(stuck)
            if i > first:
                i -= 1
                floor = floors[i]
                while i > first and floors[i - 1] == floor:
                    i -= 1
            left = floors[i - 1] if i > first else _FAR
        self.nodes += 1
        return self._decided(first, last, *choice[1:], rank)

    def _look(
        self, i: int, j: int, first: int, last: int, wall: int, choice: _Choice
    ) -> _Choice | bool:
        """Return the best decision so far, including the sections of the valley from i to j.

        Its score is negative if a piece is forced. True if the floor of the valley was raised
        instead; False if the run failed.
        """
        packing, slack, weights, size = self.packing, self._slack, self.weights, self._size
        cover, floor = packing.cover, self._floor[i]
        inside = self._unplaced & packing.begins[i] & packing.ends[j]
        if not inside:
            failed = self._raise(i, j + 1, floor, wall)
            return True if failed < 0 else self._fail(failed)
        seated = inside & ~self._deferred
        if not self._free:
            seated = self._seated(seated, floor)
        for t in range(i, j + 1):
            options = seated & cover[t]
            count = options.bit_count()
            if not count:
                remaining = self._unplaced & cover[t]
                if self._free:
                    level = self._over(remaining, i, j, first, last)
                else:
                    level = self._lowest(remaining, floor + 1)
                if level == _FAR or self._raise(t, t + 1, floor, level) >= 0:
                    return self._fail(t)
                return True
            if count <= _FEW and wall < _FAR:
                # The pieces contained in the valley cannot fill it up to its wall.
                need, remaining = wall - floor - slack[t], inside & cover[t]
                while remaining and need > 0:
                    bit = remaining & -remaining
                    remaining ^= bit
                    need -= size[bit.bit_length() - 1]
                if need > 0:
                    return self._fail(t)
            if slack[t]:
                count += 1
            score = count / weights[t] if count > 1 else -1.0
            if score < choice[0]:
                choice = score, t, floor, options, inside, wall
                if count == 1:
                    break
        return choice

    def _stuck(self, first: int, last: int) -> int:
        """Return the first section of a piece that can no longer be placed, or -1."""
        begins = self.packing.first
        for i in self._narrow:
            if self._unplaced >> i & 1 and first <= begins[i] <= last and self._reach(i) == _FAR:
                return begins[i]
        return -1

    def _fail(self, section: int) -> bool:
        self.weights[section] += 1.0
        return False

    def _decided(
        self,
        first: int,
        last: int,
        section: int,
        floor: int,
        seats: int,
        around: int,
        wall: int,
        rank: Sequence[float],
    ) -> _Frame | bool:
        key = self._unplaced & self.packing.begins[first] & self.packing.ends[last]
        slacks = tuple(self._slack[first : last + 1])
        for failed in self._failed.get(key, ()):
            if all(map(le, slacks, failed)):
                return False
        options: list[int] = []
        remaining = seats
        while remaining:
            bit = remaining & -remaining
            remaining ^= bit
            options.append(bit.bit_length() - 1)
        options.sort(key=rank.__getitem__)
        if self._slack[section]:
            level = self._above(section, floor, seats, around, wall)
            if level - floor <= self._slack[section]:
                options.append(~level)
        changes = len(self._trail)
        unplaced, deferred = self._unplaced, self._deferred
        return _Frame(
            first, last, section, floor, options, changes, unplaced, deferred, key, slacks
        )

    def _above(self, section: int, floor: int, seats: int, around: int, wall: int) -> int:
        """Return the lowest height above the floor at which a piece of a section may be placed.

        Pieces that could be placed at the floor then rest on a piece of the valley outside this
        section, or on one that enters over a wall.
        """
        cover = self.packing.cover[section]
        level, remaining = wall, around & ~cover
        while remaining:
            bit = remaining & -remaining
            remaining ^= bit
            level = min(level, floor + self._size[bit.bit_length() - 1])
        if not self._free:
            others = self._unplaced & cover & ~seats & ~self._deferred
            level = min(level, self._lowest(others, floor + 1))
        return level

    def _retreat(self, back: int) -> int:
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
            if self._states < _STATES:
                alike = self._failed.setdefault(frame.key, [])
                if len(alike) < _ALIKE:
                    alike.append(frame.slacks)
                    self._states += 1
            back = frame.parent
        return back

    def _advance(self, back: int) -> _Agenda | None:
        """Take the next option of a frame."""
        frame = self._frames[back]
        option = frame.options[frame.next]
        frame.next += 1
        if option < 0:
            self._raise(frame.section, frame.section + 1, frame.floor, ~option)
        elif self._place(option, frame.floor):
            return self._split(frame.first, frame.last, back, frame.agenda)
        return (frame.first, frame.last, back, frame.agenda)
