"""Scripts, their replay, plans and blocks; and every method's plan run byte by byte."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.schedule.greedy import belady, greedy, orders
from perfmodel.schedule.memory_blocks import memory_blocks
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.problem_from_graph import scheduling_problem
from perfmodel.schedule.schedule_plan import MemoryNames, to_plan
from perfmodel.schedule.script import Script, replay
from perfmodel.workload.fuse import FusionRules
from tests.draws import draws, of_draws
from tests.schedule.random_graphs import random_problem, random_workload
from tests.schedule.simulator import run

CHAIN = Problem(
    "chain",
    (
        Step("load", (), (0,), load=True),
        Step("a", (0,), (1,)),
        Step("b", (1,), (2,)),
        Step("add", (2, 0), (3,), takes_over=2),
    ),
    (Buffer("x", 4, stored=True), Buffer("y", 6), Buffer("z", 4), Buffer("w", 4, stored=True)),
)


def test_a_chain_with_a_skip_by_hand() -> None:
    assert CHAIN.working_set_bytes == (4, 10, 10, 8)
    assert CHAIN.largest_working_set_bytes == 10
    assert CHAIN.compulsory_bytes == 8
    kept = replay(CHAIN, Script((0, 1, 2, 3), ((), (), (), ())))
    assert (kept.spill_bytes, kept.reload_bytes, kept.peak_bytes) == (0, 0, 14)
    assert kept.held_bytes == (4, 10, 14, 8)
    # x has its copy outside: evicting it costs the reload alone.
    out = replay(CHAIN, Script((0, 1, 2, 3), ((), (), (0,), ())), 10)
    assert (out.spill_bytes, out.reload_bytes, out.peak_bytes) == (0, 4, 10)
    assert belady(CHAIN, (0, 1, 2, 3), 10) == Script((0, 1, 2, 3), ((), (), (0,), ()))
    assert greedy(CHAIN, 9).solution is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script((1, 0, 2, 3), ((), (), (), ())), "each after its predecessors"),
        (Script((0, 1, 2), ((), (), ())), "each after its predecessors"),
        (Script((0, 1, 2, 3), ((), (), ())), "a tuple of evictions for each step"),
        (Script((0, 1, 2, 3), ((), (), (3,), ())), "not resident"),
        (Script((0, 1, 2, 3), ((), (), (), ())), "'b' needs 14 bytes of 10"),
    ],
)
def test_scripts_that_do_not_run(script: Script, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replay(CHAIN, script, 10)


def test_problems_that_are_none() -> None:
    buffers = (Buffer("x", 1), Buffer("y", 1))
    with pytest.raises(ValueError, match="reads what no earlier step writes"):
        Problem("p", (Step("a", (0,), (1,)),), buffers)
    with pytest.raises(ValueError, match="a second time"):
        Problem("p", (Step("a", (), (0,)), Step("b", (), (0,))), buffers)
    twice = (Step("a", (), (0,)), Step("b", (0,), (1,), takes_over=0), Step("c", (0,), ()))
    with pytest.raises(ValueError, match="takes over"):
        Problem("p", twice, buffers)


@given(st.integers(0, 10**6), st.integers(2, 30))
@settings(max_examples=draws(150), deadline=None)
def test_greedy_runs_within_its_capacity_and_blocks_are_what_is_held(seed: int, n: int) -> None:
    rng = random.Random(seed)
    problem = random_problem(rng, n)
    least = problem.largest_working_set_bytes
    for capacity in (least, int(1.3 * least)):
        for _, order in orders(problem):
            assert problem.is_order(order)
            script = belady(problem, order, capacity)
            assert script is not None
            trace = replay(problem, script, capacity)
            assert trace.peak_bytes <= capacity
            made = memory_blocks(problem, script, trace)
            for k in range(n):
                load = sum(b.size_bytes for b in made if b.first <= k <= b.last)
                assert load == trace.held_bytes[k]
            assert {i for b in made for i in b.intervals} == {
                i for i, s in enumerate(trace.intervals) if problem.buffers[s.buffer].size_bytes
            }
    assert greedy(problem, 10**9).value == 0


def test_natural_order_loads_what_it_needs_when_it_needs_it() -> None:
    s = scheduling_problem(pm.workload("resnet18"), as_precision("int8"), FusionRules())
    assert s.problem.steps[0].load
    assert s.problem.largest_working_set_bytes == 980 * 1024
    # Without in-place outputs the first residual add holds three planes of 56 x 56 x 64.
    apart = scheduling_problem(
        pm.workload("resnet50"), as_precision("int8"), FusionRules(), unfused=True, in_place=False
    )
    # COSMA's M_R of ResNet-50 in eight bits: three planes of 56 x 56 x 256.
    assert apart.problem.largest_working_set_bytes == 2352 * 1024


@pytest.mark.parametrize("name", ["mobilenet_v2", "vit_b_16", "mixtral_8x7b", "mamba_130m"])
@pytest.mark.parametrize("unfused", [False, True])
def test_plans_of_real_networks_fit_their_graphs(name: str, unfused: bool) -> None:
    s = scheduling_problem(pm.workload(name), as_precision("int8"), FusionRules(), unfused=unfused)
    capacity = s.problem.largest_working_set_bytes
    found = greedy(s.problem, capacity)
    assert found.solution is not None
    trace = replay(s.problem, found.solution, capacity)
    plan = to_plan(s, found.solution, trace, capacity, MemoryNames())
    assert plan.check(s.graph) == []
    assert (plan.spill_bytes, plan.reload_bytes) == (trace.spill_bytes, trace.reload_bytes)
    assert max(plan.held_bytes("scratchpad")) <= capacity


@pytest.mark.slow
@pytest.mark.parametrize("method", ["greedy", "beam", "ilp", "exact"])
def test_every_methods_plan_replayed_byte_by_byte(method: str) -> None:
    spilled = packed = 0
    most = 10 if method == "ilp" else 16
    for seed in range(draws(200)):
        rng = random.Random(seed)
        workload = random_workload(rng, rng.randint(4, most))
        least = pm.schedule(workload, capacity=10**6, method="greedy").working_set_bytes
        capacity = rng.choice([least, int(1.1 * least), int(1.4 * least)])
        s = pm.schedule(workload, capacity=capacity, method=method, time_limit_s=5.0)
        assert s.plan.check(s.scheduled.graph) == []
        spilled += s.spill_bytes > 0
        assert s.layout is not None
        if not s.layout.packed:
            continue
        packed += 1
        sizes = {n: int(t.shape[0]) for n, t in s.scheduled.graph.tensors.items()}
        traffic = run(s.plan, s.scheduled.graph, sizes)
        assert (traffic.spilled, traffic.reloaded) == (s.spill_bytes, s.reload_bytes)
        assert traffic.peak <= s.peak_bytes <= capacity
    assert spilled >= of_draws(15)
    assert packed >= of_draws(180)
