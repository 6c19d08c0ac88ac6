"""Schedules: objectives, bounds and proofs, of seeded graphs and of networks.

Of two schedules with equal objective either is right, so that no order is held. All instances are
decided without a limit of time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, numbers, tried
from tests.schedule.latency.instances import instance
from tests.schedule.networks import branches, heads, nas, random_wiring
from tests.schedule.random_graphs import random_problem

METHODS = ("greedy", "beam", "ilp", "exact")

#: Steps of a graph up to which the slower methods are asked too.
SMALL = 10

#: Network -> capacities in KiB, settings of the schedule.
NETWORKS: tuple[tuple[str, tuple[int, ...], dict[str, Any]], ...] = (
    ("mlperf_tiny_ic", (24, 32, 40, 48), {}),
    ("mlperf_tiny_vww", (40, 54, 72), {}),
    ("mobilenet_v2", (1200, 1500, 2000), {}),
    ("resnet18", (600, 800, 1000), {}),
    ("efficientformer_l1", (512, 735, 832, 882), {"fuse": False}),
    ("squeezenet1_1", (800, 1000), {}),
    ("bert_base", (800, 1600), {"set": {"tokens": 64}}),
)


def outcome(found: Any) -> Iterator[tuple[str, Value]]:
    """Yield what a schedule is worth."""
    yield "feasible", found.feasible
    yield "proved", found.proved
    yield "lower_bound", found.lower_bound
    yield "working_set_bytes", found.working_set_bytes
    if not found.feasible:
        yield from numbers(found.infeasible.to_dict(), ("options", "levers", "seconds"), "why")
        return
    yield "cost_bytes", found.spill_bytes + found.reload_bytes
    yield "compulsory_bytes", found.compulsory_bytes
    yield "weight_bytes", found.weight_bytes


def seeded() -> Figures:
    """Yield least bytes and least peaks of graphs that a seed draws."""
    drawn = [
        (f"random_{seed}", random_problem(random.Random(seed), 6 + seed % 9)) for seed in range(24)
    ]
    drawn += [
        ("nas_2", nas(2)),
        ("nas_1_random", nas(1, random.Random(1))),
        ("heads_4", heads(4)),
        ("wiring", random_wiring(1, 8, random.Random(2))),
        ("branches", branches(4, 3, random.Random(3))),
    ]
    for name, problem in drawn:
        peak = internals.minimum_peak(problem)
        yield f"peak/{name}/peak_bytes", peak.value
        yield f"peak/{name}/proved", peak.proved
        least = problem.largest_working_set_bytes
        for share in (0.0, 0.4, 0.8):
            room = least + math.ceil(share * (peak.value - least))
            for method in METHODS if len(problem.steps) <= SMALL else ("greedy", "exact"):
                found = internals.fewest_bytes(problem, room, method)
                key = f"bytes/{name}/{share}/{method}"
                yield f"{key}/proved", found.proved
                if found.proved or method == "greedy":
                    yield f"{key}/cost_bytes", found.value


def further() -> Figures:
    """Yield recomputation, levels and transfers beside arithmetic of seeded graphs."""
    for seed in range(10):
        problem = random_problem(random.Random(100 + seed), 7)
        room = problem.largest_working_set_bytes
        again = [1 + (seed + i) % 4 for i in range(len(problem.steps))]
        found = internals.recompute(problem, room, again)
        if found is not None:
            yield f"recompute/{seed}/cost_bytes", found.cost_bytes
            yield f"recompute/{seed}/proved", found.proved
        levels = [
            internals.RetentionLevel("near", room, 1.0),
            internals.RetentionLevel("far", 2 * room, 3.0),
        ]
        plan = internals.over_levels(problem, levels)
        if plan is not None:
            yield f"levels/{seed}/cost", plan.cost
            yield f"levels/{seed}/bound", plan.bound
        timed, capacity, dma = instance(seed, 5)
        beside = internals.least_latency(timed, capacity, dma)
        yield f"latency/{seed}/proved", beside.proved
        if beside.proved:
            yield f"latency/{seed}/seconds", beside.value


def scheduled(name: str, **options: Any) -> Iterator[tuple[str, Value]]:
    """Yield what the schedule of a network is worth."""
    return outcome(pm.schedule(name, **options))


def networks() -> Figures:
    """Yield schedules of the library's networks."""
    for name, capacities, options in NETWORKS:
        for capacity in capacities:
            for method in ("greedy", "exact"):
                asked = partial(scheduled, name, capacity=1024 * capacity, method=method, **options)
                yield from tried(f"schedule/{name}/{capacity}_KiB/{method}", asked)
        peak = pm.schedule(name, capacity=2**40, objective="peak", **options)
        yield f"schedule/{name}/peak/bytes", peak.peak_bytes
        yield f"schedule/{name}/peak/proved", peak.proved


def figures() -> Figures:
    """Yield all of them."""
    yield from seeded()
    yield from further()
    yield from networks()
