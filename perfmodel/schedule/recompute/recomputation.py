"""A schedule in which steps may run several times, and its replay.

The replay is the definition of the cost: bytes spilled and reloaded, plus the bytes that count for
each rerun.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from perfmodel.schedule.problem import Problem
from perfmodel.table import Result


@dataclass(frozen=True, repr=False)
class Recomputation(Result):
    """A schedule in which steps may run several times.

    Attributes
    ----------
    order
        Steps in execution order, some of them more than once.
    evictions
        Buffers evicted before each step of the order; stored only if reloaded later.
    again_cost_bytes
        Cost of recomputed steps, in bytes of traffic.
    again
        Recomputed steps, one entry per repetition.
    bound_bytes
        Lower bound on the cost of any schedule.
    """

    noun = "recomputation"
    attributes = (
        "order",
        "again",
        "cost_bytes",
        "spill_bytes",
        "reload_bytes",
        "peak_bytes",
        "bound_bytes",
        "proved",
    )

    order: tuple[int, ...]
    evictions: tuple[tuple[int, ...], ...]
    spill_bytes: int
    reload_bytes: int
    again_cost_bytes: int
    again: tuple[int, ...]
    peak_bytes: int
    bound_bytes: int = 0

    @property
    def proved(self) -> bool:
        """Whether the cost equals the lower bound."""
        return self.bound_bytes >= self.cost_bytes

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded, plus the cost of recomputed steps in bytes."""
        return self.spill_bytes + self.reload_bytes + self.again_cost_bytes

    @property
    def headline(self) -> str:
        """Cost, and number of recomputed steps."""
        return f"{self.cost_bytes} B, {len(self.again)} of {len(self.order)} steps again"


def rerun_growth(problem: Problem, s: int, resident: int) -> int | None:
    """Return the bytes that a step needs in addition to those resident.

    Outputs of an earlier run that are still resident need no further bytes. None if it would take
    over a place for an output that already has one.
    """
    step = problem.steps[s]
    sizes = problem.buffers
    fresh = sum(sizes[t].size_bytes for t in step.writes if not resident >> t & 1)
    if step.takes_over >= 0:
        if resident >> step.writes[0] & 1:
            return None
        fresh -= min(sizes[step.takes_over].size_bytes, sizes[step.writes[0]].size_bytes)
    return fresh + step.scratch_bytes


def replay_with_reruns(
    problem: Problem,
    order: Sequence[int],
    evictions: Sequence[Sequence[int]],
    capacity_bytes: int,
    rerun_bytes: Sequence[int],
) -> Recomputation:
    """Replay a schedule with repetitions and count the bytes.

    A buffer stays from the step that writes it until its last read before it is written again or
    the schedule ends, unless evicted; a buffer that is read later without being recomputed first is
    stored when it is evicted and reloaded before that step.

    Parameters
    ----------
    rerun_bytes
        Cost of running each step a second time.

    Raises
    ------
    ValueError
        A step reads a buffer that does not exist, does not fit, or never runs.
    """
    memory = _ReplayedMemory(problem, order)
    peak = 0
    ran: set[int] = set()
    reruns: list[int] = []
    for k, s in enumerate(order):
        for t in evictions[k]:
            memory.evict(t, k)
        for t in problem.steps[s].reads:
            memory.read(t, s, ran)
        peak = max(peak, memory.run(s, k, capacity_bytes))
        if s in ran:
            reruns.append(s)
        ran.add(s)
    if len(ran) < len(problem.steps):
        raise ValueError("a step never runs")
    return Recomputation(
        tuple(order),
        tuple(map(tuple, evictions)),
        memory.spilled_bytes,
        memory.reloaded_bytes,
        sum(rerun_bytes[s] for s in reruns),
        tuple(reruns),
        peak,
    )


class _ReplayedMemory:
    """Buffers on chip while a schedule with repetitions is replayed, as the mask `resident`."""

    def __init__(self, problem: Problem, order: Sequence[int]) -> None:
        self.problem = problem
        self.sizes = [buffer.size_bytes for buffer in problem.buffers]
        #: Positions at which each buffer is read (True) or written (False), ascending.
        self.uses: list[list[tuple[int, bool]]] = [[] for _ in self.sizes]
        for k, s in enumerate(order):
            for t in dict.fromkeys(problem.steps[s].reads):
                self.uses[t].append((k, True))
            for t in problem.steps[s].writes:
                self.uses[t].append((k, False))
        #: Index of the first use of each buffer that may still be ahead.
        self.next_use = [0] * len(self.sizes)
        self.copied = {t for t, buffer in enumerate(problem.buffers) if buffer.stored}
        self.inputs = {t for t in self.copied if problem.maker[t] < 0}
        self.resident = self.spilled_bytes = self.reloaded_bytes = 0

    def is_read_before_write(self, t: int, k: int) -> bool:
        """Return whether a buffer is read at or after a position before it is written again."""
        uses, i = self.uses[t], self.next_use[t]
        while i < len(uses) and uses[i][0] < k:
            i += 1
        self.next_use[t] = i
        return i < len(uses) and uses[i][1]

    def evict(self, t: int, k: int) -> None:
        """Evict a buffer before a position, and store it if it is read again."""
        if not self.resident >> t & 1:
            raise ValueError(
                f"'{self.problem.buffers[t].name}' is evicted at position {k} but is not resident"
            )
        self.resident &= ~(1 << t)
        if self.is_read_before_write(t, k) and t not in self.copied:
            self.spilled_bytes += self.sizes[t]
            self.copied.add(t)

    def read(self, t: int, s: int, ran: Container[int]) -> None:
        """Reload a buffer for a step if it is not resident."""
        if self.resident >> t & 1:
            return
        if t not in self.copied or (t not in self.inputs and self.problem.maker[t] not in ran):
            step, buffer = self.problem.steps[s], self.problem.buffers[t]
            raise ValueError(
                f"'{step.name}' reads '{buffer.name}', which is neither resident nor stored"
            )
        self.reloaded_bytes += self.sizes[t]
        self.resident |= 1 << t

    def run(self, s: int, k: int, capacity_bytes: int) -> int:
        """Run a step at a position and return the bytes on chip while it runs."""
        step = self.problem.steps[s]
        growth = rerun_growth(self.problem, s, self.resident)
        if growth is None:
            raise ValueError(
                f"'{step.name}' takes over a place for an output that is already resident"
            )
        used = growth + sum(size for t, size in enumerate(self.sizes) if self.resident >> t & 1)
        if used > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {used} bytes of {capacity_bytes}")
        over = step.takes_over
        if over >= 0:
            self.resident &= ~(1 << over)
            if self.is_read_before_write(over, k + 1) and over not in self.copied:
                raise ValueError(f"'{step.name}' overwrites a buffer that is read again")
        self.resident |= self.problem.writes_mask[s]
        for t in (*step.reads, *step.writes):
            if self.resident >> t & 1 and not self.is_read_before_write(t, k + 1):
                self.resident &= ~(1 << t)
        return used
