"""The scheduling problem: steps that read and write buffers of one on-chip memory.

All methods of the folder work on it: it is the setting of COSMA (arXiv:2311.18246), a red-blue
pebble game with weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from perfmodel.schedule.masks import closures, mask_of


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor as the scheduler sees it: a number of bytes.

    Attributes
    ----------
    stored
        True if a copy off chip exists or will exist in any case (network input or output), so that
        evicting the buffer costs no store.
    """

    name: str
    size_bytes: int
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """An operator, or the load of a network's input (which reads nothing).

    Attributes
    ----------
    reads, writes
        Indices of buffers, without repetition.
    takes_over
        Buffer whose place ``writes[0]`` takes over, or -1. It is read by this step only.
    scratch_bytes
        Bytes needed on chip only while the step runs: workspace, or weights that pass through.
    seconds
        Compute time, for objectives that need it.
    stream_bytes
        Bytes that the step itself fetches from off chip (weights), for objectives that need it.
    load
        True if the step brings a network input on chip and is no operator of the graph.
    """

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    takes_over: int = -1
    scratch_bytes: int = 0
    seconds: float = 0.0
    stream_bytes: int = 0
    load: bool = False


@dataclass(frozen=True)
class Problem:
    """Steps over buffers; the steps are in a topological order, called the natural order.

    A step runs when all its inputs are resident; while it runs, all resident buffers, its outputs
    and its scratch are on chip together (``takes_over`` and ``writes[0]`` share one place, as large
    as the larger). A buffer without remaining readers is freed. Before a step any resident buffer
    may be evicted, at the cost of its size unless a copy exists off chip, and is reloaded, at the
    cost of its size, before the next step that reads it. (The setting of COSMA, arXiv:2311.18246,
    whose metric, the non-compulsory bytes, is the sum of both.)
    """

    name: str
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        written: set[int] = set()
        for i, step in enumerate(self.steps):
            if not written.issuperset(step.reads):
                raise ValueError(f"step {i} ('{step.name}') reads what no earlier step writes")
            if not written.isdisjoint(step.writes) or len(set(step.writes)) != len(step.writes):
                raise ValueError(f"step {i} ('{step.name}') writes a buffer a second time")
            written.update(step.writes)
        for i, step in enumerate(self.steps):
            t = step.takes_over
            if t >= 0 and (t not in step.reads or self.readers[t] != (i,) or not step.writes):
                raise ValueError(f"step {i} ('{step.name}') takes over what it alone does not read")

    @cached_property
    def maker(self) -> tuple[int, ...]:
        """Step that writes each buffer; -1 for a buffer that no step writes."""
        maker = [-1] * len(self.buffers)
        for i, step in enumerate(self.steps):
            for t in step.writes:
                maker[t] = i
        return tuple(maker)

    @cached_property
    def input_loads(self) -> frozenset[int]:
        """Steps that read nothing and write one stored buffer: loads of network inputs."""
        return frozenset(
            i
            for i, step in enumerate(self.steps)
            if not step.reads
            and not step.scratch_bytes
            and len(step.writes) == 1
            and self.buffers[step.writes[0]].stored
        )

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Steps that read each buffer, ascending."""
        readers: list[list[int]] = [[] for _ in self.buffers]
        for i, step in enumerate(self.steps):
            for t in dict.fromkeys(step.reads):
                readers[t].append(i)
        return tuple(map(tuple, readers))

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Steps whose outputs each step reads, ascending."""
        maker = self.maker
        return tuple(tuple(sorted({maker[t] for t in s.reads})) for s in self.steps)

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Steps that read the outputs of each step, ascending."""
        readers = self.readers
        return tuple(tuple(sorted({r for t in s.writes for r in readers[t]})) for s in self.steps)

    @cached_property
    def _closures(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Masks of all ancestors and of all descendants of each step."""
        return closures([mask_of(before) for before in self.predecessors])

    @property
    def ancestors(self) -> tuple[int, ...]:
        """Bit mask, for each step, of the steps that must come before it."""
        return self._closures[0]

    @property
    def descendants(self) -> tuple[int, ...]:
        """Bit mask, for each step, of the steps that must come after it."""
        return self._closures[1]

    @cached_property
    def reads_mask(self) -> tuple[int, ...]:
        """Bit mask of the buffers that each step reads."""
        return tuple(mask_of(s.reads) for s in self.steps)

    @cached_property
    def writes_mask(self) -> tuple[int, ...]:
        """Bit mask of the buffers that each step writes."""
        return tuple(mask_of(s.writes) for s in self.steps)

    @cached_property
    def growth_bytes(self) -> tuple[int, ...]:
        """Bytes that each step needs on chip in addition to the buffers resident before it."""
        sizes = [b.size_bytes for b in self.buffers]
        return tuple(
            step.scratch_bytes
            + sum([sizes[t] for t in step.writes])
            - (min(sizes[step.takes_over], sizes[step.writes[0]]) if step.takes_over >= 0 else 0)
            for step in self.steps
        )

    @cached_property
    def working_set_bytes(self) -> tuple[int, ...]:
        """Bytes on chip while each step runs with nothing else resident."""
        return tuple(
            grown + sum([self.buffers[t].size_bytes for t in dict.fromkeys(step.reads)])
            for step, grown in zip(self.steps, self.growth_bytes, strict=True)
        )

    @property
    def largest_working_set_bytes(self) -> int:
        """Least capacity for which a schedule exists: COSMA's ``M_R``."""
        return max(self.working_set_bytes, default=0)

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of network inputs and outputs, each of which crosses once under any schedule."""
        loaded = {t for s in self.steps if s.load for t in s.writes}
        left = {t for t, b in enumerate(self.buffers) if b.stored and t not in loaded}
        return sum(self.buffers[t].size_bytes for t in loaded | left)

    def is_order(self, order: Sequence[int]) -> bool:
        """Return whether `order` runs every step once, each after the makers of its inputs."""
        done = 0
        for s in order:
            if done >> s & 1 or self.ancestors[s] & ~done:
                return False
            done |= 1 << s
        return done == (1 << len(self.steps)) - 1

    def check_order(self, order: Sequence[int]) -> None:
        """Raise a ValueError if an order is not one as by `is_order`."""
        if not self.is_order(order):
            raise ValueError("the order does not run every step once, each after its predecessors")

    def with_seconds(self, seconds: Sequence[float]) -> Problem:
        """Return the problem with a compute time for each step."""
        steps = zip(self.steps, seconds, strict=True)
        return replace(self, steps=tuple(replace(s, seconds=t) for s, t in steps))
