"""Buffers that share no moment with others: fit them into a height, or find the least."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.first_fit import portfolio
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.schedule.allocate.restarts import Restarts
from perfmodel.schedule.allocate.result import Proof
from perfmodel.schedule.allocate.sections import PackingBuffer, Sections
from perfmodel.schedule.allocate.valleys import CUT, EXHAUSTED, PACKED
from perfmodel.schedule.allocate.windows import failing_window

SEARCHED: Final = "valley search"
#: Nodes a buffer for a height in the first round, and in the last where there is no limit.
_TRY, _NODES = 8.0, 2_000.0
#: Nodes a buffer until windows are looked at, and in all windows together; then four times that.
_SOON: Final = 150.0
#: Distance of heights, as a share, at which the first round ends.
_FINE: Final = 0.01


class PackingSubproblem:
    """Buffers to pack, with the best packing so far.

    Parameters
    ----------
    buffers
        Of more than 0 bytes each.
    unit
        That all offsets are multiples of: what is searched are multiples of it, sizes rounded up.

    Attributes
    ----------
    offsets : tuple of int
        In bytes, of the lowest packing so far; empty before the first.
    height : float
        Bytes that it takes; infinity before the first.
    bound : int
        Bytes; no packing is lower.
    """

    def __init__(self, buffers: Sequence[Lifetime], unit: int, seed: int) -> None:
        self.buffers, self._unit, self._seed = tuple(buffers), unit, seed
        self._packing = Sections.of([self._piece(b) for b in buffers])
        self.offsets: tuple[int, ...] = ()
        self.height = math.inf
        self.method = ""
        self.nodes = self.dives = 0
        self._fullest = self._load()
        self._excluded: Proof | None = None
        self._tried = -1
        self.bound = max(proof.bound_bytes for proof in self.proofs())
        steps = [b.alignment for b in buffers if b.alignment > 1]
        places = [b.offset for b in buffers if b.offset is not None]
        # Heights of packings in which nothing can sink are multiples of it.
        self._step = math.gcd(*(b.size_bytes for b in buffers), *places, *steps)

    def _piece(self, b: Lifetime) -> PackingBuffer:
        offset = None if b.offset is None else b.offset // self._unit
        return PackingBuffer(
            b.lower, b.upper, -(-b.size_bytes // self._unit), b.alignment // self._unit, offset
        )

    def proofs(self) -> Iterator[Proof]:
        """Yield each lower bound of the height, with what proves it."""
        for b in self.buffers:
            if b.offset is not None:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset + b.size_bytes)
        yield self._fullest
        if self._excluded is not None:
            yield self._excluded

    def _load(self) -> Proof:
        """Return the bound of the section that is fullest, rounding aside."""
        packing, unit, bound, at = self._packing, self._unit, -1, 0
        for t in sorted(range(len(packing.loads)), key=lambda t: (-packing.loads[t], t)):
            load = packing.loads[t] * unit
            if load <= bound:
                break
            # Whichever is the highest need not be rounded up.
            over = max(-self.buffers[i].size_bytes % unit for i in packing.sections[t].pieces)
            if load - over > bound:
                bound, at = load - over, t
        section = packing.sections[at]
        ids = tuple(self.buffers[i].id for i in section.pieces)
        return Proof("load", section.lower, section.upper, ids, bound)

    def fit(self, height: int, deadline: Deadline, node_limit: float) -> None:
        """Look for a packing of a height, by first fit and then by search."""
        self._first_fit(height, deadline)
        if height >= self.bound and self.height > height:
            self._try(height, deadline, node_limit)
            self._tried = height

    def lower(self, deadline: Deadline, node_limit: float, *, above: int = 0) -> None:
        """Lower the best packing towards the bound while time is left: rounds of bisection.

        Parameters
        ----------
        above
            Heights below are of no use.
        """
        self._first_fit(max(self.bound, above), deadline)
        end = self.nodes + node_limit
        tries, fine = _TRY * len(self.buffers), _FINE
        while max(self.bound, above) < self.height:
            # In each round every try is longer and the heights lie closer; most heights that can
            # be reached are reached in the first.
            low = max(self.bound, above)
            height = low if low > self._tried else self._between(low)
            while low < self.height:
                limit = min(tries, end - self.nodes)
                if deadline.passed() or limit <= 0:
                    return
                self._try(height, deadline, limit)
                low = max(self.bound, low if self.height <= height else height + self._step)
                if self.height - low < fine * self.height and low > max(self.bound, above):
                    break
                height = self._between(low)
            endless = math.isinf(deadline.left()) and math.isinf(node_limit)
            if endless and tries > _NODES * len(self.buffers):
                return
            tries, fine, self._tried = 4.0 * tries, fine / 2.0, -1

    def _between(self, low: int) -> int:
        """Return a height halfway between one and the best, the lower one where they are near."""
        return low + int(self.height - low) // (2 * self._step) * self._step

    def _first_fit(self, height: int, deadline: Deadline) -> None:
        if not self.offsets:
            goal = max(height, self.bound) // self._unit
            hints = [b.hint for b in self.buffers]
            found = portfolio(self._packing, goal, hints, self._seed, deadline)
            self._keep(found.offsets, found.method)

    def _keep(self, offsets: Iterable[int], method: str) -> None:
        placed = tuple(at * self._unit for at in offsets)
        height = max(at + b.size_bytes for at, b in zip(placed, self.buffers, strict=True))
        if height < self.height:
            self.offsets, self.height, self.method = placed, height, method

    def _try(self, height: int, deadline: Deadline, node_limit: float) -> None:
        units, over = divmod(height, self._unit)
        lids: list[int] | None = None
        if over:
            # In the last unit, which is cut short, only what is as short may end.
            ends = [(b.size_bytes - 1) % self._unit + 1 for b in self.buffers]
            lids = [units + 1 if end <= over else units for end in ends]
            units += 1
        found = Restarts(self._packing, units, self._seed, lids)
        soon, effort, spent = _SOON * len(self.buffers), 1.0, 0
        alive: Sequence[int] = range(len(self.buffers))
        begin, end = min(b.lower for b in self.buffers), max(b.upper for b in self.buffers)
        status = found.run(deadline, min(node_limit, soon))
        while status == CUT and found.nodes + spent < node_limit and not deadline.passed():
            # Not found soon: a part of the time may tell that there is none.
            limit = min(soon, node_limit - found.nodes - spent)
            window = failing_window(
                self._packing, units, self._seed, deadline, limit, lids, effort=effort
            )
            spent += window.nodes
            self.nodes += window.nodes
            self.dives += window.dives
            if window.pieces:
                status, alive, begin, end = EXHAUSTED, window.pieces, window.lower, window.upper
            elif found.nodes + spent < node_limit:
                soon, effort = 4.0 * soon, 4.0 * effort
                status = found.run(deadline, min(node_limit - spent, soon))
        self.nodes += found.nodes
        self.dives += found.dives
        if status == PACKED:
            self._keep(found.offsets, SEARCHED)
        elif status == EXHAUSTED and height >= self.bound:
            # Up to the next height that a packing can have.
            bound = height + self._step - height % self._step
            ids = tuple(self.buffers[i].id for i in alive)
            self._excluded = Proof("search", begin, end, ids, bound)
            self.bound = max(self.bound, bound)
