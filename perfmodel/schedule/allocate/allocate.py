"""The question ``allocate``: offsets in one memory for buffers with lifetimes.

Buffers with lifetimes are packed into a capacity, or as low as possible (dynamic storage
allocation, NP-hard; Garey and Johnson, 1979, problem SR2). `allocate` checks its arguments;
`_GroupwiseAllocator` splits the buffers at times that none of them crosses, has each group packed
by a `PackingSubproblem`, and joins their offsets and proofs to an `Allocation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.allocate.allocation import Allocation, Proof, overlaps
from perfmodel.schedule.allocate.lifetime import Lifetime, lifetime_faults
from perfmodel.schedule.allocate.lifetime_csv import read_lifetimes
from perfmodel.schedule.allocate.sections import independent_groups
from perfmodel.schedule.allocate.subproblem import SEARCHED, PackingSubproblem
from perfmodel.settings import FaultList, gathered
from perfmodel.units import UnitError, whole_bytes

#: Share of the limits for fitting; the rest is for reducing the gap if that fails.
_FIT_SHARE: Final = 0.75
#: Share of the remaining time for the gap of an instance that is proved not to fit.
_GAP_SHARE: Final = 0.5


@deprecated_parameters(capacity_bytes="capacity")
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

    Each stretch of time that no buffer crosses is packed independently: first fit in several
    orders, then an exact search (`perfmodel.schedule.allocate.skyline_search`). If that search ends
    without a packing, there is none.

    Parameters
    ----------
    buffers
        A CSV file with the columns id, lower (first time of use), upper (first time after the last
        use) and size in bytes; optionally alignment, offset (a fixed address) and hint (an earlier
        address, which suggests an order of packing). In Python also a `Lifetime` of each buffer.
    capacity
        Capacity of the memory: bytes, or a size with its unit ("256 KiB"). Without it the lowest
        packing is sought.
    alignment
        Every offset is a multiple of this and of the buffer's own alignment: bytes, or a size with
        its unit.
    node_limit
        Number of search nodes after which the search stops. Unlike a time limit it stops at the
        same node on every machine.
    time_limit_s
        Seconds after which the best solution found so far is returned, with a bound. In Python,
        None means no limit.
    seed
        Seed of the search. The same seed gives the same offsets if no limit is reached.

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
    return _GroupwiseAllocator(aligned, size, seed, deadline, nodes).run()


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
            Fault(f"{seconds} is not a time limit", path="time_limit_s", expected="seconds from 0")
        )
    if nodes is not None and nodes < 0:
        faults.append(
            Fault(f"{nodes} is not a limit", path="node_limit", expected="a count from 0")
        )
    if alignment is not None and alignment < 1:
        faults.append(
            Fault(
                f"{alignment} is not an alignment", path="alignment", expected="whole bytes from 1"
            )
        )
    if seed < 0:
        faults.append(Fault(f"{seed} is not a seed", path="seed", expected="a whole number from 0"))
    return faults


def _offset_faults(buffers: Sequence[Lifetime], alignment: int) -> list[Fault]:
    """Return faults of fixed offsets that overlap or violate the alignment."""
    fixed = [b for b in buffers if b.offset is not None]
    at = {b.id: b.offset or 0 for b in fixed}
    out = [
        Fault(f"{text}, at their fixed offsets", path="offset", expected="offsets without overlaps")
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


class _GroupwiseAllocator:
    """Allocator of groups of buffers: no buffer is live together with one of another group."""

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
        nonempty = [b for b in buffers if b.size_bytes]
        self.groups = [
            PackingSubproblem([nonempty[i] for i in group], unit, seed)
            for group in independent_groups(nonempty)
        ]

    def run(self) -> Allocation:
        """Return the allocation: a fit into the capacity, or the lowest packing without one."""
        if self.capacity is None:
            return self._minimise_height()
        proof = self._proof(self.capacity)
        if proof is None:
            proof = self._fit(self.capacity)
        if proof is None and self._height() <= self.capacity:
            return self._result()
        share = 1.0 if proof is None else _GAP_SHARE
        self._reduce_gap(self.capacity, self.deadline.within(share * self.deadline.left()))
        return self._result(self._proof(self.capacity))

    def _fit(self, capacity: int) -> Proof | None:
        """Fit group by group, up to the first that is proved not to fit."""
        within = self.deadline.within(_FIT_SHARE * self.deadline.left())
        for group in self.groups:
            group.fit(capacity, within, _FIT_SHARE * self.nodes - self._searched_nodes())
            if proof := self._proof(capacity):
                return proof
        return None

    def _reduce_gap(self, capacity: int, within: Deadline) -> None:
        """Lower the packings of groups that do not fit: the gap says how much memory is missing."""
        for group in self.groups:
            if group.height > capacity:
                group.improve(within, self.nodes - self._searched_nodes(), above=capacity)

    def _minimise_height(self) -> Allocation:
        """Lower the packing of each group down to the largest lower bound of any of them."""
        for k, group in enumerate(self.groups):
            share = 1 / (len(self.groups) - k)
            within = self.deadline.within(share * self.deadline.left())
            goal = max(p.bound for p in self.groups)
            group.improve(within, share * (self.nodes - self._searched_nodes()), above=goal)
        return self._result()

    def _searched_nodes(self) -> int:
        return sum(group.nodes for group in self.groups)

    def _proofs(self) -> Iterator[Proof]:
        """Yield each lower bound on the height, with its proof."""
        for b in self.buffers:
            if b.offset is not None and not b.size_bytes:
                yield Proof("offset", b.lower, b.upper, (b.id,), b.offset)
        for group in self.groups:
            yield from group.proofs()

    def _proof(self, capacity: int) -> Proof | None:
        """Return a proof that the capacity is too small, preferably one without search."""
        proofs = [proof for proof in self._proofs() if proof.bound_bytes > capacity]
        without_search = [proof for proof in proofs if proof.kind != "search"]
        return max(without_search or proofs, key=lambda proof: proof.bound_bytes, default=None)

    def _height(self) -> float:
        """Return the height of the packing in bytes; infinity if some group has no packing."""
        empty = (b.offset or 0 for b in self.buffers if not b.size_bytes)
        return max([*(group.height for group in self.groups), *empty], default=0)

    def _result(self, proof: Proof | None = None) -> Allocation:
        """Return the packings of all groups together, with the proof that nothing fits, if any."""
        offsets = {b.id: b.offset or 0 for b in self.buffers}
        for group in self.groups:
            offsets |= {b.id: at for b, at in zip(group.buffers, group.offsets, strict=True)}
        counts = {
            "nodes": self._searched_nodes(),
            "dives": sum(group.dives for group in self.groups),
        }
        bound = max((each.bound_bytes for each in self._proofs()), default=0)
        methods = [group.method for group in sorted(self.groups, key=lambda group: -group.height)]
        method = SEARCHED if SEARCHED in methods else (methods or ["nothing to do"])[0]
        packing = Certified(offsets, self._height(), bound, method, counts, 0.0)
        return Allocation(tuple(self.buffers), packing, self.capacity, proof)
