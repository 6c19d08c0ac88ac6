"""Packing of one group of buffers that overlaps no other group in time.

`allocate` asks for a packing no higher than the capacity (`fit`), or as low as possible
(`improve`). First fit comes first, then `RestartedSearch` decides whether there is a packing of a
given height; the least height lies between a lower bound and the best packing, and is approached by
bisection. Lower bounds: the largest load of any section, ``max_t sum of sizes live at t``; the end
of a buffer with a fixed offset; and each height that a search has excluded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.allocation import Proof
from perfmodel.schedule.allocate.first_fit import best_first_fit
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.schedule.allocate.restarted_search import RestartedSearch
from perfmodel.schedule.allocate.sections import PackingBuffer, Sections
from perfmodel.schedule.allocate.skyline_search import CUT, EXHAUSTED, PACKED
from perfmodel.schedule.allocate.window_proofs import UnpackableWindow, find_unpackable_window

#: Name of the exact search in results.
SEARCHED: Final = "valley search"
#: Search nodes per buffer and height in the first round, and in the last one without a limit.
_FIRST_ROUND_NODES, _LAST_ROUND_NODES = 8.0, 2_000.0
#: Search nodes per buffer before the search turns to windows, and the limit for all windows
#: together; both quadruple after each failed pass.
_NODES_BEFORE_WINDOWS: Final = 150.0
#: Gap between the best height and the lowest open one, relative to the former, at which the first
#: round ends.
_FIRST_ROUND_GAP: Final = 0.01


class PackingSubproblem:
    """Buffers to pack, with the lowest known packing and its lower bound.

    Parameters
    ----------
    buffers
        Buffers of more than 0 bytes each.
    unit
        Common divisor of all offsets: the search uses multiples of it, with sizes rounded up.
    seed
        Seed of the noise in the order of the search; the same seed reproduces the packing.

    Attributes
    ----------
    offsets : tuple of int
        Offsets in bytes in the lowest known packing; empty before the first.
    height : float
        Height of that packing in bytes; infinity before the first.
    method : str
        Name of the method that found that packing; empty before the first.
    bound : int
        Lower bound on the height in bytes.
    nodes, dives : int
        Total effort of all searches so far.
    """

    def __init__(self, buffers: Sequence[Lifetime], unit: int, seed: int) -> None:
        self.buffers, self._unit, self._seed = tuple(buffers), unit, seed
        self._packing = Sections.of([self._piece(b) for b in buffers])
        self.offsets: tuple[int, ...] = ()
        self.height = math.inf
        self.method = ""
        self.nodes = self.dives = 0
        self._load_proof = self._load_bound()
        self._search_proof: Proof | None = None
        self._searched_height = -1
        self.bound = max(proof.bound_bytes for proof in self.proofs())
        steps = [b.alignment for b in buffers if b.alignment > 1]
        places = [b.offset for b in buffers if b.offset is not None]
        # The height of a packing in which no buffer can sink is a multiple of this step.
        self._step = math.gcd(*(b.size_bytes for b in buffers), *places, *steps)

    def _piece(self, b: Lifetime) -> PackingBuffer:
        """Return a buffer in units, with its size rounded up."""
        offset = None if b.offset is None else b.offset // self._unit
        return PackingBuffer(
            b.lower, b.upper, -(-b.size_bytes // self._unit), b.alignment // self._unit, offset
        )

    def proofs(self) -> Iterator[Proof]:
        """Yield each lower bound on the height, with its proof."""
        for b in self.buffers:
            if b.offset is not None:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset + b.size_bytes)
        yield self._load_proof
        if self._search_proof is not None:
            yield self._search_proof

    def _load_bound(self) -> Proof:
        """Return the bound of the section of largest load, corrected for rounding."""
        packing, unit, bound, at = self._packing, self._unit, -1, 0
        for t in sorted(range(len(packing.loads)), key=lambda t: (-packing.loads[t], t)):
            load = packing.loads[t] * unit
            if load <= bound:
                break
            # The topmost buffer of the section need not be rounded up; it is not known which one it
            # is, so subtract the largest rounding.
            rounding = max(-self.buffers[i].size_bytes % unit for i in packing.sections[t].pieces)
            if load - rounding > bound:
                bound, at = load - rounding, t
        section = packing.sections[at]
        ids = tuple(self.buffers[i].id for i in section.pieces)
        return Proof("load", section.lower, section.upper, ids, bound)

    def fit(self, height: int, deadline: Deadline, node_limit: float) -> None:
        """Search for a packing no higher than `height`: first fit, then exact search."""
        self._first_fit(height, deadline)
        if height >= self.bound and self.height > height:
            self._search_height(height, deadline, node_limit)
            self._searched_height = height

    def improve(self, deadline: Deadline, node_limit: float, *, above: int = 0) -> None:
        """Lower the best packing towards the bound by rounds of bisection until the deadline.

        Parameters
        ----------
        above
            Height below which improvements are irrelevant.
        """
        self._first_fit(max(self.bound, above), deadline)
        end = self.nodes + node_limit
        round_limit, gap = _FIRST_ROUND_NODES * len(self.buffers), _FIRST_ROUND_GAP
        while max(self.bound, above) < self.height:
            # Each round searches longer and at heights closer together; most of the heights that
            # have a packing are found in the first.
            low = max(self.bound, above)
            height = low if low > self._searched_height else self._between(low)
            while low < self.height:
                limit = min(round_limit, end - self.nodes)
                if deadline.passed() or limit <= 0:
                    return
                self._search_height(height, deadline, limit)
                low = max(self.bound, low if self.height <= height else height + self._step)
                if self.height - low < gap * self.height and low > max(self.bound, above):
                    break
                height = self._between(low)
            unlimited = math.isinf(deadline.left()) and math.isinf(node_limit)
            if unlimited and round_limit > _LAST_ROUND_NODES * len(self.buffers):
                return
            round_limit, gap, self._searched_height = 4.0 * round_limit, gap / 2.0, -1

    def _between(self, low: int) -> int:
        """Return the midpoint of a height and the best one, in whole steps, rounded down."""
        return low + int(self.height - low) // (2 * self._step) * self._step

    def _first_fit(self, height: int, deadline: Deadline) -> None:
        """Pack by first fit, unless there is a packing already."""
        if not self.offsets:
            goal = max(height, self.bound) // self._unit
            hints = [b.hint for b in self.buffers]
            packing = best_first_fit(self._packing, goal, hints, self._seed, deadline)
            self._keep_if_lower(packing.offsets, packing.method)

    def _keep_if_lower(self, offsets: Iterable[int], method: str) -> None:
        """Store a packing in units if it is lower than the best one."""
        placed = tuple(at * self._unit for at in offsets)
        height = max(at + b.size_bytes for at, b in zip(placed, self.buffers, strict=True))
        if height < self.height:
            self.offsets, self.height, self.method = placed, height, method

    def _search_height(self, height: int, deadline: Deadline, node_limit: float) -> None:
        """Search exactly for a packing of a height; keep it, or the proof that there is none."""
        units, max_ends = self._in_units(height)
        search = RestartedSearch(self._packing, units, self._seed, max_ends)
        status, window = self._search_in_rounds(search, units, max_ends, deadline, node_limit)
        self.nodes += search.nodes
        self.dives += search.dives
        if status == PACKED:
            self._keep_if_lower(search.offsets, SEARCHED)
        elif status == EXHAUSTED and height >= self.bound:
            self._exclude(height, window)

    def _in_units(self, height: int) -> tuple[int, list[int] | None]:
        """Return a height in units, rounded up, and the maximum end of each buffer if rounded."""
        units, remainder = divmod(height, self._unit)
        if not remainder:
            return units, None
        # The height ends inside its last unit: only buffers whose own last unit is at most that
        # full may end there.
        last_units = [(b.size_bytes - 1) % self._unit + 1 for b in self.buffers]
        return units + 1, [units + 1 if last <= remainder else units for last in last_units]

    def _search_in_rounds(
        self,
        search: RestartedSearch,
        units: int,
        max_ends: Sequence[int] | None,
        deadline: Deadline,
        node_limit: float,
    ) -> tuple[str, UnpackableWindow]:
        """Alternate the search of all buffers with searches of windows, with growing limits.

        If no packing is found soon, a window may prove that there is none.

        Returns
        -------
        str
            ``PACKED``, ``EXHAUSTED`` or ``CUT``.
        UnpackableWindow
            Window without a packing; without buffers if none was found.
        """
        round_limit, window_effort = _NODES_BEFORE_WINDOWS * len(self.buffers), 1.0
        window, window_nodes = UnpackableWindow(), 0
        status = search.run(deadline, min(node_limit, round_limit))
        while status == CUT and search.nodes + window_nodes < node_limit and not deadline.passed():
            limit = min(round_limit, node_limit - search.nodes - window_nodes)
            window = find_unpackable_window(
                self._packing, units, self._seed, deadline, limit, max_ends, effort=window_effort
            )
            window_nodes += window.nodes
            self.nodes += window.nodes
            self.dives += window.dives
            if window.pieces:
                status = EXHAUSTED
            elif search.nodes + window_nodes < node_limit:
                round_limit, window_effort = 4.0 * round_limit, 4.0 * window_effort
                status = search.run(deadline, min(node_limit - window_nodes, round_limit))
        return status, window

    def _exclude(self, height: int, window: UnpackableWindow) -> None:
        """Raise the bound above a height that the buffers of a window, or all of them, exceed."""
        live, begin, end = window.pieces, window.lower, window.upper
        if not live:
            live = tuple(range(len(self.buffers)))
            begin, end = min(b.lower for b in self.buffers), max(b.upper for b in self.buffers)
        # The bound rises to the next multiple of `_step`: no packing has a height in between.
        bound = height + self._step - height % self._step
        ids = tuple(self.buffers[i].id for i in live)
        self._search_proof = Proof("search", begin, end, ids, bound)
        self.bound = max(self.bound, bound)
