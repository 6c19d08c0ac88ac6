"""A schedule in which steps run several times, and its replay."""

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
        Steps, some more than once.
    evictions
        Buffers that leave before each step of the order; stored only where they are reloaded.
    again_cost_bytes
        What running steps again costs, in bytes of traffic.
    again
        The steps that run again, as often as they do.
    bound_bytes
        No schedule costs less.
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
        """Whether no schedule costs less."""
        return self.bound_bytes >= self.cost_bytes

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded, and what runs again as bytes."""
        return self.spill_bytes + self.reload_bytes + self.again_cost_bytes

    @property
    def headline(self) -> str:
        """What it costs, and how many steps run again."""
        return f"{self.cost_bytes} B, {len(self.again)} of {len(self.order)} steps again"


def again_growth(problem: Problem, s: int, resident: int) -> int | None:
    """Return the bytes that a step needs beside those resident, which may be some of its output.

    None where it would take over a place for an output that already has one.
    """
    step = problem.steps[s]
    sizes = problem.buffers
    fresh = sum(sizes[t].size_bytes for t in step.writes if not resident >> t & 1)
    if step.takes_over >= 0:
        if resident >> step.writes[0] & 1:
            return None
        fresh -= min(sizes[step.takes_over].size_bytes, sizes[step.writes[0]].size_bytes)
    return fresh + step.scratch_bytes


def replay_again(
    problem: Problem,
    order: Sequence[int],
    evictions: Sequence[Sequence[int]],
    capacity_bytes: int,
    again_bytes: Sequence[int],
) -> Recomputation:
    """Run a schedule with repetitions and count.

    A buffer stays from the step that makes it until the last one that reads it before it is made
    again or the schedule ends, unless evicted; what is read later and not made again until then
    is stored when it is evicted and reloaded before that step.

    Parameters
    ----------
    again_bytes
        What running each step a second time costs.

    Raises
    ------
    ValueError
        A step reads what is nowhere, does not fit, or never runs.
    """
    memory = _ReplayedMemory(problem, order)
    peak = 0
    ran: set[int] = set()
    again: list[int] = []
    for k, s in enumerate(order):
        for t in evictions[k]:
            memory.evict(t, k)
        for t in problem.steps[s].reads:
            memory.read(t, s, ran)
        peak = max(peak, memory.run(s, k, capacity_bytes))
        if s in ran:
            again.append(s)
        ran.add(s)
    if len(ran) < len(problem.steps):
        raise ValueError("a step never runs")
    return Recomputation(
        tuple(order),
        tuple(map(tuple, evictions)),
        memory.spilled_bytes,
        memory.reloaded_bytes,
        sum(again_bytes[s] for s in again),
        tuple(again),
        peak,
    )


class _ReplayedMemory:
    """The buffers on chip while a schedule with repetitions runs; `resident` has a bit for each."""

    def __init__(self, problem: Problem, order: Sequence[int]) -> None:
        self.problem = problem
        self.sizes = [buffer.size_bytes for buffer in problem.buffers]
        #: Of each buffer, the positions at which it is read (True) or written (False), ascending.
        self.uses: list[list[tuple[int, bool]]] = [[] for _ in self.sizes]
        for k, s in enumerate(order):
            for t in dict.fromkeys(problem.steps[s].reads):
                self.uses[t].append((k, True))
            for t in problem.steps[s].writes:
                self.uses[t].append((k, False))
        #: The first use of each buffer that may still be ahead.
        self.next_use = [0] * len(self.sizes)
        self.copied = {t for t, buffer in enumerate(problem.buffers) if buffer.stored}
        self.inputs = {t for t in self.copied if problem.maker[t] < 0}
        self.resident = self.spilled_bytes = self.reloaded_bytes = 0

    def wanted(self, t: int, k: int) -> bool:
        """Tell whether a buffer is read at or after a position before it is made again."""
        uses, i = self.uses[t], self.next_use[t]
        while i < len(uses) and uses[i][0] < k:
            i += 1
        self.next_use[t] = i
        return i < len(uses) and uses[i][1]

    def evict(self, t: int, k: int) -> None:
        """Drop a buffer before a position, and store it where it is read again."""
        if not self.resident >> t & 1:
            raise ValueError(f"'{self.problem.buffers[t].name}' is evicted at {k} but not there")
        self.resident &= ~(1 << t)
        if self.wanted(t, k) and t not in self.copied:
            self.spilled_bytes += self.sizes[t]
            self.copied.add(t)

    def read(self, t: int, s: int, ran: Container[int]) -> None:
        """Reload a buffer for a step where it is not there."""
        if self.resident >> t & 1:
            return
        if t not in self.copied or (t not in self.inputs and self.problem.maker[t] not in ran):
            step, buffer = self.problem.steps[s], self.problem.buffers[t]
            raise ValueError(f"'{step.name}' reads '{buffer.name}' from nowhere")
        self.reloaded_bytes += self.sizes[t]
        self.resident |= 1 << t

    def run(self, s: int, k: int, capacity_bytes: int) -> int:
        """Run a step at a position and return the bytes on chip meanwhile."""
        step = self.problem.steps[s]
        growth = again_growth(self.problem, s, self.resident)
        if growth is None:
            raise ValueError(f"'{step.name}' takes over a place for what is already there")
        used = growth + sum(size for t, size in enumerate(self.sizes) if self.resident >> t & 1)
        if used > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {used} bytes of {capacity_bytes}")
        over = step.takes_over
        if over >= 0:
            self.resident &= ~(1 << over)
            if self.wanted(over, k + 1) and over not in self.copied:
                raise ValueError(f"'{step.name}' overwrites what is read again")
        self.resident |= self.problem.writes_mask[s]
        for t in (*step.reads, *step.writes):
            if self.resident >> t & 1 and not self.wanted(t, k + 1):
                self.resident &= ~(1 << t)
        return used
