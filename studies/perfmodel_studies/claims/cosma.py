"""COSMA's setting: spills of whole networks, of our schedules and of its four baselines.

8-bit activations, weights not modelled, one tensor one buffer: batch normalisation is folded where
a convolution is before it, an activation function runs with the convolution, matrix product or sum
whose output it alone reads, every other operator is a step with an output of its own (none in
place).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import mean
from typing import Literal, NamedTuple

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import pack_blocks
from perfmodel.schedule.greedy import belady
from perfmodel.schedule.peak import Certified, minimum_peak
from perfmodel.schedule.portfolio import Method, fewest_bytes
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.problem_from_graph import scheduling_problem
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.run import schedule
from perfmodel.schedule.script import Script, replay
from perfmodel.workload import FusionRules, Graph, Operator

from perfmodel_studies.baselines import (
    ORDERS,
    REPLACEMENTS,
    Baseline,
    Order,
    Replacement,
    arena_height,
    baseline,
)
from perfmodel_studies.tables import table

__all__ = [
    "MEMORIES",
    "NETWORKS",
    "CosmaComparison",
    "Memories",
    "baselines",
    "compare",
    "memories",
    "network",
    "predicted",
    "problem",
    "solve",
]

#: Networks that people drew, and networks that a search found.
Kind = Literal["designed", "searched"]

#: Capacities: the largest working set, halfway, and the least peak of any order.
Memory = Literal["M_R", "M_H", "M_P"]
MEMORIES: tuple[Memory, ...] = ("M_R", "M_H", "M_P")


class CosmaNetwork(NamedTuple):
    """A network of the comparison: settings of the library's workload, and its kind."""

    settings: Mapping[str, int | str | bool]
    kind: Kind = "designed"


#: Operators that a normalisation or an activation function runs with.
_HOSTS = frozenset({"conv", "depthwise", "gemm", "elementwise"})
#: Networks whose sizes a reimplementation states.
_SIZED = ("resnet50", "resnext50_32x4d", "fcn_resnet50", "densenet121", "s3d")
_IMAGE = {"height": 224, "width": 224}
_FOLDED: dict[str, int | str | bool] = {"batch_norm": "folded"}
#: Name in the library -> setting. Images are 224 x 224 and clips 16 frames of it, as COSMA has
#: them; Inception-v3 takes 299 x 299. Auxiliary classifiers do not run.
NETWORKS: dict[str, CosmaNetwork] = {
    name: CosmaNetwork(**row) for name, row in table("cosma_networks").items()
}


@dataclass(frozen=True)
class Memories:
    """Capacities at which a network is compared, in bytes; `peak` has the order of the last."""

    required_bytes: int
    peak: Certified[tuple[int, ...]]

    def of(self, memory: Memory) -> int:
        """Return one of them."""
        if memory == "M_H":
            return (self.required_bytes + int(self.peak.value)) // 2
        return self.required_bytes if memory == "M_R" else int(self.peak.value)


@dataclass(frozen=True)
class CosmaComparison:
    """One network at one capacity.

    Attributes
    ----------
    cost_bytes
        Bytes that our schedule spills and reloads.
    bound_bytes
        No schedule moves fewer.
    packed
        Whether every buffer of our schedule has an address.
    baselines
        (order, replacement) -> bytes, with the arena.
    without_addresses
        The same where bytes alone count, which no allocator is below.
    planned
        Whether TensorFlow Lite's planner, which knows all of that schedule beforehand, fits it in.
    """

    network: str
    memory: Memory
    capacity_bytes: int
    cost_bytes: int
    bound_bytes: int
    proved: bool
    packed: bool
    baselines: Mapping[tuple[Order, Replacement], int]
    without_addresses: Mapping[tuple[Order, Replacement], int]
    planned: Mapping[tuple[Order, Replacement], bool]

    def reductions(self, *, addresses: bool = True) -> dict[tuple[Order, Replacement], float]:
        """Return what our schedule saves of each baseline's bytes, 0 to 1, of those above none."""
        them = self.baselines if addresses else self.without_addresses
        return {key: 1.0 - self.cost_bytes / cost for key, cost in them.items() if cost}


def network(name: str) -> pm.Workload:
    """Return a network as it is compared."""
    workload = pm.workload(name, **dict(NETWORKS[name].settings))
    graph = _apart(workload.graph())
    return pm.Workload(workload.name, lambda _: graph, workload.parameters)


def _apart(graph: Graph) -> Graph:
    """Return the graph with the elementwise operators that run by themselves marked as such.

    Those are sums and products of several activations, and whatever follows no convolution, matrix
    product or such a sum: a normalisation after a concatenation, say.
    """
    maker = {name: op.kind for _, op in graph.walk() for name in op.writes}

    def kind(op: Operator) -> str:
        read = [n for n in op.reads if graph.tensors[n].role == "activation"]
        rides = len(read) == 1 and maker.get(read[0]) in _HOSTS
        return "join" if op.kind == "elementwise" and not rides else op.kind

    blocks = tuple(
        replace(block, operators=tuple(replace(op, kind=kind(op)) for op in block.operators))
        for block in graph.blocks
    )
    return replace(graph, blocks=blocks)


