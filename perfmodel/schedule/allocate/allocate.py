"""Entry point of ``allocate``: offsets for buffers with lifetimes, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault
from perfmodel.former import former_parameters
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.lifetime import Lifetime, lifetime_faults
from perfmodel.schedule.allocate.read import read_lifetimes
from perfmodel.schedule.allocate.result import Allocation, Proof, overlaps
from perfmodel.schedule.allocate.sections import parts
from perfmodel.schedule.allocate.subproblem import SEARCHED, PackingSubproblem
from perfmodel.settings import FaultList, gathered
from perfmodel.units import UnitError, whole_bytes

#: Share of the limits for fitting; the remainder is for the gap of what does not fit.
_FITTING: Final = 0.75
#: Share of the remaining time for the gap of an instance that is proved not to fit.
_APPROACH: Final = 0.5


@former_parameters(capacity_bytes="capacity")
def allocate(
    buffers: Iterable[Lifetime] | str | Path,
    capacity: str | float | None = None,
    *,
    alignment: str | int = 1,
    node_limit: int | None = None,
    time_limit_s: float | None = 20.0,
    seed: int = 0,
) -> Allocation:
    """Give buffers offsets in one memory such that those alive together do not overlap.

    First fit in several orders, then an exact search (`perfmodel.schedule.allocate.valleys`), for
    each stretch of time by itself that no buffer crosses. Where the search ends without a packing,
    there is none.

    Parameters
    ----------
    buffers
        A CSV file with the columns id, lower, upper (the first time after its life) and size in
        bytes; where wanted also alignment, offset (it lies there and stays) and hint (it lay there
        before). Or a `Lifetime` of each buffer.
    capacity
        Of the memory: bytes, or a size with its unit ("256 KiB"). Without it the lowest packing is
        looked for.
    alignment
        Every offset is a multiple of it, and of the buffer's own: bytes, or a size with its unit.
    node_limit
        Steps of the search after which it stops, on any machine at the same place.
    time_limit_s
        Seconds after which the best so far is returned, with a bound. In Python None is no limit.
    seed
        Seed of the search. The same seed, with no limit reached, gives the same offsets.

    Returns
    -------
    Allocation
        Packed; infeasible, with the proof; or not found, with the height that was reached. Where
        nothing fits, half of the time that is left goes into lowering the height, so that
        ``gap_bytes`` tells what is needed.

    Raises
    ------
    InputError
        Every fault of the options, and of the buffers or the file.

    Examples
    --------
    >>> from perfmodel.schedule.allocate import Lifetime, allocate
    >>> packing = allocate([Lifetime("a", 0, 2, 64), Lifetime("b", 1, 3, 32)], "96 B")
    >>> packing.status
    'packed'
    """
    faults = gathered()
    size = None if capacity is None else _bytes(capacity, "capacity", faults)
    step = _bytes(alignment, "alignment", faults)
    faults += _option_faults(time_limit_s, node_limit, step, seed)
    deadline = Deadline(None if faults else time_limit_s)
    if isinstance(buffers, str | Path):
        lives = faults.trying(read_lifetimes, buffers)
    else:
        lives = list(buffers)
        faults[:0] = lifetime_faults(lives)
    if lives is not None and step:
        faults += _offset_faults(lives, step)
    faults.settle()
    assert lives is not None
    assert step is not None
    aligned = [replace(b, alignment=math.lcm(b.alignment, step)) for b in lives]
    nodes = math.inf if node_limit is None else float(node_limit)
    return _PartwiseAllocator(aligned, size, seed, deadline, nodes).run()


def _bytes(value: str | float, name: str, faults: FaultList) -> int | None:
    """Return whole bytes from a number or a text with a unit; None if invalid."""
    try:
        return whole_bytes(value)
    except UnitError as error:
        faults.append(
            Fault(error.message, name, expected=error.expected, suggestion=error.suggestion)
        )
        return None


def _option_faults(
    seconds: float | None, nodes: int | None, alignment: int | None, seed: int
) -> list[Fault]:
    faults: list[Fault] = []
    if seconds is not None and not seconds >= 0:
        faults.append(
            Fault(f"{seconds} is no time limit", path="time_limit_s", expected="seconds from 0")
        )
    if nodes is not None and nodes < 0:
        faults.append(Fault(f"{nodes} is no limit", path="node_limit", expected="a count from 0"))
    if alignment is not None and alignment < 1:
        faults.append(
            Fault(f"{alignment} is no alignment", path="alignment", expected="whole bytes from 1")
        )
    if seed < 0:
        faults.append(Fault(f"{seed} is no seed", path="seed", expected="a whole number from 0"))
    return faults


def _offset_faults(buffers: Sequence[Lifetime], alignment: int) -> list[Fault]:
    """Return faults of fixed offsets that overlap or violate the alignment."""
    fixed = [b for b in buffers if b.offset is not None]
    at = {b.id: b.offset or 0 for b in fixed}
    out = [
        Fault(
            f"{text}, at the offsets that are given", path="offset", expected="offsets that agree"
        )
        for text in overlaps(fixed, at)
    ]
    out += [
        Fault(
            f"buffer '{b.id}' lies at {b.offset}",
            path="offset",
            expected=f"a multiple of the alignment {alignment}",
        )
        for b in fixed
        if (b.offset or 0) % alignment
    ]
    return out


class _PartwiseAllocator:
    """Allocator that treats parts separately: stretches of time that no buffer crosses."""

    def __init__(
        self,
        buffers: Sequence[Lifetime],
        capacity: int | None,
        seed: int,
        deadline: Deadline,
        nodes: float,
    ) -> None:
        self.buffers, self.capacity, self.deadline, self.nodes = buffers, capacity, deadline, nodes
        unit = math.gcd(*(b.alignment for b in buffers)) if buffers else 1
        solid = [b for b in buffers if b.size_bytes]
        self.parts = [
            PackingSubproblem([solid[i] for i in part], unit, seed) for part in parts(solid)
        ]

    def run(self) -> Allocation:
        """Return the allocation: a fit into the capacity, or the lowest packing without one."""
        if self.capacity is None:
            return self._lowest()
        proof = self._proof(self.capacity)
        if proof is None:
            proof = self._fit(self.capacity)
        if proof is None and self._height() <= self.capacity:
            return self._result()
        share = 1.0 if proof is None else _APPROACH
        self._approach(self.capacity, self.deadline.within(share * self.deadline.left()))
        return self._result(self._proof(self.capacity))

    def _fit(self, capacity: int) -> Proof | None:
        """Fit part by part, up to the first that is proved not to fit."""
        within = self.deadline.within(_FITTING * self.deadline.left())
        for part in self.parts:
            part.fit(capacity, within, _FITTING * self.nodes - self._nodes())
            if proof := self._proof(capacity):
                return proof
        return None

    def _approach(self, capacity: int, within: Deadline) -> None:
        """Lower the packings of parts that do not fit, so that the gap is meaningful."""
        for part in self.parts:
            if part.height > capacity:
                part.improve(within, self.nodes - self._nodes(), above=capacity)

    def _lowest(self) -> Allocation:
        for k, part in enumerate(self.parts):
            share = 1 / (len(self.parts) - k)
            within = self.deadline.within(share * self.deadline.left())
            goal = max(p.bound for p in self.parts)
            part.improve(within, share * (self.nodes - self._nodes()), above=goal)
        return self._result()

    def _nodes(self) -> int:
        return sum(part.nodes for part in self.parts)

    def _proofs(self) -> Iterator[Proof]:
        """Yield each lower bound on the height, with its proof."""
        for b in self.buffers:
            if b.offset is not None and not b.size_bytes:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset)
        for part in self.parts:
            yield from part.proofs()

    def _proof(self, capacity: int) -> Proof | None:
        """Return a proof that the capacity is too small, preferably one without search."""
        proofs = [proof for proof in self._proofs() if proof.bound_bytes > capacity]
        plain = [proof for proof in proofs if proof.kind != "search"]
        return max(plain or proofs, key=lambda proof: proof.bound_bytes, default=None)

    def _height(self) -> float:
        """Return the height of the packing in bytes; infinity if some part has no packing."""
        flat = (b.offset or 0 for b in self.buffers if not b.size_bytes)
        return max([*(part.height for part in self.parts), *flat], default=0)

    def _result(self, proof: Proof | None = None) -> Allocation:
        offsets = {b.id: b.offset or 0 for b in self.buffers}
        for part in self.parts:
            offsets |= {b.id: at for b, at in zip(part.buffers, part.offsets, strict=True)}
        counts = {"nodes": self._nodes(), "dives": sum(part.dives for part in self.parts)}
        bound = max((each.bound_bytes for each in self._proofs()), default=0)
        methods = [part.method for part in sorted(self.parts, key=lambda part: -part.height)]
        method = SEARCHED if SEARCHED in methods else (methods or ["nothing to do"])[0]
        packing = Certified(offsets, self._height(), bound, method, counts, 0.0)
        return Allocation(tuple(self.buffers), packing, self.capacity, proof)
