"""What no timing can beat: the engine, the channels, and what must come before and after a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.schedule.latency.simulate import SimulationTables
from perfmodel.schedule.masks import bits

Floats: TypeAlias = npt.NDArray[np.float64]


def lower_bound(facts: SimulationTables, noncompulsory_bytes: float = 0) -> float:
    """Return seconds that every plan takes at least.

    Parameters
    ----------
    facts
        The problem with its durations.
    noncompulsory_bytes
        Bytes that every plan spills and reloads at least (a bound of the byte objective).

    Returns
    -------
    float
        The largest of: all compute, after the least that must come in before the first step and
        before the least that must go out after the last; all compulsory transfers of a channel,
        the spilled and reloaded bytes added at the higher speed; and for each step what must come
        in before it (or run before it), then it and all that follow it, then the last store; or
        the stores of all that comes after it; and all compute and the reads that memory leaves no
        room to hide (`hidden_reads_s`).
    """
    problem, dma = facts.problem, facts.dma
    steps = problem.steps
    reads = sum(facts.fetch_s)
    writes = sum(facts.store_s[t] for t in facts.owed)
    extra = noncompulsory_bytes / max(dma.read_bytes_per_s, dma.write_bytes_per_s)
    if dma.channels == 1:
        best = reads + writes + extra
    else:
        # Each channel carries its own, and together they carry the extra bytes.
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
    # Whatever follows a step ends with one that nothing follows.
    last = [s for s in runs if not problem.descendants[s]]
    ends: Floats = np.full(n, np.inf)
    for s in last:
        follows = below[:, s] > 0
        follows[s] = True
        ends = np.where(follows, np.minimum(ends, stores[s]), ends)
    best = max(best, first + sum(facts.seconds) + min(float(stores[s]) for s in last))
    # Whatever is spilled is reloaded, so that of the bytes of both half are reloads at least.
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
    """Return the seconds of reading that the run of each step can hide at most.

    What comes in meanwhile is not what the step reads, so that it lies on chip beside the step's
    working set until the step has ended: no more bytes come in than the memory has left.
    """
    problem, speed = facts.problem, facts.dma.read_bytes_per_s
    return [
        0.0 if s.load else min(facts.seconds[k], max(0, facts.capacity_bytes - need) / speed)
        for k, (s, need) in enumerate(zip(problem.steps, problem.working_set_bytes, strict=True))
    ]


def crowded_reads_s(facts: SimulationTables) -> list[float]:
    """Return the seconds that each step's own reads take, latency aside, where they need room.

    Not counted: inputs that nobody reads, several inputs in one load (one may be dropped at once),
    and weights that pass through less scratch than they have bytes.
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
    """Return the least time that goes by after the last of some steps, all others being done.

    The last one has no successor among them; what it owes is stored after it.
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
