"""An allocation: offsets, or why there are none, and how far the best packing is from fitting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from perfmodel.errors import InfeasibleError
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.table import Result, Table
from perfmodel.units import show

Status = Literal["packed", "infeasible", "not found"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Why no packing fits.

    Attributes
    ----------
    kind : str
        ``load``: the buffers that are alive together are larger than the capacity.
        ``offset``: a buffer whose offset is given reaches beyond it.
        ``search``: each moment fits, but every packing of what is alive in these times was tried
        (cut off at both ends), and none does.
    lower, upper : int
        The times (half-open) at which that is so.
    buffers : tuple of str
        Those that are involved.
    bound_bytes : int
        Bytes that they need at least: the load, the end of the buffer whose offset is given, or
        the least height that the search has not excluded.
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
    """Where buffers lie.

    Attributes
    ----------
    status : str
        ``packed``; ``infeasible``: it is proved that no packing fits; ``not found``: the search
        stopped before it knew.
    offsets : mapping
        Buffer -> offset in bytes, of the lowest packing found, whether it fits or not.
    height_bytes : int
        Bytes that it takes.
    capacity_bytes : int or None
        What was asked for; None asked for the lowest.
    lower_bound_bytes : int
        No packing is lower: the largest load, or what a search has excluded.
    proof : Proof or None
        Why it is infeasible.
    method : str
        What found the offsets.
    counts : mapping
        ``nodes`` and ``dives`` of the exact search.

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

    status: Status
    buffers: tuple[Lifetime, ...]
    offsets: Mapping[str, int]
    height_bytes: int
    capacity_bytes: int | None
    lower_bound_bytes: int
    proof: Proof | None
    method: str
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def packed(self) -> bool:
        """Whether the offsets fit the capacity."""
        return self.status == "packed"

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return self.status != "not found"

    @property
    def proved(self) -> bool:
        """Whether nothing is left open: infeasible for sure, or the height is the least there is.

        A packing that fits the capacity need not be the lowest.
        """
        return self.status == "infeasible" or self.height_bytes == self.lower_bound_bytes

    @property
    def gap_bytes(self) -> int:
        """Bytes that the capacity falls short of the lowest packing found; 0 where it fits."""
        if self.capacity_bytes is None:
            return 0
        return max(0, self.height_bytes - self.capacity_bytes)

    def check(self) -> None:
        """Compare every pair of buffers, and every buffer with what was asked of it.

        Raises
        ------
        AssertionError
            With the first pair that overlaps, or the first buffer that lies wrong.
        """
        for fault in overlaps(self.buffers, self.offsets):
            raise AssertionError(fault)
        top = max((self.offsets[b.id] + b.size_bytes for b in self.buffers), default=0)
        if top != self.height_bytes:
            raise AssertionError(f"the highest buffer ends at {top}, not at {self.height_bytes}")
        if self.packed and self.gap_bytes:
            raise AssertionError(f"{self.height_bytes} B do not fit {self.capacity_bytes} B")

    @property
    def feasible(self) -> bool:
        """Whether the offsets fit the capacity, as `packed`."""
        return self.packed

    @cached_property
    def table(self) -> Table:
        """One row for each buffer, with its offset.

        Raises
        ------
        InfeasibleError
            They do not fit, or no packing is known that does.
        """
        if not self.packed:
            raise InfeasibleError(self.status)
        names = ("id", "lower", "upper", "size", "offset")
        rows = [(b.id, b.lower, b.upper, b.size_bytes, self.offsets[b.id]) for b in self.buffers]
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return Table(dict(zip(names, map(list, columns), strict=True)))

    @cached_property
    def rectangles(self) -> list[tuple[str, int, int, int, int]]:
        """(name, lower, upper, offset, size) of each buffer."""
        return [(b.id, b.lower, b.upper, self.offsets[b.id], b.size_bytes) for b in self.buffers]

    @property
    def headline(self) -> str:
        """How many buffers, in how much, and whether they fit."""
        into = "" if self.capacity_bytes is None else f" in {_bytes(self.capacity_bytes)}"
        unknown = "" if self.decided else " within the limits, nor proved not to be there"
        return f"{len(self.buffers)} buffers{into}: {self.status}{unknown}"

    def glance(self) -> list[tuple[str, str]]:
        """Return the height with its proof, and what found it."""
        height, out = _bytes(self.height_bytes), list[tuple[str, str]]()
        least = self.height_bytes == self.lower_bound_bytes
        if self.packed:
            bound = f"at least {_bytes(self.lower_bound_bytes)} are needed"
            out.append(("height", f"{height}, {'the least there is' if self.proved else bound}"))
        else:
            if self.proof is not None:
                out.append(("because", str(self.proof)))
            known = "the least there is" if least else "the lowest found"
            gap = f"{_bytes(self.gap_bytes)} more than there are"
            out.append(("height", f"{height}, {known}: {gap}"))
        nodes = self.counts.get("nodes", 0)
        work = f", {nodes} nodes in {self.counts.get('dives', 0)} dives" if nodes else ""
        return [*out, ("by", f"{self.method}{work}")]


def _bytes(value: int) -> str:
    """Return bytes exactly, and as people read them where that is another text."""
    if value < 1024:
        return f"{value} B"
    return f"{value} B ({show(float(value), 'bytes')})"


def overlaps(buffers: Sequence[Lifetime], offsets: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with offsets: every pair of buffers is compared."""
    for i, a in enumerate(buffers):
        at = offsets[a.id]
        if at < 0 or at % a.alignment or (a.offset is not None and at != a.offset):
            yield f"buffer '{a.id}' lies at {at}"
        for b in buffers[:i]:
            if a.lower < b.upper and b.lower < a.upper:
                other = offsets[b.id]
                if at < other + b.size_bytes and other < at + a.size_bytes:
                    yield f"buffers '{b.id}' and '{a.id}' overlap"
