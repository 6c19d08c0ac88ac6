"""What no timing can beat: the engine, the channels, and what must come before and after a step."""

from __future__ import annotations

from perfmodel.schedule.latency.simulate import Facts

__all__ = ["crowded_reads_s", "hidden_reads_s", "lower_bound", "tail_s"]


def lower_bound(facts: Facts, noncompulsory_bytes: int = 0) -> float:
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
    fetched = [
        facts.fetch_s[s] + sum(facts.fetch_s[a] for a in _bits(problem.ancestors[s]))
        for s in range(len(steps))
    ]
    first = min(
        facts.fetch_s[s]
        + sum(facts.fetch_s[a] for a in _bits(problem.ancestors[s]) if steps[a].load)
        for s in runs
        if all(steps[a].load for a in _bits(problem.ancestors[s]))
    )
    stores = [sum(facts.store_s[t] for t in s.writes if t in facts.owed) for s in steps]
    ends = [tail_s(facts, problem.descendants[s] | 1 << s) for s in range(len(steps))]
    best = max(best, first + sum(facts.seconds) + tail_s(facts, (1 << len(steps)) - 1))
    # Whatever is spilled is reloaded, so that of the bytes of both half are reloads at least.
    shown = sum(crowded_reads_s(facts)) + noncompulsory_bytes / 2 / dma.read_bytes_per_s
    best = max(best, sum(facts.seconds) + shown - sum(hidden_reads_s(facts)))
    start = [0.0] * len(steps)
    for s in range(len(steps)):
        start[s] = max(
            (start[p] + facts.seconds[p] for p in problem.predecessors[s] if not steps[p].load),
            default=0.0,
        )
        if steps[s].load:
            continue
        start[s] = max(
            start[s], fetched[s], sum(facts.seconds[a] for a in _bits(problem.ancestors[s]))
        )
        later = list(_bits(problem.descendants[s]))
        compute = facts.seconds[s] + sum(facts.seconds[d] for d in later)
        out = stores[s] + sum(stores[d] for d in later)
        best = max(best, start[s] + compute + ends[s], start[s] + facts.seconds[s] + out)
    return best


def hidden_reads_s(facts: Facts) -> list[float]:
    """Return the seconds of reading that the run of each step can hide at most.

    What comes in meanwhile is not what the step reads, so that it lies on chip beside the step's
    working set until the step has ended: no more bytes come in than the memory has left.
    """
    problem, speed = facts.problem, facts.dma.read_bytes_per_s
    return [
        0.0 if s.load else min(facts.seconds[k], max(0, facts.capacity_bytes - need) / speed)
        for k, (s, need) in enumerate(zip(problem.steps, problem.working_set_bytes, strict=True))
    ]


def crowded_reads_s(facts: Facts) -> list[float]:
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


def tail_s(facts: Facts, among: int) -> float:
    """Return the least time that goes by after the last of some steps, all others being done.

    The last one has no successor among them; what it owes is stored after it.
    """
    problem = facts.problem
    return min(
        (
            sum(facts.store_s[t] for t in problem.steps[s].writes if t in facts.owed)
            for s in _bits(among)
            if not problem.steps[s].load and not problem.descendants[s] & among
        ),
        default=0.0,
    )


def _bits(mask: int) -> list[int]:
    bits: list[int] = []
    while mask:
        low = mask & -mask
        bits.append(low.bit_length() - 1)
        mask ^= low
    return bits
