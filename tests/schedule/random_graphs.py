"""Random scheduling problems and graphs, small enough for brute force or not."""

from __future__ import annotations

import random

from perfmodel.schedule.infeasible.problem_changes import in_place, in_place_source
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.workload import Workload


def random_problem(
    rng: random.Random, n: int, *, outputs: int = 2, scratch: bool = True
) -> Problem:
    """A random DAG: several network inputs and outputs, tensors with many readers, outputs that
    take over an input's place, free stores, workspace, tensors without bytes."""
    steps: list[tuple[list[int], list[int], int]] = []
    sizes: list[int] = []
    stored: list[bool] = []
    width = rng.choice([2, 4, n])
    for i in range(n):
        load = i == 0 or (i < 3 and rng.random() < 0.3)
        known = list(range(len(sizes)))
        recent = known[-width:]
        reads = [] if load else rng.sample(recent, min(len(recent), rng.randint(1, 3)))
        made = 1 if load else rng.choice([1] * 4 + [outputs])
        writes: list[int] = []
        for _ in range(made):
            writes.append(len(sizes))
            sizes.append(rng.choice([0, *range(1, 9)]) if rng.random() < 0.1 else rng.randint(1, 8))
            stored.append(load or rng.random() < 0.1)
        space = rng.randint(1, 4) if scratch and not load and rng.random() < 0.15 else 0
        steps.append((reads, writes, space))
    readers = [0] * len(sizes)
    for reads, _, _ in steps:
        for t in reads:
            readers[t] += 1
    made_steps: list[Step] = []
    for i, (reads, writes, space) in enumerate(steps):
        over = -1
        alone = [t for t in reads if readers[t] == 1 and not stored[t]]
        if alone and rng.random() < 0.4:
            over = rng.choice(alone)
            sizes[writes[0]] = sizes[over]
        made_steps.append(Step(f"s{i}", tuple(reads), tuple(writes), over, space, load=not reads))
    # What nothing reads leaves the network.
    buffers = [Buffer(f"t{t}", size, stored[t] or not readers[t]) for t, size in enumerate(sizes)]
    return Problem(f"random {n}", tuple(made_steps), tuple(buffers))


def random_sums(rng: random.Random, steps: int) -> Problem:
    """One output a step, of few sizes so that many could take over an input; a third of them do."""
    buffers: list[Buffer] = [Buffer("t0", 8, True)]
    made = [Step("s0", (), (0,), load=True)]
    for i in range(1, steps):
        reads = tuple(sorted(rng.sample(range(i), min(i, rng.choice((1, 1, 2, 3))))))
        buffers.append(Buffer(f"t{i}", rng.choice((2, 4, 4, 8)), rng.random() < 0.1))
        made.append(Step(f"s{i}", reads, (i,), scratch_bytes=rng.choice((0, 0, 3))))
    problem = Problem("random", tuple(made), tuple(buffers))
    able = [s for s in range(1, steps) if in_place_source(problem, s) >= 0]
    return in_place(problem, [s for s in able if rng.random() < 0.3])


class _Given:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        return self.graph


def random_workload(rng: random.Random, n: int) -> Workload:
    """A random graph of operators with sizes in bytes, views and in-place outputs among them."""
    g = GraphBuilder(f"random {n}")
    made: list[Tensor] = []
    read: set[str] = set()
    for i in range(n):
        size = rng.randint(1, 40)
        if i == 0 or (i < 3 and rng.random() < 0.3):
            made.append(g.input(f"in{i}", (size,)))
            continue
        sources = rng.sample(made[-4:], min(len(made), rng.randint(1, 3), 4))
        read.update(s.name for s in sources)
        over = sources[0] if rng.random() < 0.4 else None
        shape = sources[0].shape if over is not None else (size,)
        y = g.tensor(f"op{i}.out", shape)
        g.operator(
            f"op{i}", "elementwise" if over is not None else "copy", sources, [y], inplace=over
        )
        if rng.random() < 0.15:
            y = g.view(y, (*shape, 1), name=f"view{i}")
        made.append(y)
    g.outputs += [t.name for t in made if t.name not in read and not t.name.startswith("in")]
    return Workload(g.name, _Given(g.build()), {})
