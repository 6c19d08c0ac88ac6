"""A schedule in which steps run several times, and its replay."""

from __future__ import annotations

from collections.abc import Sequence
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
    proved: bool = False

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded, and what runs again as bytes."""
        return self.spill_bytes + self.reload_bytes + self.again_cost_bytes

    @property
    def headline(self) -> str:
        """What it costs, and how many steps run again."""
        return f"{self.cost_bytes} B, {len(self.again)} of {len(self.order)} steps again"


def again_growth(problem: Problem, s: int, resident: int) -> int | None:
    """Return the bytes that a step needs beside what is resident, some of its output perhaps there.

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
    problem: Problem, order: Sequence[int], evictions: Sequence[Sequence[int]],
    capacity_bytes: int, again_bytes: Sequence[int],
) -> Recomputation:  # fmt: skip
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
    sizes = [b.size_bytes for b in problem.buffers]
    steps = problem.steps
    # Next read of each buffer from each position, none after it is made again before.
    uses: list[list[tuple[int, bool]]] = [[] for _ in sizes]
    for k, s in enumerate(order):
        for t in dict.fromkeys(steps[s].reads):
            uses[t].append((k, True))
        for t in steps[s].writes:
            uses[t].append((k, False))
    at = [0] * len(sizes)
    copied = {t for t, b in enumerate(problem.buffers) if b.stored}
    known = {t for t in copied if problem.maker[t] < 0}
    resident = spilled = reloaded = extra = peak = 0
    ran: set[int] = set()
    again: list[int] = []

    def wanted(t: int, k: int) -> bool:
        """Tell whether a buffer is read at or after a position before it is made again."""
        events = uses[t]
        i = at[t]
        while i < len(events) and events[i][0] < k:
            i += 1
        at[t] = i
        return i < len(events) and events[i][1]

    for k, s in enumerate(order):
        step = steps[s]
        for t in evictions[k]:
            if not resident >> t & 1:
                raise ValueError(f"'{problem.buffers[t].name}' is evicted at {k} but not there")
            resident &= ~(1 << t)
            if wanted(t, k) and t not in copied:
                spilled += sizes[t]
                copied.add(t)
        for t in step.reads:
            if not resident >> t & 1:
                if t not in copied or (t not in known and problem.maker[t] not in ran):
                    raise ValueError(
                        f"'{step.name}' reads '{problem.buffers[t].name}' from nowhere"
                    )
                reloaded += sizes[t]
                resident |= 1 << t
        growth = again_growth(problem, s, resident)
        if growth is None:
            raise ValueError(f"'{step.name}' takes over a place for what is already there")
        held = sum(sizes[t] for t in range(len(sizes)) if resident >> t & 1) + growth
        if held > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {held} bytes of {capacity_bytes}")
        peak = max(peak, held)
        if s in ran:
            extra += again_bytes[s]
            again.append(s)
        ran.add(s)
        if step.takes_over >= 0:
            resident &= ~(1 << step.takes_over)
            if wanted(step.takes_over, k + 1) and step.takes_over not in copied:
                raise ValueError(f"'{step.name}' overwrites what is read again")
        resident |= problem.writes_mask[s]
        for t in (*step.reads, *step.writes):
            if resident >> t & 1 and not wanted(t, k + 1):
                resident &= ~(1 << t)
    if len(ran) < len(steps):
        raise ValueError("a step never runs")
    return Recomputation(
        tuple(order), tuple(tuple(e) for e in evictions), spilled, reloaded, extra, tuple(again),
        peak,
    )  # fmt: skip
