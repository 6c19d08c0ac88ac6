"""``allocate``: buffers with lifetimes to offsets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.schedule.allocate.lifetime import Lifetime, lifetime_faults
from perfmodel.schedule.allocate.part import SEARCHED, PackingSubproblem
from perfmodel.schedule.allocate.read import read_lifetimes
from perfmodel.schedule.allocate.result import Allocation, Proof, Status, overlaps
from perfmodel.schedule.allocate.sections import parts
from perfmodel.schedule.deadline import Deadline

#: Share of the limits that goes into fitting; what is left tells how far off it is.
_FITTING: Final = 0.75
#: Share of the time left that goes into the gap of what is proved not to fit.
_APPROACH: Final = 0.5


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
    faults = option_faults(capacity_bytes, time_limit_s, node_limit, alignment)
    deadline = Deadline(None if faults else time_limit_s)
    given = read_lifetimes(buffers) if isinstance(buffers, str | Path) else list(buffers)
    if not isinstance(buffers, str | Path):
        faults = [*lifetime_faults(given), *faults]
    faults = faults or hold_faults(given, alignment)
    if faults:
        raise InputError(faults)
    aligned = [replace(b, alignment=math.lcm(b.alignment, alignment)) for b in given]
    nodes = math.inf if node_limit is None else float(node_limit)
    return _PartwiseAllocator(aligned, capacity_bytes, seed, deadline, nodes).run()


def option_faults(
    capacity: int | None, seconds: float | None, nodes: int | None, alignment: int
) -> list[Fault]:
    """Return what is wrong with the options of `allocate`."""
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


def hold_faults(buffers: Sequence[Lifetime], alignment: int) -> list[Fault]:
    """Return where offsets that are given do not agree with each other or with the alignment."""
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


class _PartwiseAllocator:
    """Buffers part by part: stretches of time that no buffer crosses."""

    def __init__(
        self, buffers: Sequence[Lifetime], capacity: int | None, seed: int, deadline: Deadline,
        nodes: float,
    ) -> None:  # fmt: skip
        self.buffers, self.capacity, self.deadline, self.nodes = buffers, capacity, deadline, nodes
        unit = math.gcd(*(b.alignment for b in buffers)) if buffers else 1
        solid = [b for b in buffers if b.size_bytes]
        self.parts = [
            PackingSubproblem([solid[i] for i in part], unit, seed) for part in parts(solid)
        ]

    def run(self) -> Allocation:
        if self.capacity is None:
            return self._lowest()
        proof = self._proof(self.capacity)
        if proof is None:
            proof = self._fit(self.capacity)
        if proof is None and self._height() <= self.capacity:
            return self._result("packed", None)
        share = 1.0 if proof is None else _APPROACH
        self._approach(self.capacity, self.deadline.within(share * self.deadline.left()))
        if self._height() <= self.capacity:
            return self._result("packed", None)
        proof = self._proof(self.capacity)
        return self._result("not found" if proof is None else "infeasible", proof)

    def _fit(self, capacity: int) -> Proof | None:
        """Fit part by part, up to the first that is proved not to fit."""
        within = self.deadline.within(_FITTING * self.deadline.left())
        for part in self.parts:
            part.fit(capacity, within, _FITTING * self.nodes - self._nodes())
            if proof := self._proof(capacity):
                return proof
        return None

    def _approach(self, capacity: int, within: Deadline) -> None:
        """Lower what does not fit, for a gap that can be trusted."""
        for part in self.parts:
            if part.height > capacity:
                part.lower(within, self.nodes - self._nodes(), above=capacity)

    def _lowest(self) -> Allocation:
        for k, part in enumerate(self.parts):
            share = 1 / (len(self.parts) - k)
            within = self.deadline.within(share * self.deadline.left())
            goal = max(p.bound for p in self.parts)
            part.lower(within, share * (self.nodes - self._nodes()), above=goal)
        return self._result("packed", None)

    def _nodes(self) -> int:
        return sum(part.nodes for part in self.parts)

    def _proofs(self) -> Iterator[Proof]:
        """Yield each lower bound of the height, with what proves it."""
        for b in self.buffers:
            if b.offset is not None and not b.size_bytes:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset)
        for part in self.parts:
            yield from part.proofs()

    def _proof(self, capacity: int) -> Proof | None:
        """Return what proves that the capacity is too small, the plainest first."""
        found = [proof for proof in self._proofs() if proof.bound_bytes > capacity]
        plain = [proof for proof in found if proof.kind != "search"]
        return max(plain or found, key=lambda proof: proof.bound_bytes, default=None)

    def _height(self) -> float:
        """Bytes that the packing takes; infinity where a part was not packed in any way."""
        flat = (b.offset or 0 for b in self.buffers if not b.size_bytes)
        return max([*(part.height for part in self.parts), *flat], default=0)

    def _result(self, status: Status, proof: Proof | None) -> Allocation:
        offsets = {b.id: b.offset or 0 for b in self.buffers}
        for part in self.parts:
            offsets |= {b.id: at for b, at in zip(part.buffers, part.offsets, strict=True)}
        counts = {"nodes": self._nodes(), "dives": sum(part.dives for part in self.parts)}
        bound = max((each.bound_bytes for each in self._proofs()), default=0)
        methods = [part.method for part in sorted(self.parts, key=lambda part: -part.height)]
        method = SEARCHED if SEARCHED in methods else (methods or ["nothing to do"])[0]
        return Allocation(
            status, tuple(self.buffers), offsets, int(self._height()), self.capacity, bound, proof,
            method, counts,
        )  # fmt: skip
