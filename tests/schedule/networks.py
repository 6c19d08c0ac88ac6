"""Generated networks of the shapes that neural architecture search and random wiring give."""

from __future__ import annotations

import random
from collections.abc import Sequence

from perfmodel.schedule.problem import Buffer, Problem, Step


class Wiring:
    """Operators with one output each, added one by one."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, ...]] = []
        self.sizes: list[int] = []
        self.over: list[int] = []

    def add(self, reads: Sequence[int], size: int, over: int = -1) -> int:
        self.reads.append(tuple(dict.fromkeys(reads)))
        self.sizes.append(size)
        self.over.append(over)
        return len(self.sizes) - 1

    def problem(self, name: str) -> Problem:
        readers = [0] * len(self.sizes)
        for reads in self.reads:
            for t in reads:
                readers[t] += 1
        steps = tuple(
            Step(
                f"op{i}", reads, (i,), over if over >= 0 and readers[over] == 1 else -1, load=not i
            )
            for i, (reads, over) in enumerate(zip(self.reads, self.over, strict=True))
        )
        buffers = tuple(Buffer(f"t{i}", size) for i, size in enumerate(self.sizes))
        return Problem(name, steps, buffers)


def nas(cells: int, rng: random.Random | None = None) -> Problem:
    """NASNet-A's normal cell in a row: two earlier cells in, five additions concatenated.

    With a generator of random numbers the sizes are random, else each separable convolution (two
    operators) leaves 64 and the concatenation six times as much.
    """
    net = Wiring()

    def size() -> int:
        return rng.randint(8, 64) if rng else 64

    image = net.add([], 147)
    before = last = net.add([image], 192)
    for _ in range(cells):
        h0, h1 = net.add([before], size()), net.add([last], size())

        def sep(source: int) -> int:
            return net.add([net.add([source], size())], size())

        sums: list[int] = []
        for left, right in ((h1, h1), (h0, h1), (h1, h0), (h0, h0), (h0, h0)):
            a = sep(left)
            b = sep(right) if len(sums) < 2 else right
            c = net.add([a, b], net.sizes[a], over=a)
            sums.append(c)
        whole = net.add([h0, *sums], sum(net.sizes[s] for s in (h0, *sums)) // 2)
        before, last = last, whole
    return net.problem(f"nas {cells}")


def random_wiring(stages: int, nodes: int, rng: random.Random, size: int = 64) -> Problem:
    """Stages of Watts-Strogatz rings of degree 4, rewired with probability 0.75 (RandWire)."""
    net = Wiring()
    last = net.add([], size)
    for _ in range(stages):
        edges: set[tuple[int, int]] = set()
        for i in range(nodes):
            for j in (1, 2):
                other = (i + j) % nodes
                if rng.random() < 0.75:
                    free = [
                        t for t in range(nodes) if t != i and (min(i, t), max(i, t)) not in edges
                    ]
                    other = rng.choice(free)
                edges.add((min(i, other), max(i, other)))
        base = len(net.sizes)
        for i in range(nodes):
            net.add(sorted(base + a for a, b in edges if b == i) or [last], size)
        ends = [base + i for i in range(nodes) if all(a != i for a, _ in edges)]
        last = net.add(ends, size)
    return net.problem(f"random wiring {stages} x {nodes}")


def branches(width: int, longest: int, rng: random.Random) -> Problem:
    """A fork into chains of unlike sizes and a join: series-parallel and wide."""
    net = Wiring()
    fork = net.add([], rng.randint(50, 100))
    ends: list[int] = []
    for _ in range(width):
        at = fork
        for _ in range(rng.randint(1, longest)):
            at = net.add([at], rng.randint(1, 100))
        ends.append(at)
    net.add(ends, rng.randint(1, 100))
    return net.problem(f"{width} branches")


def heads(count: int) -> Problem:
    """Attention with its heads apart, their projections accumulated."""
    net = Wiring()
    x = net.add([], 384)
    y = net.add([x], 384)
    total = -1
    for _ in range(count):
        q, k, v = (net.add([y], 48) for _ in range(3))
        scores = net.add([q, k], 256)
        weights = net.add([scores], 256, over=scores)
        values = net.add([weights, v], 48)
        reads = [values] if total < 0 else [values, total]
        total = net.add(reads, 384, over=total)
    net.add([total, x], 384, over=total)
    return net.problem(f"{count} heads")
