"""Lower bounds on the makespan: engine, channels, and critical path with transfers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.schedule.latency.simulate import SimulationTables
from perfmodel.schedule.masks import bits

Floats: TypeAlias = npt.NDArray[np.float64]


def lower_bound(facts: SimulationTables, noncompulsory_bytes: float = 0) -> float:
    """Return a lower bound on the seconds of any plan.

    Parameters
    ----------
    facts
        Simulation tables of the problem, with its durations.
    noncompulsory_bytes
        Lower bound on the bytes that any plan spills and reloads.

    Returns
    -------
    float
        The largest of:

        - all compute, after the least input time of the first step and before the least output
          time of the last one;
        - all compulsory transfers of a channel, plus the spilled and reloaded bytes at the higher
          bandwidth;
        - for each step, the inputs (or compute) required before it, then the step and all its
          descendants, then the last store, or the stores of all its descendants;
        - all compute, plus the reads that memory leaves no room to hide (`hidden_reads_s`).
    """
    problem, dma = facts.problem, facts.dma
    steps = problem.steps
    reads = sum(facts.fetch_s)
    writes = sum(facts.store_s[t] for t in facts.owed)
    extra = noncompulsory_bytes / max(dma.read_bytes_per_s, dma.write_bytes_per_s)
    if dma.channels == 1:
        best = reads + writes + extra
    else:
        # Each channel carries its own transfers, and both together the additional bytes.
        best = max(reads, writes, (reads + writes + extra) / 2)
    runs = [s for s, step in enumerate(steps) if not step.load]
    if not runs:
        return best
    n = len(steps)
    above, below = _matrix(problem.ancestors), _matrix(problem.descendants)
    loads = np.array([s.load for s in steps])
    seconds, fetch = np.array(facts.seconds), np.array(facts.fetch_s)
    stores = np.array([sum(facts.store_s[t] for t in s.writes if t in facts.owed) for s in steps])
    fetched: Floats = fetch + above @ fetch
    inputs: Floats = fetch + above @ np.where(loads, fetch, 0.0)
    behind: Floats = above @ seconds
    compute: Floats = seconds + below @ seconds
    out: Floats = stores + below @ stores
    first = min(float(inputs[s]) for s in runs if not above[s][~loads].any())
    # The last descendant of any step has no successors.
    last = [s for s in runs if not problem.descendants[s]]
    ends: Floats = np.full(n, np.inf)
    for s in last:
        follows = below[:, s] > 0
        follows[s] = True
        ends = np.where(follows, np.minimum(ends, stores[s]), ends)
    best = max(best, first + sum(facts.seconds) + min(float(stores[s]) for s in last))
    # Every spilled buffer is reloaded, so that at least half of these bytes are reloads.
    shown = sum(crowded_reads_s(facts)) + noncompulsory_bytes / 2 / dma.read_bytes_per_s
    best = max(best, sum(facts.seconds) + shown - sum(hidden_reads_s(facts)))
    start = [0.0] * n
    for s in range(n):
        if steps[s].load:
            continue
        ready = (start[p] + facts.seconds[p] for p in problem.predecessors[s] if not steps[p].load)
        start[s] = max(float(fetched[s]), float(behind[s]), max(ready, default=0.0))
        after = max(float(compute[s] + ends[s]), facts.seconds[s] + float(out[s]))
        best = max(best, start[s] + after)
    return best


def _matrix(masks: Sequence[int]) -> Floats:
    """Return bit masks as rows of zeros and ones."""
    n = len(masks)
    width = (n + 7) // 8
    raw = np.frombuffer(b"".join(m.to_bytes(width, "little") for m in masks), dtype=np.uint8)
    bits = np.unpackbits(raw.reshape(n, width), axis=1, bitorder="little")[:, :n]
    return bits.astype(np.float64)


def hidden_reads_s(facts: SimulationTables) -> list[float]:
    """Return an upper bound on the seconds of reading that the run of each step can hide.

    Data read meanwhile is not an input of the step, so that it is on chip together with the step's
    working set until the step ends: it cannot exceed the free capacity. Per step
    ``min(seconds, max(0, capacity - working set) / read_bytes_per_s)``.
    """
    problem, speed = facts.problem, facts.dma.read_bytes_per_s
    return [
        0.0 if s.load else min(facts.seconds[k], max(0, facts.capacity_bytes - need) / speed)
        for k, (s, need) in enumerate(zip(problem.steps, problem.working_set_bytes, strict=True))
    ]


def crowded_reads_s(facts: SimulationTables) -> list[float]:
    """Return the seconds of each step's own reads that need free space, without latency.

    Excluded are inputs without readers, several inputs in one load (one may be dropped at once),
    and weights that stream through scratch smaller than their size.
    """
    problem, speed = facts.problem, facts.dma.read_bytes_per_s
    seconds: list[float] = []
    for k, s in enumerate(problem.steps):
        size = 0
        if s.load and len(s.writes) == 1 and facts.readers[s.writes[0]]:
            size = facts.sizes[s.writes[0]]
        elif facts.streams[k] and s.scratch_bytes >= s.stream_bytes:
            size = s.stream_bytes
        seconds.append(size / speed)
    return seconds


def tail_s(facts: SimulationTables, among: int) -> float:
    """Return the least time after the end of the last of some steps, all others being done.

    The last step has no successor among them; its outputs are stored after it.
    """
    problem = facts.problem
    return min(
        (
            sum(facts.store_s[t] for t in problem.steps[s].writes if t in facts.owed)
            for s in bits(among)
            if not problem.steps[s].load and not problem.descendants[s] & among
        ),
        default=0.0,
    )
