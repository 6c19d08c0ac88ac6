"""Lower bounds on the makespan T of any plan: channels, engine, critical path, and exposed reads.

With the seconds ``c[s]`` of computing step s, ``f[s]`` of its own reads (network input or weights)
and ``o[s]`` of the required stores of its outputs, ``A(s)`` its ancestors and ``D(s)`` its
descendants:

- channels: ``T >= sum of f + sum of o + spilled and reloaded bytes / bandwidth``; with two
  channels the larger of the two, and half of all;
- engine: ``T >= least input time of a first step + sum of c + least o of a last step``;
- critical path, for each step: ``T >= start[s] + max(c[s] + sum of c over D(s) + least o of the
  last of them, c[s] + o[s] + sum of o over D(s))``, where ``start[s] = max(f[s] + sum of f over
  A(s), sum of c over A(s), max over predecessors p of (start[p] + c[p]))``;
- exposed reads: ``T >= sum of c + reads that need free space - reads that computing can hide``.

`lower_bound` serves all objectives of time; the other functions also bound the partial plans of the
branch and bound (`branch_and_bound.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.schedule.latency.simulate import SimulationTables
from perfmodel.schedule.masks import bits

Floats: TypeAlias = npt.NDArray[np.float64]


def lower_bound(tables: SimulationTables, noncompulsory_bytes: float = 0) -> float:
    """Return a lower bound on the seconds of any plan: the largest of those of the module.

    Parameters
    ----------
    tables
        Simulation tables of the problem, with its durations.
    noncompulsory_bytes
        Lower bound on the bytes that any plan spills and reloads.
    """
    best = _channels_s(tables, noncompulsory_bytes)
    if all(step.load for step in tables.problem.steps):
        return best
    # Every spilled buffer is reloaded, so that at least half of these bytes are reloads.
    reloads_s = noncompulsory_bytes / 2 / tables.dma.read_bytes_per_s
    exposed_s = sum(space_bound_reads_s(tables)) + reloads_s - sum(hidden_reads_s(tables))
    return max(best, sum(tables.seconds) + exposed_s, _engine_and_paths_s(tables))


def _channels_s(tables: SimulationTables, noncompulsory_bytes: float) -> float:
    """Return the seconds of all transfers that any plan makes, on the busiest channel."""
    dma = tables.dma
    reads = sum(tables.fetch_s)
    writes = sum(tables.store_s[t] for t in tables.required_stores)
    extra = noncompulsory_bytes / max(dma.read_bytes_per_s, dma.write_bytes_per_s)
    if dma.channels == 1:
        return reads + writes + extra
    # Each channel carries its own transfers, and both together the additional bytes.
    return max(reads, writes, (reads + writes + extra) / 2)


def _engine_and_paths_s(tables: SimulationTables) -> float:
    """Return the larger of the bounds of the engine and of the critical path."""
    problem, seconds = tables.problem, tables.seconds
    steps = problem.steps
    above, below = _matrix(problem.ancestors), _matrix(problem.descendants)
    compute_s, fetch_s = np.array(seconds), np.array(tables.fetch_s)
    is_load = np.array([s.load for s in steps])
    stores_s = np.array(
        [sum(tables.store_s[t] for t in s.writes if t in tables.required_stores) for s in steps]
    )
    reads_before: Floats = fetch_s + above @ fetch_s
    inputs_before: Floats = fetch_s + above @ np.where(is_load, fetch_s, 0.0)
    compute_before: Floats = above @ compute_s
    compute_from: Floats = compute_s + below @ compute_s
    stores_from: Floats = stores_s + below @ stores_s
    runs = [s for s, step in enumerate(steps) if not step.load]
    first_s = min(float(inputs_before[s]) for s in runs if not above[s][~is_load].any())
    # The last descendant of any step has no successors.
    last = [s for s in runs if not problem.descendants[s]]
    last_store_s: Floats = np.full(len(steps), np.inf)
    for s in last:
        leads_here = below[:, s] > 0
        leads_here[s] = True
        last_store_s = np.where(leads_here, np.minimum(last_store_s, stores_s[s]), last_store_s)
    best = first_s + sum(seconds) + min(float(stores_s[s]) for s in last)
    start = [0.0] * len(steps)
    for s in runs:
        ready = (start[p] + seconds[p] for p in problem.predecessors[s] if not steps[p].load)
        start[s] = max(float(reads_before[s]), float(compute_before[s]), max(ready, default=0.0))
        after = max(float(compute_from[s] + last_store_s[s]), seconds[s] + float(stores_from[s]))
        best = max(best, start[s] + after)
    return best


def _matrix(masks: Sequence[int]) -> Floats:
    """Return bit masks as rows of zeros and ones."""
    n = len(masks)
    width = (n + 7) // 8
    raw = np.frombuffer(b"".join(m.to_bytes(width, "little") for m in masks), dtype=np.uint8)
    bits = np.unpackbits(raw.reshape(n, width), axis=1, bitorder="little")[:, :n]
    return bits.astype(np.float64)


def hidden_reads_s(tables: SimulationTables) -> list[float]:
    """Return an upper bound on the seconds of reading that the run of each step can hide.

    Data read meanwhile is not an input of the step, so that it is on chip together with the step's
    working set until the step ends: it cannot exceed the free capacity. Per step
    ``min(seconds, max(0, capacity - working set) / read_bytes_per_s)``.
    """
    problem, speed = tables.problem, tables.dma.read_bytes_per_s
    return [
        0.0 if s.load else min(tables.seconds[k], max(0, tables.capacity_bytes - need) / speed)
        for k, (s, need) in enumerate(zip(problem.steps, problem.working_set_bytes, strict=True))
    ]


def space_bound_reads_s(tables: SimulationTables) -> list[float]:
    """Return the seconds of each step's own reads that need free space, without latency.

    Excluded are inputs without readers, several inputs in one load (one may be dropped at once),
    and weights that stream through scratch smaller than their size.
    """
    problem, speed = tables.problem, tables.dma.read_bytes_per_s
    seconds: list[float] = []
    for k, s in enumerate(problem.steps):
        size = 0
        if s.load and len(s.writes) == 1 and tables.readers[s.writes[0]]:
            size = tables.sizes[s.writes[0]]
        elif tables.streams[k] and s.scratch_bytes >= s.stream_bytes:
            size = s.stream_bytes
        seconds.append(size / speed)
    return seconds


def tail_s(tables: SimulationTables, among: int) -> float:
    """Return the least time after the end of the last of some steps, all others being done.

    The last step has no successor among them; its outputs are stored after it.
    """
    problem = tables.problem
    return min(
        (
            sum(tables.store_s[t] for t in problem.steps[s].writes if t in tables.required_stores)
            for s in bits(among)
            if not problem.steps[s].load and not problem.descendants[s] & among
        ),
        default=0.0,
    )
