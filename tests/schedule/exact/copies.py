"""Random problems with interchangeable branches, in one another, to one or to several readers."""

from __future__ import annotations

import random

from perfmodel.schedule.problem import Buffer, Problem, Step


def problem_with_copies(rng: random.Random, *, most: int = 9) -> Problem:
    """Copies of small trees over shared inputs; one, several or chained steps read them."""
    steps: list[Step] = [Step("load", (), (0,), load=True)]
    buffers: list[Buffer] = [Buffer("input", rng.randint(1, 8), stored=True)]

    def add(reads: tuple[int, ...], size: int, stored: bool, over: bool, scratch: int) -> int:
        t = len(buffers)
        buffers.append(Buffer(f"t{t}", size, stored))
        alone = next((r for r in reads if buffers[r].size_bytes == size), -1) if over else -1
        steps.append(Step(f"s{len(steps)}", reads, (t,), alone, scratch))
        return t

    shared = [0]
    if rng.random() < 0.6:
        shared.append(add((0,), rng.randint(1, 8), False, False, 0))
    # One branch: a chain with a leaf or two beside it, drawn once and built several times.
    leaves = rng.randint(1, 2)
    leaf = (rng.choice(shared), rng.randint(1, 6), rng.random() < 0.15, rng.choice([0, 0, 0, 2]))
    twins = rng.random() < 0.5
    other = leaf if twins else (rng.choice(shared), rng.randint(1, 6), False, 0)
    joint = (rng.randint(1, 8), rng.random() < 0.15, rng.random() < 0.5)
    tail = (rng.randint(1, 6), rng.random() < 0.7) if rng.random() < 0.4 else None
    each = leaves + (1 if leaves == 2 else 0) + (1 if tail else 0)
    ends: list[int] = []
    for _ in range(max(2, min(4, (most - len(steps) - 1) // each))):
        parts = [
            add((source,), size, stored, False, scratch)
            for source, size, stored, scratch in (leaf, other)[:leaves]
        ]
        end = parts[0]
        if leaves == 2:
            end = add(tuple(parts), joint[0], joint[1], joint[2], 0)
        if tail:
            end = add((end,), buffers[end].size_bytes if tail[1] else tail[0], False, tail[1], 0)
        ends.append(end)
    form = rng.choice(["one", "chain", "apart", "pairs"])
    size = rng.randint(1, 8)
    if form == "one":
        add(tuple(ends), size, False, False, 0)
    elif form == "chain":
        total = add((ends[0],), size, False, False, 0)
        for end in ends[1:]:
            reads = (end, total) if rng.random() < 0.8 else (end, total, shared[-1])
            # Not every network adds in place.
            total = add(reads, size, False, rng.random() < 0.7, 0)
    else:
        width = 1 if form == "apart" else 2
        made = [
            add(tuple(ends[i : i + width]), rng.randint(1, 8), False, False, rng.choice([0, 1]))
            for i in range(0, len(ends), width)
        ]
        if rng.random() < 0.5:
            add((*made, shared[-1]), size, True, False, 0)
    readers = [sum(t in s.reads for s in steps) for t in range(len(buffers))]
    steps = [
        s
        if s.takes_over < 0 or readers[s.takes_over] == 1
        else Step(s.name, s.reads, s.writes, -1, s.scratch_bytes)
        for s in steps
    ]
    return Problem("copies", tuple(steps), tuple(buffers))
