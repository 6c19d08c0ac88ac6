"""``allocate``: buffers with lifetimes to offsets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.schedule.allocate.lifetime import Lifetime, lifetime_faults
from perfmodel.schedule.allocate.part import SEARCHED, Part
from perfmodel.schedule.allocate.read import read_lifetimes
from perfmodel.schedule.allocate.result import Allocation, Proof, Status, overlaps
from perfmodel.schedule.allocate.sections import Piece, Sections, parts
from perfmodel.schedule.deadline import Deadline

__all__ = ["allocate"]

#: Share of the limits that goes into fitting; what is left tells how far off it is.
_FITTING: Final = 0.75


def allocate(
    buffers: Iterable[Lifetime] | str | Path,
    capacity_bytes: int | None = None,
    *,
    time_limit_s: float | None = 20.0,
    node_limit: int | None = None,
    seed: int = 0,
    alignment: int = 1,
) -> Allocation:
    """Give buffers offsets in one memory such that those alive together do not overlap.

    First fit in several orders, then an exact search (`perfmodel.schedule.allocate.valleys`), for
    each stretch of time by itself that no buffer crosses. Where the search ends without a packing,
    there is none.

    Parameters
    ----------
    buffers
        `Lifetime` of each, or a CSV file with ``id,lower,upper,size`` and, where wanted,
        ``alignment``, ``offset`` and ``hint`` (`read_lifetimes`).
    capacity_bytes
        What the packing has to fit; without it the lowest packing is looked for.
    time_limit_s
        Seconds of the wall clock; None for none, and then only `node_limit` stops the search.
    node_limit
        Pieces placed and choices made, in all; a limit that does not depend on the machine.
    seed
        Of the search. The same seed, with no limit reached, gives the same offsets.
    alignment
        Every offset is a multiple of it, and of the buffer's own.

    Returns
    -------
    Allocation
        Packed; infeasible, with the proof; or not found, with the height that was reached. Where
        nothing fits, half of the time that is left goes into lowering the height, so that
        ``gap_bytes`` tells what is needed.

    Raises
    ------
    InputError
        Every fault of the buffers or the file.
    """
    given = read_lifetimes(buffers) if isinstance(buffers, str | Path) else list(buffers)
    faults = lifetime_faults(given) if not isinstance(buffers, str | Path) else []
    faults += _option_faults(capacity_bytes, time_limit_s, node_limit, alignment)
    faults = faults or _hold_faults(given, alignment)
    if faults:
        raise InputError(faults)
    aligned = [replace(b, alignment=math.lcm(b.alignment, alignment)) for b in given]
    deadline = Deadline(time_limit_s)
    nodes = math.inf if node_limit is None else float(node_limit)
    return _Job(aligned, capacity_bytes, seed, deadline, nodes).run()


def _option_faults(
    capacity: int | None, seconds: float | None, nodes: int | None, alignment: int
) -> list[Fault]:
    out: list[Fault] = []
    if capacity is not None and (type(capacity) is not int or capacity < 0):
        out.append(Fault(f"{capacity!r} is no capacity", path="capacity_bytes",
                         expected="whole bytes from 0"))  # fmt: skip
    if seconds is not None and not seconds >= 0:
        out.append(Fault(f"{seconds} is no time limit", path="time_limit_s",
                         expected="seconds from 0"))  # fmt: skip
    if nodes is not None and nodes < 0:
        out.append(Fault(f"{nodes} is no limit", path="node_limit", expected="a count from 0"))
    if type(alignment) is not int or alignment < 1:
        out.append(Fault(f"{alignment!r} is no alignment", path="alignment",
                         expected="whole bytes from 1"))  # fmt: skip
    return out


def _hold_faults(buffers: Sequence[Lifetime], alignment: int) -> list[Fault]:
    """Offsets that are given have to agree with each other and with the alignment."""
    held = [b for b in buffers if b.offset is not None]
    at = {b.id: b.offset or 0 for b in held}
    out = [Fault(f"{text}, at the offsets that are given", path="offset",
                 expected="offsets that agree")
           for text in overlaps(held, at)]  # fmt: skip
    out += [
        Fault(f"buffer '{b.id}' lies at {b.offset}", path="offset",
              expected=f"a multiple of the alignment {alignment}")
        for b in held if (b.offset or 0) % alignment
    ]  # fmt: skip
    return out


class _Job:
    """Buffers in units of their common alignment, part by part."""

    def __init__(
        self, buffers: Sequence[Lifetime], capacity: int | None, seed: int, deadline: Deadline,
        nodes: float,
    ) -> None:  # fmt: skip
        self.buffers, self.capacity, self.deadline, self.nodes = buffers, capacity, deadline, nodes
        # All offsets are multiples of the unit, so sizes may be rounded up to it.
        self.unit = math.gcd(*(b.alignment for b in buffers)) if buffers else 1
        self.solid = [i for i, b in enumerate(buffers) if b.size_bytes]
        pieces = [self._piece(buffers[i]) for i in self.solid]
        self.groups = parts(pieces)
        self.parts = [
            Part(Sections.of([pieces[k] for k in group]), seed,
                 [buffers[self.solid[k]].hint for k in group])
            for group in self.groups
        ]  # fmt: skip

    def _piece(self, b: Lifetime) -> Piece:
        offset = None if b.offset is None else b.offset // self.unit
        return Piece(b.lower, b.upper, -(-b.size_bytes // self.unit), b.alignment // self.unit,
                     offset)  # fmt: skip

    def run(self) -> Allocation:
        if self.capacity is None:
            return self._lowest()
        proof = self._proof()
        if proof is None:
            proof = self._fit(self.capacity)
        if proof is None and self._height() <= self.capacity:
            return self._result("packed", None)
        self._approach(self.capacity, self.deadline.within(0.5 * self.deadline.left()))
        return self._result("not found" if proof is None else "infeasible", proof)

    def _fit(self, capacity: int) -> Proof | None:
        """Fit part by part, up to the first that is proved not to fit."""
        height, over = divmod(capacity, self.unit)
        within = self.deadline.within(_FITTING * self.deadline.left())
        for part in range(len(self.parts)):
            for more in range(2 if over else 1):
                # Where sizes are rounded up, one unit more may fit all the same.
                if self._part_height(part) > capacity:
                    nodes = _FITTING * self.nodes - self._nodes()
                    self.parts[part].fit(height + more, within, nodes)
            if proof := self._proof():
                return proof
        return None

    def _approach(self, capacity: int, within: Deadline) -> None:
        """Lower what does not fit, for a gap that can be trusted."""
        for part in range(len(self.parts)):
            if self._part_height(part) > capacity:
                self.parts[part].lower(within, self.nodes - self._nodes(),
                                       above=capacity // self.unit)  # fmt: skip

    def _lowest(self) -> Allocation:
        for k, part in enumerate(self.parts):
            share = 1 / (len(self.parts) - k)
            within = self.deadline.within(share * self.deadline.left())
            goal = max(p.bound for p in self.parts)
            part.lower(within, share * (self.nodes - self._nodes()), above=goal)
        return self._result("packed", None)

    def _nodes(self) -> int:
        return sum(part.nodes for part in self.parts)

    def _members(self, part: int) -> list[Lifetime]:
        return [self.buffers[self.solid[k]] for k in self.groups[part]]

    def _part_height(self, part: int) -> float:
        """Bytes that a part takes; infinitely many before it was packed in any way."""
        offsets = self.parts[part].offsets
        if not offsets:
            return math.inf
        pairs = zip(offsets, self._members(part), strict=True)
        return max(at * self.unit + b.size_bytes for at, b in pairs)

    def _padding(self, members: Iterable[Lifetime]) -> int:
        """Bytes that rounding up may have added at the very top."""
        return max(-b.size_bytes % self.unit for b in members)

    def _proofs(self) -> Iterator[Proof]:
        """Yield each lower bound of the height, with what proves it."""
        for b in self.buffers:
            if b.offset is not None:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset + b.size_bytes)
        for k, part in enumerate(self.parts):
            members = self._members(k)
            for section, load in zip(part.packing.sections, part.packing.loads, strict=True):
                alive = [members[i] for i in section.pieces]
                bound = load * self.unit - self._padding(alive)
                yield Proof("load", section.lower, section.upper, tuple(b.id for b in alive), bound)
            if part.searched:
                bound = part.bound * self.unit - self._padding(members)
                begin, end = min(b.lower for b in members), max(b.upper for b in members)
                yield Proof("search", begin, end, tuple(b.id for b in members), bound)

    def _proof(self) -> Proof | None:
        """Return what proves that the capacity is too small, the plainest first."""
        found = [p for p in self._proofs() if p.bound_bytes > (self.capacity or 0)]
        plain = [p for p in found if p.kind != "search"]
        return max(plain or found, key=lambda p: p.bound_bytes, default=None)

    def _height(self) -> int:
        heights = (self._part_height(part) for part in range(len(self.parts)))
        flat = (b.offset or 0 for b in self.buffers if not b.size_bytes)
        return int(max([*heights, *flat], default=0))

    def _result(self, status: Status, proof: Proof | None) -> Allocation:
        offsets = {b.id: b.offset or 0 for b in self.buffers}
        for part, group in zip(self.parts, self.groups, strict=True):
            for k, at in zip(group, part.offsets, strict=True):
                offsets[self.buffers[self.solid[k]].id] = at * self.unit
        tallest = max(range(len(self.parts)), key=self._part_height, default=-1)
        searched = any(part.method == SEARCHED for part in self.parts)
        counts = {"nodes": self._nodes(), "dives": sum(part.dives for part in self.parts)}
        bound = max((p.bound_bytes for p in self._proofs()), default=0)
        method = "nothing to do" if tallest < 0 else self.parts[tallest].method
        return Allocation(
            status, tuple(self.buffers), offsets, self._height(), self.capacity, bound, proof,
            SEARCHED if searched else method, counts,
        )  # fmt: skip
