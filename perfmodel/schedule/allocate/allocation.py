"""Answer of `allocate`: offsets of buffers, or a proof that none fit and the missing bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from perfmodel.errors import InfeasibleError
from perfmodel.optimise.certified import Certified
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.table import Result, Table
from perfmodel.units import show

Status = Literal["packed", "infeasible", "not found"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that no packing fits.

    Attributes
    ----------
    kind : str
        ``load``: the total size of the buffers live at one time exceeds the capacity.
        ``offset``: a buffer with a fixed offset extends beyond the capacity.
        ``search``: the load fits at each time, but an exhaustive search over the buffers live in
        this window (truncated at both ends) found no packing.
    lower, upper : int
        Times (half-open) at which the proof holds.
    buffers : tuple of str
        Buffers involved.
    bound_bytes : int
        Lower bound on their height in bytes: the load, the end of the buffer with a fixed offset,
        or the least height that the search has not excluded.
    """

    kind: Literal["load", "offset", "search"]
    lower: int
    upper: int
    buffers: tuple[str, ...]
    bound_bytes: int

    def __str__(self) -> str:
        when = f"from {self.lower} until {self.upper}"
        if self.kind == "load":
            return (
                f"{when} {len(self.buffers)} buffers alive together need {_bytes(self.bound_bytes)}"
            )
        if self.kind == "offset":
            return f"buffer '{self.buffers[0]}' lies where it ends at {_bytes(self.bound_bytes)}"
        return (
            f"every packing of the {len(self.buffers)} buffers alive {when} was tried, and takes "
            f"{_bytes(self.bound_bytes)} or more"
        )


@dataclass(frozen=True, repr=False)
class Allocation(Result):
    """Offsets of buffers in one memory, as a certified packing.

    Attributes
    ----------
    packing
        Offset in bytes of each buffer in the lowest known packing, whether it fits or not. The
        value is the height of the packing in bytes; the bound is the largest load, or the height
        excluded by search; the work has the ``nodes`` and ``dives`` of the exact search.
    capacity_bytes
        Capacity of the memory in bytes; None if the lowest packing is sought.
    proof
        Proof of infeasibility; None if not proved.

    Its plot: ``memory_map()``.
    """

    noun = "allocation"
    attributes = (
        "status",
        "proved",
        "height_bytes",
        "capacity_bytes",
        "gap_bytes",
        "lower_bound_bytes",
        "proof",
        "method",
        "counts",
        "offsets",
    )

    buffers: tuple[Lifetime, ...]
    packing: Certified[Mapping[str, int]]
    capacity_bytes: int | None
    proof: Proof | None

    @property
    def offsets(self) -> Mapping[str, int]:
        """Offset of each buffer in bytes, in the lowest known packing."""
        return self.packing.solution or {}

    @property
    def height_bytes(self) -> int:
        """Height of this packing in bytes."""
        return int(self.packing.value)

    @property
    def lower_bound_bytes(self) -> int:
        """Lower bound on the height of any packing."""
        return int(self.packing.bound)

    @property
    def method(self) -> str:
        """Method that found the offsets."""
        return self.packing.method

    @property
    def counts(self) -> Mapping[str, int]:
        """Nodes and dives of the exact search."""
        return self.packing.work

    @property
    def status(self) -> Status:
        """State of the allocation.

        ``packed``; ``infeasible``: it is proved that no packing fits; ``not found``: the search
        stopped without a decision.
        """
        if self.proof is not None:
            return "infeasible"
        return "not found" if self.gap_bytes else "packed"

    @property
    def packed(self) -> bool:
        """Whether the offsets fit the capacity."""
        return self.status == "packed"

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a packing fits, or it is proved that none fits."""
        return self.status != "not found"

    @property
    def proved(self) -> bool:
        """Whether infeasibility or the least height is proved.

        A packing that fits the capacity need not be the lowest.
        """
        return self.status == "infeasible" or self.packing.proved

    @property
    def gap_bytes(self) -> int:
        """Excess of the lowest known packing over the capacity in bytes; 0 if it fits."""
        if self.capacity_bytes is None:
            return 0
        return max(0, self.height_bytes - self.capacity_bytes)

    def check(self) -> None:
        """Verify every pair of buffers, and the constraints of every buffer.

        Raises
        ------
        AssertionError
            Names the first pair that overlaps, or the first buffer that violates a constraint.
        """
        for fault in overlaps(self.buffers, self.offsets):
            raise AssertionError(fault)
        top = max((self.offsets[b.id] + b.size_bytes for b in self.buffers), default=0)
        if top != self.height_bytes:
            raise AssertionError(f"the highest buffer ends at {top}, not at {self.height_bytes}")

    @property
    def feasible(self) -> bool:
        """Whether the offsets fit the capacity, as `packed`."""
        return self.packed

    @cached_property
    def table(self) -> Table:
        """One row per buffer, with its offset.

        Raises
        ------
        InfeasibleError
            The packing does not fit, or none is known.
        """
        if not self.packed:
            raise InfeasibleError(self.status)
        names = ("id", "lower", "upper", "size", "offset")
        rows = [(b.id, b.lower, b.upper, b.size_bytes, self.offsets[b.id]) for b in self.buffers]
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return Table(dict(zip(names, map(list, columns), strict=True)))

    @cached_property
    def rectangles(self) -> list[tuple[str, int, int, int, int]]:
        """Return (name, lower, upper, offset, size) of each buffer."""
        return [(b.id, b.lower, b.upper, self.offsets[b.id], b.size_bytes) for b in self.buffers]

    @property
    def headline(self) -> str:
        """Number of buffers, capacity, and status."""
        into = "" if self.capacity_bytes is None else f" in {_bytes(self.capacity_bytes)}"
        unknown = "" if self.decided else " within the limits, nor proved not to be there"
        return f"{len(self.buffers)} buffers{into}: {self.status}{unknown}"

    def glance(self) -> list[tuple[str, str]]:
        """Return the height with its proof, and the method that found it."""
        height, out = _bytes(self.height_bytes), list[tuple[str, str]]()
        if self.packed:
            bound = f"at least {_bytes(self.lower_bound_bytes)} are needed"
            out.append(("height", f"{height}, {'the least there is' if self.proved else bound}"))
        else:
            if self.proof is not None:
                out.append(("because", str(self.proof)))
            known = "the least there is" if self.packing.proved else "the lowest found"
            gap = f"{_bytes(self.gap_bytes)} more than there are"
            out.append(("height", f"{height}, {known}: {gap}"))
        nodes = self.counts.get("nodes", 0)
        work = f", {nodes} nodes in {self.counts.get('dives', 0)} dives" if nodes else ""
        return [*out, ("by", f"{self.method}{work}")]


def _bytes(value: int) -> str:
    """Return a number of bytes exactly, followed by a rounded form if that differs."""
    if value < 1024:
        return f"{value} B"
    return f"{value} B ({show(float(value), 'bytes')})"


def overlaps(buffers: Sequence[Lifetime], offsets: Mapping[str, int]) -> Iterator[str]:
    """Yield a text for every overlap, comparing every pair of buffers."""
    for i, a in enumerate(buffers):
        at = offsets[a.id]
        if at < 0 or at % a.alignment or (a.offset is not None and at != a.offset):
            yield f"buffer '{a.id}' lies at {at}"
        for b in buffers[:i]:
            if a.lower < b.upper and b.lower < a.upper:
                other = offsets[b.id]
                if at < other + b.size_bytes and other < at + a.size_bytes:
                    yield f"buffers '{b.id}' and '{a.id}' overlap"
