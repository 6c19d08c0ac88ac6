"""What no timing can beat: the engine, the channels, and what must come before and after a step."""

from __future__ import annotations

from perfmodel.schedule.latency.simulate import Facts

__all__ = ["lower_bound", "tail_s"]


def lower_bound(facts: Facts, noncompulsory_bytes: int = 0) -> float:
    """Return seconds that every plan takes at least.

    Parameters
    ----------
    facts
        The problem with its durations; the capacity plays no part.
    noncompulsory_bytes
        Bytes that every plan spills and reloads at least (a bound of the byte objective).

    Returns
    -------
    float
        The largest of: all compute, after the least that must come in before the first step and
        before the least that must go out after the last; all compulsory transfers of a channel,
        the spilled and reloaded bytes added at the higher speed; and for each step what must come
        in before it (or run before it), then it and all that follow it, then the last store; or
        the stores of all that comes after it.
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
