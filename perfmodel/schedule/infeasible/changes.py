"""Other problems made of one: steps fused, outputs in place, tensors narrowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perfmodel.schedule.problem import Buffer, Problem, Step


def sums(problem: Problem) -> frozenset[int]:
    """Return the steps that look like sums: two or more inputs, all of the size of the output.

    A problem does not know what its steps compute; whoever does names the pointwise ones.
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
    """Return the pairs of a step and a pointwise one that alone reads all that it writes."""
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


def apart(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs of which no earlier one has a step; what they share waits for a next time.

    So pair after pair gives what all of them at once give.
    """
    taken: set[int] = set()
    chosen: list[tuple[int, int]] = []
    for pair in pairs:
        if taken.isdisjoint(pair):
            chosen.append(pair)
        taken.update(pair)
    return chosen


def fused(problem: Problem, *pairs: tuple[int, int]) -> Problem:
    """Return the problem with steps run inside the only readers of their outputs.

    Parameters
    ----------
    *pairs
        A step and its reader; no step is in two of them.

    Raises
    ------
    ValueError
        Something else reads what a step makes.
    """
    inside: dict[int, Step] = {}
    gone: set[int] = set()
    for first, second in pairs:
        one, two = problem.steps[first], problem.steps[second]
        (between,) = one.writes
        if problem.readers[between] != (second,):
            raise ValueError(f"'{two.name}' is not the only reader of '{one.name}'")
        gone.add(between)
        inside[second] = replace(
            two,
            name=f"{one.name}+{two.name}",
            reads=tuple(dict.fromkeys(t for t in (*one.reads, *two.reads) if t != between)),
            takes_over=one.takes_over if two.takes_over == between else two.takes_over,
            scratch_bytes=one.scratch_bytes + two.scratch_bytes,
            seconds=one.seconds + two.seconds,
            stream_bytes=one.stream_bytes + two.stream_bytes,
        )
    firsts = {first for first, _ in pairs}
    kept = [t for t in range(len(problem.buffers)) if t not in gone]
    to = {t: i for i, t in enumerate(kept)}
    steps = (inside.get(s, step) for s, step in enumerate(problem.steps) if s not in firsts)
    return Problem(
        problem.name,
        tuple(_renamed(step, to) for step in steps),
        tuple(problem.buffers[t] for t in kept),
    )


def _renamed(step: Step, to: dict[int, int]) -> Step:
    return replace(
        step,
        reads=tuple(to[t] for t in step.reads),
        writes=tuple(to[t] for t in step.writes),
        takes_over=to[step.takes_over] if step.takes_over >= 0 else -1,
    )


def in_place_source(problem: Problem, s: int) -> int:
    """Return a buffer that the output of a pointwise step could be written over, or -1."""
    step = problem.steps[s]
    if step.takes_over >= 0 or not step.writes:
        return -1
    wanted = problem.buffers[step.writes[0]].size_bytes
    return next(
        (
            t
            for t in step.reads
            if problem.readers[t] == (s,) and problem.buffers[t].size_bytes == wanted
        ),
        -1,
    )


def in_place(problem: Problem, steps: Iterable[int]) -> Problem:
    """Return the problem with the first output of some steps written over an input."""
    made = list(problem.steps)
    for s in steps:
        source = in_place_source(problem, s)
        if source < 0:
            raise ValueError(f"'{made[s].name}' has no input to write over")
        made[s] = replace(made[s], takes_over=source)
    return replace(problem, steps=tuple(made))


def narrowed(problem: Problem, divisor: int = 2) -> Problem:
    """Return the problem with every buffer so many times smaller, rounded up to bytes."""
    buffers = (Buffer(b.name, -(-b.size_bytes // divisor), b.stored) for b in problem.buffers)
    return replace(problem, buffers=tuple(buffers))


def without_scratch(problem: Problem, steps: Iterable[int]) -> Problem:
    """Return the problem with nothing on chip beside the buffers while some steps run."""
    gone = set(steps)
    made = (
        replace(step, scratch_bytes=0) if s in gone else step
        for s, step in enumerate(problem.steps)
    )
    return replace(problem, steps=tuple(made))
