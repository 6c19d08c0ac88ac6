"""The scheduling problem as bit masks, reduced to its core, for the exact search.

The core is the problem without the steps whose best position is known: loads of inputs, and steps
that run right after their predecessor in every good schedule. Sets of steps and of buffers are
integers, so that a state of the search is three integers and set operations are single
instructions on short graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfmodel.schedule.masks import bits, closures, mask_of
from perfmodel.schedule.problem import Problem


@dataclass(eq=False)
class BitmaskProblem:
    """Steps and buffers as bit masks; bit i of a mask is step i or buffer i of this core.

    Attributes
    ----------
    names
        Steps of the problem that each step of the core represents, in execution order.
    buffers
        Index in the problem of each buffer of the core; -1 for a buffer of zero bytes that only
        enforces an order.
    reads, writes
        Mask of the buffers of each step; the steps are in topological order.
    growth
        Bytes that each step needs in addition to the buffers resident before it.
    sizes
        Size of each buffer in bytes.
    stored
        Mask of the buffers that are evicted without a store.
    inputs
        Mask of the buffers that are off chip at the start; their first load is free.
    resident
        Mask of the buffers on chip at the start.
    merged
        Buffers of the problem absent from the core, each with the buffer that replaces it.
    steps, full
        Number of steps, and the mask of all steps.
    readers, maker
        Mask of the readers of each buffer; step that writes it, or -1.
    before, ancestors, descendants
        Masks of the direct predecessors of each step, and of all steps before and after it.
    """

    names: Sequence[tuple[int, ...]]
    buffers: Sequence[int]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    growth: tuple[int, ...]
    sizes: tuple[int, ...]
    stored: int
    inputs: int
    resident: int
    merged: Mapping[int, int]

    def __post_init__(self) -> None:
        self.steps = len(self.reads)
        self.full = (1 << self.steps) - 1
        readers, maker = [0] * len(self.sizes), [-1] * len(self.sizes)
        for s in range(self.steps):
            for t in bits(self.reads[s]):
                readers[t] |= 1 << s
            for t in bits(self.writes[s]):
                maker[t] = s
        self.readers, self.maker = tuple(readers), tuple(maker)
        self.before = tuple(
            mask_of({maker[t] for t in bits(reads) if maker[t] >= 0}) for reads in self.reads
        )
        self.ancestors, self.descendants = closures(self.before)
        #: Memoised sums of sizes, by mask.
        self.known_bytes = {0: 0}

    def bytes_of(self, mask: int) -> int:
        """Return the total size of the buffers of a mask."""
        known = self.known_bytes.get(mask)
        if known is None:
            sizes = self.sizes
            known = sum([sizes[t] for t in bits(mask)])
            self.known_bytes[mask] = known
        return known

    def live(self, done: int) -> int:
        """Return the live buffers after the steps `done`: present, with a reader left."""
        mask = 0
        for t, readers in enumerate(self.readers):
            if readers & ~done and (self.maker[t] < 0 or done >> self.maker[t] & 1):
                mask |= 1 << t
        return mask

    def part(
        self,
        names: Sequence[tuple[int, ...]],
        steps: Sequence[int],
        used: int,
        *,
        inputs: int,
        resident: int,
        waits: Mapping[int, Sequence[int]],
    ) -> BitmaskProblem:
        """Return the core of a subset of the steps and buffers.

        Parameters
        ----------
        names
            Steps of the problem behind each step of the new core.
        steps
            Steps of this core, in the order of the new one.
        used
            Mask of the buffers in the new core.
        inputs, resident
            Masks of buffers, as the attributes.
        waits
            Step -> steps that must follow it, enforced by a buffer of zero bytes.
        """
        buffers = list(bits(used))
        place = {t: i for i, t in enumerate(buffers)}

        def local(mask: int) -> int:
            return mask_of(place[t] for t in bits(mask & used))

        reads = {s: local(self.reads[s]) for s in steps}
        writes = {s: local(self.writes[s]) for s in steps}
        for i, (s, readers) in enumerate(waits.items(), start=len(buffers)):
            writes[s] |= 1 << i
            for r in readers:
                reads[r] |= 1 << i
        links = len(waits)
        return BitmaskProblem(
            names,
            [*(self.buffers[t] for t in buffers), *[-1] * links],
            tuple(reads.values()),
            tuple(writes.values()),
            tuple(self.growth[s] for s in steps),
            (*(self.sizes[t] for t in buffers), *[0] * links),
            local(self.stored | inputs) | ((1 << links) - 1) << len(buffers),
            local(inputs),
            local(resident),
            self.merged,
        )


def bitmask_problem(problem: Problem) -> BitmaskProblem:
    """Return the core of a problem, without the steps whose best position is known.

    The load of an input, a step that reads nothing and writes one stored buffer, is best placed
    just before the first step that reads it: it is left out and its buffer starts off chip. A step
    that reads one buffer, is its only reader, needs no additional space and writes a buffer that is
    no larger and no more expensive to evict (an in-place activation) is best run right after the
    step that wrote its input: the two are merged.
    """
    inputs = 0
    sizes = [b.size_bytes for b in problem.buffers]
    stored = mask_of(t for t, b in enumerate(problem.buffers) if b.stored)
    chains: dict[int, _StepChain] = {}
    # Buffer -> first step of the chain that writes it; buffer inside a chain -> its replacement.
    chain_of: dict[int, int] = {}
    merged: dict[int, int] = {}

    def eviction_cost(t: int) -> int:
        return sizes[t] if stored >> t & 1 else 2 * sizes[t]

    for s, step in enumerate(problem.steps):
        if s in problem.input_loads:
            inputs |= 1 << step.writes[0]
            continue
        reads = set(step.reads)
        t = min(reads, default=-1)
        if len(reads) == 1 and problem.readers[t] == (s,) and t in chain_of:
            chain = chains[chain_of[t]]
            outputs = [w for w in step.writes if problem.readers[w]]
            written_bytes = sum(sizes[w] for w in bits(chain.writes))
            if (
                problem.growth_bytes[s] <= chain.growth - written_bytes
                and sum(sizes[w] for w in outputs) <= sizes[t]
                and sum(eviction_cost(w) for w in outputs) <= eviction_cost(t)
            ):
                chain.names.append(s)
                chain.writes = chain.writes & ~(1 << t) | problem.writes_mask[s]
                chain_of.update(dict.fromkeys(step.writes, chain_of[t]))
                if outputs:
                    merged[t] = outputs[0]
                continue
        chains[s] = _StepChain(
            [s], problem.reads_mask[s], problem.writes_mask[s], problem.growth_bytes[s]
        )
        chain_of.update(dict.fromkeys(step.writes, s))
    steps = list(chains.values())
    return BitmaskProblem(
        [tuple(chain.names) for chain in steps],
        range(len(problem.buffers)),
        tuple(chain.reads for chain in steps),
        tuple(chain.writes for chain in steps),
        tuple(chain.growth for chain in steps),
        tuple(sizes),
        stored,
        inputs,
        0,
        merged,
    )


@dataclass(slots=True)
class _StepChain:
    """Steps that run consecutively and are merged into one.

    Attributes
    ----------
    names
        The steps, in order.
    reads, writes, growth
        As in `BitmaskProblem`, for the chain as one step.
    """

    names: list[int]
    reads: int
    writes: int
    growth: int
