"""Transformations of a scheduling problem: fused steps, in-place outputs, narrower tensors.

Each returns a new `Problem` in which the working set of some steps is smaller. `levers` applies
them to say what would make an infeasible schedule feasible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perfmodel.schedule.problem import Buffer, Problem, Step


def sum_steps(problem: Problem) -> frozenset[int]:
    """Return the steps that look like sums: two or more inputs, all of the size of the output.

    A problem does not record the operations of its steps; a caller that knows them passes the
    pointwise ones explicitly.
    """
    sizes = [b.size_bytes for b in problem.buffers]
    return frozenset(
        s
        for s, step in enumerate(problem.steps)
        if len(step.reads) > 1
        and len(step.writes) == 1
        and {sizes[t] for t in step.reads} == {sizes[step.writes[0]]}
    )


def fusable(problem: Problem, pointwise: frozenset[int]) -> list[tuple[int, int]]:
    """Return pairs of a step and a pointwise step that is the only reader of its outputs."""
    pairs: list[tuple[int, int]] = []
    for s, step in enumerate(problem.steps):
        if step.load or not step.reads or len(step.writes) != 1:
            continue
        t = step.writes[0]
        if len(problem.readers[t]) == 1 and not problem.buffers[t].stored:
            reader = problem.readers[t][0]
            if reader in pointwise:
                pairs.append((s, reader))
    return pairs


def disjoint_pairs(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs that share no step with an earlier pair; the others are left for later.

    Applying disjoint pairs one after the other or all at once is then equivalent.
    """
    used: set[int] = set()
    disjoint: list[tuple[int, int]] = []
    for pair in pairs:
        if used.isdisjoint(pair):
            disjoint.append(pair)
        used.update(pair)
    return disjoint


def fused(problem: Problem, *pairs: tuple[int, int]) -> Problem:
    """Return the problem with steps fused into the only readers of their outputs.

    Parameters
    ----------
    *pairs
        A step and its reader; no step is in two pairs.

    Raises
    ------
    ValueError
        Another step reads an output of the first step.
    """
    fused_steps: dict[int, Step] = {}
    dropped: set[int] = set()
    for first, second in pairs:
        one, two = problem.steps[first], problem.steps[second]
        (between,) = one.writes
        if problem.readers[between] != (second,):
            raise ValueError(f"'{two.name}' is not the only reader of '{one.name}'")
        dropped.add(between)
        fused_steps[second] = replace(
            two,
            name=f"{one.name}+{two.name}",
            reads=tuple(dict.fromkeys(t for t in (*one.reads, *two.reads) if t != between)),
            takes_over=one.takes_over if two.takes_over == between else two.takes_over,
            scratch_bytes=one.scratch_bytes + two.scratch_bytes,
            seconds=one.seconds + two.seconds,
            stream_bytes=one.stream_bytes + two.stream_bytes,
        )
    firsts = {first for first, _ in pairs}
    buffers = [t for t in range(len(problem.buffers)) if t not in dropped]
    new_index = {t: i for i, t in enumerate(buffers)}
    steps = (fused_steps.get(s, step) for s, step in enumerate(problem.steps) if s not in firsts)
    return Problem(
        problem.name,
        tuple(_reindexed(step, new_index) for step in steps),
        tuple(problem.buffers[t] for t in buffers),
    )


def _reindexed(step: Step, new_index: dict[int, int]) -> Step:
    """Return the step with new indices of its buffers."""
    return replace(
        step,
        reads=tuple(new_index[t] for t in step.reads),
        writes=tuple(new_index[t] for t in step.writes),
        takes_over=new_index[step.takes_over] if step.takes_over >= 0 else -1,
    )


def in_place_source(problem: Problem, s: int) -> int:
    """Return a buffer that the output of a pointwise step could overwrite, or -1."""
    step = problem.steps[s]
    if step.takes_over >= 0 or not step.writes:
        return -1
    size_bytes = problem.buffers[step.writes[0]].size_bytes
    return next(
        (
            t
            for t in step.reads
            if problem.readers[t] == (s,) and problem.buffers[t].size_bytes == size_bytes
        ),
        -1,
    )


def in_place(problem: Problem, steps: Iterable[int]) -> Problem:
    """Return the problem with the first output of some steps written over an input."""
    changed = list(problem.steps)
    for s in steps:
        source = in_place_source(problem, s)
        if source < 0:
            raise ValueError(f"'{changed[s].name}' has no input to write over")
        changed[s] = replace(changed[s], takes_over=source)
    return replace(problem, steps=tuple(changed))


def narrowed(problem: Problem, divisor: int = 2) -> Problem:
    """Return the problem with every buffer smaller by a divisor, rounded up to bytes."""
    buffers = (Buffer(b.name, -(-b.size_bytes // divisor), b.stored) for b in problem.buffers)
    return replace(problem, buffers=tuple(buffers))


def without_scratch(problem: Problem, steps: Iterable[int]) -> Problem:
    """Return the problem without scratch memory for some steps."""
    streamed = set(steps)
    changed = (
        replace(step, scratch_bytes=0) if s in streamed else step
        for s, step in enumerate(problem.steps)
    )
    return replace(problem, steps=tuple(changed))
