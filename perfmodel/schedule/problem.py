"""The scheduling problem: steps that read and write buffers of one on-chip memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor as the scheduler sees it: a number of bytes.

    Attributes
    ----------
    stored
        A copy off chip exists or will exist anyway (a network's input or output), so that evicting
        it costs no store.
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
        Indices of buffers, each once.
    takes_over
        The buffer read whose place ``writes[0]`` takes over, or -1. Only this step reads it.
    scratch_bytes
        Bytes needed on chip only while the step runs: workspace, or weights that pass through.
    seconds
        Compute time, where an objective needs it.
    stream_bytes
        Bytes that the step itself must fetch from off chip (weights), where an objective needs it.
    load
        Brings a network's input on chip: no operator of the graph.
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
    """Steps over buffers; the steps stand in a topological order, called the natural one.

    A step runs when all that it reads is resident; while it runs, everything resident, what it
    writes and its scratch lie on chip together (``takes_over`` and ``writes[0]`` in one place, as
    large as the larger). A buffer without a reader left vanishes. Before a step any resident buffer
    may be evicted, for its size unless a copy exists off chip, and is reloaded, for its size,
    before the next step that reads it. (The setting of COSMA, arXiv:2311.18246, whose metric,
    the non-compulsory bytes, is the sum of both.)
    """

    name: str
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        made: set[int] = set()
        for i, step in enumerate(self.steps):
            if not made.issuperset(step.reads):
                raise ValueError(f"step {i} ('{step.name}') reads what no earlier step writes")
            if made.intersection(step.writes) or len(set(step.writes)) != len(step.writes):
                raise ValueError(f"step {i} ('{step.name}') writes a buffer a second time")
            made.update(step.writes)
        for i, step in enumerate(self.steps):
            t = step.takes_over
            if t >= 0 and (t not in step.reads or self.readers[t] != (i,) or not step.writes):
                raise ValueError(f"step {i} ('{step.name}') takes over what it alone does not read")

    @cached_property
    def maker(self) -> tuple[int, ...]:
        """Step that writes each buffer; -1 for a buffer that none does."""
        maker = [-1] * len(self.buffers)
        for i, step in enumerate(self.steps):
            for t in step.writes:
                maker[t] = i
        return tuple(maker)

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
        """Steps whose output each step reads, ascending."""
        maker = self.maker
        return tuple(tuple(sorted({maker[t] for t in s.reads})) for s in self.steps)

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Steps that read what each step writes, ascending."""
        readers = self.readers
        return tuple(tuple(sorted({r for t in s.writes for r in readers[t]})) for s in self.steps)

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """Bit mask, for each step, of the steps that must come before it."""
        masks: list[int] = []
        for before in self.predecessors:
            mask = 0
            for p in before:
                mask |= masks[p] | 1 << p
            masks.append(mask)
        return tuple(masks)

    @cached_property
    def descendants(self) -> tuple[int, ...]:
        """Bit mask, for each step, of the steps that must come after it."""
        masks = [0] * len(self.steps)
        for i in range(len(self.steps) - 1, -1, -1):
            for s in self.successors[i]:
                masks[i] |= masks[s] | 1 << s
        return tuple(masks)

    @cached_property
    def reads_mask(self) -> tuple[int, ...]:
        """Bit mask of the buffers that each step reads."""
        return tuple(_mask(s.reads) for s in self.steps)

    @cached_property
    def writes_mask(self) -> tuple[int, ...]:
        """Bit mask of the buffers that each step writes."""
        return tuple(_mask(s.writes) for s in self.steps)

    @cached_property
    def growth_bytes(self) -> tuple[int, ...]:
        """Bytes that each step needs on chip beside everything that is resident before it."""
        sizes = [b.size_bytes for b in self.buffers]
        return tuple(
            step.scratch_bytes
            + sum(sizes[t] for t in step.writes)
            - (min(sizes[step.takes_over], sizes[step.writes[0]]) if step.takes_over >= 0 else 0)
            for step in self.steps
        )

    @cached_property
    def working_set_bytes(self) -> tuple[int, ...]:
        """Bytes on chip while each step runs with nothing else resident."""
        return tuple(
            grown + sum(self.buffers[t].size_bytes for t in dict.fromkeys(step.reads))
            for step, grown in zip(self.steps, self.growth_bytes, strict=True)
        )

    @property
    def largest_working_set_bytes(self) -> int:
        """Least capacity for which a schedule exists: COSMA's ``M_R``."""
        return max(self.working_set_bytes, default=0)

    @property
    def compulsory_bytes(self) -> int:
        """Bytes of the network's inputs and outputs, which cross once whatever the schedule."""
        loaded = {t for s in self.steps if s.load for t in s.writes}
        left = {t for t, b in enumerate(self.buffers) if b.stored and t not in loaded}
        return sum(self.buffers[t].size_bytes for t in loaded | left)

    def is_order(self, order: Sequence[int]) -> bool:
        """Tell whether `order` runs every step once, none before what it reads."""
        done = 0
        for s in order:
            if done >> s & 1 or self.ancestors[s] & ~done:
                return False
            done |= 1 << s
        return done == (1 << len(self.steps)) - 1

    def with_seconds(self, seconds: Sequence[float]) -> Problem:
        """Return the problem with a compute time for each step."""
        steps = zip(self.steps, seconds, strict=True)
        return replace(self, steps=tuple(replace(s, seconds=t) for s, t in steps))


def _mask(indices: Sequence[int]) -> int:
    mask = 0
    for i in indices:
        mask |= 1 << i
    return mask
