"""Operators in tiles: the staircases' traffic, and problems that fit whatever the capacity."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel as pm
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.formats import as_precision
from perfmodel.schedule.greedy import belady, greedy
from perfmodel.schedule.problem_from_graph import ScheduledGraph, scheduling_problem
from perfmodel.schedule.script import replay
from perfmodel.schedule.tiling.streamed_tiles import streamed
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

NETWORKS = ["mobilenet_v2", "resnet50", "vit_b_16", "mlperf_tiny_ic", "mlperf_tiny_vww"]


def given(name: str) -> tuple[ScheduledGraph, dict[str, Any]]:
    workload = pm.workload(name)
    made = scheduling_problem(workload, as_precision("w8a8"), FusionRules())
    return made, dict(workload.parameters)


def made(graph: Graph, **options: Any) -> ScheduledGraph:
    class Build:
        def __call__(self, semantics: ExecutionSemantics) -> Graph:
            return graph

    return scheduling_problem(
        Workload(graph.name, Build(), {}), as_precision("w8a8"), FusionRules(), **options
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_fits_at_any_capacity_and_the_schedule_runs(name: str) -> None:
    problem, values = given(name)
    least = problem.problem.largest_working_set_bytes
    for capacity in (8 * 1024, 64 * 1024, 256 * 1024, least - 1, least):
        found = streamed(problem, values, capacity)
        assert found is not None
        assert found.problem.largest_working_set_bytes <= capacity
        script = belady(found.problem, range(len(found.problem.steps)), capacity)
        assert script is not None
        assert replay(found.problem, script, capacity).peak_bytes <= capacity
        kept = [s for s in found.step if s >= 0]
        assert sorted(kept) == list(range(len(problem.problem.steps)))
        # What comes before what is as it was.
        place = {s: i for i, s in enumerate(found.step) if s >= 0}
        for s, before in enumerate(problem.problem.predecessors):
            for p in before:
                assert found.problem.ancestors[place[s]] >> place[p] & 1
    assert found.problem == problem.problem
    assert found.extra_bytes == 0


@pytest.mark.parametrize(
    ("name", "kib"), [("mobilenet_v2", 14), ("resnet50", 16), ("mlperf_tiny_ic", 2)]
)
def test_all_in_tiles_is_the_tiled_traffic_of_the_network(name: str, kib: int) -> None:
    """Another part of the package sums the same staircases over the rows of a table."""
    problem, values = given(name)
    found = streamed(problem, values, kib * 1024)
    assert found is not None
    whole = [s for s, step in enumerate(problem.problem.steps) if not step.load]
    assert len(found.tilings) >= len(whole) - 2  # all but the classifier and its softmax
    total = found.extra_bytes + problem.problem.compulsory_bytes + problem.weight_bytes
    table = pm.traffic(name, kib * 1024, precision="w8a8")
    assert total == pytest.approx(float(table["traffic_bytes"][0]), rel=1e-4)
    assert greedy(found.problem, kib * 1024).value == 0


def test_one_product_crosses_as_its_staircase_says() -> None:
    g = GraphBuilder("one")
    x = g.input("x", (64, 96))
    g.output(g.linear(x, 128, bias=False))
    problem = made(g.build())
    nest = TileNest(out_rows=64, out_channels=128, in_channels=96)
    stairs = staircase(nest, Widths(1, 1, 1, 4))
    for capacity in (512, 2048, 8192):
        found = streamed(problem, {}, capacity)
        assert found is not None
        once = 64 * 96 + 96 * 128 + 64 * 128
        assert found.extra_bytes == stairs(capacity) - once
    assert streamed(problem, {}, 4) is None


def test_rows_of_a_norm_stream_once() -> None:
    """The norm does not fit: its input is stored and read, its output written and loaded."""
    g = GraphBuilder("norm")
    x = g.input("x", (40, 10))
    a = g.elementwise("relu", x)
    b = g.norm(a, "layer_norm", affine=0)
    g.output(g.reduce(g.elementwise("add", b, a), (1, 10)))
    problem = made(g.build(), unfused=True, in_place=False)
    assert problem.problem.largest_working_set_bytes == 1200
    found = streamed(problem, {}, 1199)
    assert found is not None
    assert {problem.problem.steps[s].name for s in found.tilings} == {"add"}
    (tiling,) = found.tilings.values()
    assert tiling.scratch_bytes == 3 * 10
    # a and b are stored and read; their sum is written and loaded.
    assert found.extra_bytes == 2 * 800 + 2 * 400


def test_a_chain_moves_less_in_a_larger_memory() -> None:
    problem, values = given("vgg16")
    moved: list[int] = []
    for kib in (16, 64, 256, 1024, 4096, 16384):
        found = streamed(problem, values, kib * 1024)
        assert found is not None
        moved.append(found.extra_bytes + greedy(found.problem, kib * 1024).value)
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 0
