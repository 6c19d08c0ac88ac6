"""What the search works on: a problem as bit masks, with the loads of inputs left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfmodel.schedule.masks import bits
from perfmodel.schedule.problem import Problem


class BitmaskProblem:
    """Steps and buffers as bit masks; bit i of a mask is step i or buffer i of this core.

    Parameters
    ----------
    names
        Steps of the problem that each step here stands for, one after the other.
    buffers
        Index in the problem of each buffer here.
    reads, writes
        Mask of buffers of each step, which stand in a topological order.
    growth
        Bytes that each step needs beside what is resident before it.
    sizes
        Bytes of each buffer.
    stored
        Mask of the buffers that are evicted without a store.
    inputs
        Mask of the buffers that lie off chip at the start: their first load costs nothing.
    held
        Mask of the buffers on chip at the start.
    merged
        Buffers of the problem that are not here, and those of the problem that took their place.
    """

    def __init__(
        self,
        names: Sequence[tuple[int, ...]],
        buffers: Sequence[int],
        reads: Sequence[int],
        writes: Sequence[int],
        growth: Sequence[int],
        sizes: Sequence[int],
        stored: int,
        inputs: int,
        held: int = 0,
        merged: Mapping[int, int] | None = None,
    ) -> None:
        self.names, self.buffers = tuple(names), tuple(buffers)
        self.reads, self.writes, self.growth = tuple(reads), tuple(writes), tuple(growth)
        self.sizes, self.stored, self.inputs, self.held = tuple(sizes), stored, inputs, held
        self.merged = dict(merged or {})
        self.steps = len(self.reads)
        self.full = (1 << self.steps) - 1
        readers, maker = [0] * len(self.sizes), [-1] * len(self.sizes)
        for s in range(self.steps):
            for t in bits(self.reads[s]):
                readers[t] |= 1 << s
            for t in bits(self.writes[s]):
                maker[t] = s
        self.readers, self.maker = tuple(readers), tuple(maker)
        before, ancestors, descendants = [0] * self.steps, [0] * self.steps, [0] * self.steps
        for s in range(self.steps):
            for t in bits(self.reads[s]):
                if maker[t] >= 0:
                    before[s] |= 1 << maker[t]
                    ancestors[s] |= ancestors[maker[t]] | 1 << maker[t]
        for s in range(self.steps - 1, -1, -1):
            for p in bits(before[s]):
                descendants[p] |= descendants[s] | 1 << s
        self.before, self.ancestors = tuple(before), tuple(ancestors)
        self.descendants = tuple(descendants)
        #: Sums of sizes met so far, by mask.
        self.known_bytes = {0: 0}

    def bytes_of(self, mask: int) -> int:
        """Return the sum of the sizes of the buffers of a mask."""
        known = self.known_bytes.get(mask)
        if known is None:
            sizes = self.sizes
            known = sum([sizes[t] for t in bits(mask)])
            self.known_bytes[mask] = known
        return known

    def live(self, done: int) -> int:
        """Return the buffers that are there after the steps `done` and still have a reader."""
        mask = 0
        for t, readers in enumerate(self.readers):
            if readers & ~done and (self.maker[t] < 0 or done >> self.maker[t] & 1):
                mask |= 1 << t
        return mask


def compiled(problem: Problem) -> BitmaskProblem:
    """Return the core of a problem, without steps whose best place is known.

    The load of an input, a step that reads nothing and writes one stored buffer, is best done just
    before the first step that reads it: it is left out and its buffer begins off chip. A step that
    reads one buffer, is its only reader, needs no more place and leaves what is no larger and no
    dearer to evict (an activation in place) is best run right after the step that wrote it: the two
    are one.
    """
    inputs, runs = 0, dict[int, _StepChain]()
    sizes = [b.size_bytes for b in problem.buffers]
    stored = sum(1 << t for t, b in enumerate(problem.buffers) if b.stored)
    last: dict[int, int] = {}
    merged: dict[int, int] = {}

    def price(t: int) -> int:
        return sizes[t] if stored >> t & 1 else 2 * sizes[t]

    for s, step in enumerate(problem.steps):
        lone = not step.reads and len(step.writes) == 1 and not step.scratch_bytes
        if lone and stored >> step.writes[0] & 1:
            inputs |= 1 << step.writes[0]
            continue
        reads = set(step.reads)
        t = min(reads, default=-1)
        if len(reads) == 1 and problem.readers[t] == (s,) and t in last:
            run = runs[last[t]]
            kept = [w for w in step.writes if problem.readers[w]]
            here = sum(sizes[w] for w in bits(run.writes))
            if (
                problem.growth_bytes[s] <= run.growth - here
                and sum(sizes[w] for w in kept) <= sizes[t]
                and sum(price(w) for w in kept) <= price(t)
            ):
                run.names.append(s)
                run.writes = run.writes & ~(1 << t) | problem.writes_mask[s]
                last.update(dict.fromkeys(step.writes, last[t]))
                if kept:
                    merged[t] = kept[0]
                continue
        runs[s] = _StepChain(
            [s], problem.reads_mask[s], problem.writes_mask[s], problem.growth_bytes[s]
        )
        last.update(dict.fromkeys(step.writes, s))
    steps = list(runs.values())
    return BitmaskProblem(
        [tuple(run.names) for run in steps],
        range(len(problem.buffers)),
        [run.reads for run in steps],
        [run.writes for run in steps],
        [run.growth for run in steps],
        sizes,
        stored,
        inputs,
        merged=merged,
    )


@dataclass(slots=True)
class _StepChain:
    """Steps that run one after the other, while they are gathered."""

    names: list[int]
    reads: int
    writes: int
    growth: int