@lru_cache(maxsize=32)
def problem(name: str) -> Problem:
    """Return the scheduling problem of a network."""
    return scheduling_problem(
        network(name), as_precision("int8"), FusionRules(), in_place=False
    ).problem


@lru_cache(maxsize=32)
def memories(name: str, time_limit_s: float | None = None) -> Memories:
    """Return the capacities of a network: M_R by arithmetic, M_P exactly."""
    p = problem(name)
    return Memories(p.largest_working_set_bytes, minimum_peak(p, Deadline(time_limit_s)))


def solve(
    name: str, memory: Memory, *, method: Method = "exact", time_limit_s: float | None = 60.0
) -> Schedule:
    """Schedule a network at a capacity, with addresses.

    Parameters
    ----------
    method, time_limit_s
        As `perfmodel.schedule.run.schedule` takes them.
    """
    return schedule(
        network(name),
        capacity=memories(name).of(memory),
        method=method,
        in_place=False,
        time_limit_s=time_limit_s,
    )


def compare(name: str, memory: Memory, schedule: Schedule | None = None) -> CosmaComparison:
    """Return a schedule (by default that of `solve`) beside the four baselines."""
    schedule = solve(name, memory) if schedule is None else schedule
    capacity, p = memories(name).of(memory), problem(name)
    without_cosma = baselines(name, memory, addresses=False)
    return CosmaComparison(
        name,
        memory,
        capacity,
        schedule.trace.cost_bytes,
        schedule.lower_bound_bytes,
        schedule.proved,
        schedule.layout is not None and schedule.layout.packed,
        {key: b.cost_bytes for key, b in baselines(name, memory).items()},
        {key: b.cost_bytes for key, b in without_cosma.items()},
        {key: arena_height(p, _script(b)) <= capacity for key, b in without_cosma.items()},
    )


def _script(baseline: Baseline) -> Script:
    assert baseline.outcome.solution is not None, "a baseline always has one"
    return baseline.outcome.solution


def baselines(
    name: str, memory: Memory, *, addresses: bool = True
) -> dict[tuple[Order, Replacement], Baseline]:
    """Return the four baselines of a network at a capacity, by order and replacement."""
    sizes = memories(name)
    orders: dict[Order, Order | tuple[int, ...]] = {
        "natural": "natural",
        "minimum-peak": sizes.peak.solution or (),
    }
    return {
        (order, replacement): baseline(
            problem(name), sizes.of(memory), orders[order], replacement, addresses=addresses
        )
        for order in ORDERS
        for replacement in REPLACEMENTS
    }


def predicted() -> dict[str, float]:
    """Return claim -> number; sizes of fp32 graphs are four times those of 8 bits."""
    kib = {name: memories(name).required_bytes / 1024 for name in _SIZED}
    peaks = {name: memories(name).peak.value / 1024 for name in _SIZED}
    video = pm.workload("r2plus1d_18", **dict(NETWORKS["r2plus1d_18"].settings))
    apart = scheduling_problem(
        video, as_precision("int8"), FusionRules(), unfused=True, in_place=False
    ).problem
    spilled = fewest_bytes(apart, apart.largest_working_set_bytes)
    return {
        "saved_designed_percent": _saved("designed"),
        "saved_searched_percent": _saved("searched"),
        "spilling_at_peak": float(sum(_plain(name, "M_P") > 0 for name in NETWORKS)),
        "resnet50_required_kib": kib["resnet50"],
        "resnext50_required_kib": 4 * kib["resnext50_32x4d"],
        "fcn_required_kib": 4 * kib["fcn_resnet50"],
        "fcn_peak_kib": 4 * peaks["fcn_resnet50"],
        "densenet121_required_kib": kib["densenet121"],
        "densenet121_peak_kib": peaks["densenet121"],
        "r2plus1d_18_required_kib": 4 * apart.largest_working_set_bytes / 1024,
        "r2plus1d_18_peak_kib": 4 * minimum_peak(apart).value / 1024,
        "r2plus1d_18_spilled_mb": 4e-6 * spilled.value,
        "s3d_required_kib": 4 * kib["s3d"],
    }


def _saved(kind: Kind) -> float:
    """Return the percentage of the baselines' bytes saved at M_R: mean over them and networks."""
    shares: list[float] = []
    for name, entry in NETWORKS.items():
        if entry.kind == kind and name != "inception_v3":  # the paper's ten
            cost = _plain(name, "M_R")
            them = [b.cost_bytes for b in baselines(name, "M_R").values() if b.cost_bytes]
            shares.append(100.0 * mean(1.0 - cost / b for b in them))
    return mean(shares)


def _plain(name: str, memory: Memory) -> int:
    """Return bytes of the order of least peak under Belady's rule, once its blocks are packed.

    Quick, the same on every machine, and what the exact method has on all but three of the networks
    (`benchmarks/cosma.py`). Where the blocks do not pack, the arena's bytes.
    """
    p, sizes = problem(name), memories(name)
    capacity = sizes.of(memory)
    script = belady(p, sizes.peak.solution or (), capacity)
    assert script is not None, "a largest working set fits"
    trace = replay(p, script, capacity)
    if pack_blocks(p, script, trace, capacity, Deadline(30.0)).packed:
        return trace.cost_bytes
    return baselines(name, memory)["minimum-peak", "belady"].cost_bytes
