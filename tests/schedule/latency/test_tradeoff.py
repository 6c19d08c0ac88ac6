"""Fewest bytes against least time and least energy."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady, greedy
from perfmodel.schedule.latency import Dma, ScheduleEnergyModel, energy, latency, simulate, tradeoff
from perfmodel.schedule.latency.bounds import lower_bound
from perfmodel.schedule.latency.branch_and_bound import least_makespan
from perfmodel.schedule.latency.local_search import candidate, improve_activities, improve_script
from perfmodel.schedule.latency.simulate import SimulationTables
from perfmodel.schedule.latency.timeline import SECONDS
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import replay
from tests.draws import draws
from tests.schedule.latency.instances import instance, squeezed


def detour() -> Problem:
    """Two tensors of which one must make room for the workspace of ``c``.

    Fewest bytes move ``near`` (3 bytes), which is made just before and read just after: store and
    reload are waited for. ``far`` (4 bytes) was made earlier and is read last, so that its store
    hides behind the step before and its reload behind the long one after.
    """
    steps = (
        Step("x", (), (0,), load=True),
        Step("far", (0,), (1,), seconds=4.0),
        Step("near", (1,), (2, 3), seconds=4.0),
        Step("c", (3,), (4,), -1, 5, seconds=1.0),
        Step("d", (2, 4), (5,), seconds=1.0),
        Step("e", (5,), (6,), seconds=40.0),
        Step("f", (1, 6), (7,), seconds=1.0),
    )
    sizes = (1, 4, 3, 1, 1, 1, 1, 1)
    buffers = tuple(Buffer(f"t{i}", n, i in (0, 7)) for i, n in enumerate(sizes))
    return Problem("detour", steps, buffers)


def test_fewest_bytes_are_not_the_fastest() -> None:
    problem, dma = detour(), Dma(1.0, 1.0)
    found = tradeoff(problem, 11, dma)
    assert found is not None
    assert found.bytes_proved
    assert found.fastest.proved
    assert found.fastest.value == 1 + 51 + 1  # input, all compute, output: nothing else shows
    assert found.gap_s == 3 + 3
    assert found.fewest_noncompulsory_bytes == 6
    assert found.gap_bytes == 2
    for outcome in (found.fewest_bytes, found.fastest):
        assert outcome.solution is not None
        again = simulate(problem, outcome.solution.activities, 11, dma)
        assert again.makespan_s == outcome.value
        assert again == outcome.solution.timeline
        replay(problem, outcome.solution.script, 11)


@pytest.mark.parametrize("make", [instance, squeezed])
def test_the_fastest_is_no_slower_and_the_frugal_no_larger(make) -> None:
    for seed in range(draws(6)):
        problem, capacity, dma = make(seed, 8)
        found = tradeoff(problem, capacity, dma, fewest=greedy(problem, capacity))
        assert found is not None
        assert found.gap_s >= 0
        assert found.fastest.bound <= found.fastest.value
        cost = greedy(problem, capacity).value
        assert found.fewest_noncompulsory_bytes <= cost


def test_bytes_proved_raise_the_bound() -> None:
    problem, capacity, dma = squeezed(3, 9)
    problem = problem.with_seconds([0.0] * 9)
    for channels, share in ((1, 1.0), (2, 0.5)):
        dma = replace(dma, channels=channels, read_bytes_per_s=0.25, write_bytes_per_s=0.25)
        facts = SimulationTables(problem, capacity, dma)
        most = 1000
        raised = lower_bound(facts, most) - lower_bound(facts, most - 10)
        assert raised == share * 10 / 0.25
        assert latency(problem, capacity, dma).bound >= lower_bound(facts)


def test_energy_is_the_sum_of_its_parts() -> None:
    for seed in range(draws(8)):
        problem, capacity, dma = squeezed(seed, 7)
        power = ScheduleEnergyModel(3e-12, 5e-12, 2e-12, 1e-9)
        found = energy(problem, capacity, dma, power)
        assert found.solution is not None
        rows = found.solution.timeline.rows
        read = sum(r.bytes for r in rows if r.what in ("load", "stream", "reload"))
        written = sum(r.bytes for r in rows if r.what == "store")
        makespan = found.solution.timeline.makespan_s
        assert found.value == pytest.approx(
            1e-9 + 3e-12 * read + 5e-12 * written + 2e-12 * makespan
        )
        assert found.bound <= found.value


def test_energy_follows_its_prices() -> None:
    # Where only time costs, little time is sought; where only bytes cost, few bytes.
    problem, dma = detour(), Dma(1.0, 1.0)
    of_time = energy(problem, 11, dma, ScheduleEnergyModel(0.0, 0.0, 1.0))
    of_bytes = energy(problem, 11, dma, ScheduleEnergyModel(1.0, 1.0))
    assert of_time.solution.timeline is not None
    assert of_bytes.solution.timeline is not None
    assert of_time.value == of_time.solution.timeline.makespan_s
    assert (
        of_bytes.value == of_bytes.solution.timeline.offchip_bytes == problem.compulsory_bytes + 6
    )
    assert of_time.solution.timeline.makespan_s < of_bytes.solution.timeline.makespan_s
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="not negative"):
            ScheduleEnergyModel(wrong, 0.0)


def test_what_does_not_fit_has_no_schedule() -> None:
    problem = detour()
    short = problem.largest_working_set_bytes - 1
    found = latency(problem, short, Dma(1.0, 1.0))
    assert found.solution is None
    assert found.value == math.inf
    assert tradeoff(problem, short, Dma(1.0, 1.0), fewest=greedy(problem, short)) is None
    assert energy(problem, short, Dma(1.0, 1.0), ScheduleEnergyModel(1.0, 1.0)).solution is None


def test_the_same_call_gives_the_same_plan() -> None:
    problem, capacity, dma = squeezed(5, 8)
    assert latency(problem, capacity, dma) == latency(problem, capacity, dma)


def test_more_memory_or_speed_is_never_slower_by_construction() -> None:
    for seed in range(3):
        problem, capacity, dma = squeezed(100 + seed, 16)
        known = latency(problem, capacity, dma, Deadline(0))
        for more in range(1, 4):
            wider = latency(
                problem, capacity + more, dma, Deadline(0), plans=(known.solution.activities,)
            )
            faster = replace(
                dma,
                read_bytes_per_s=dma.read_bytes_per_s * (1 + more),
                write_bytes_per_s=dma.write_bytes_per_s * (1 + more),
            )
            quicker = latency(
                problem, capacity, faster, Deadline(0), plans=(known.solution.activities,)
            )
            assert wider.value <= known.value
            assert quicker.value <= known.value
            assert wider.bound <= wider.value
    # What does not fit is passed over.
    less = latency(problem, capacity, dma, Deadline(0), plans=(wider.solution.activities, ()))
    assert less.solution is not None


def test_search_betters_the_rules() -> None:
    # The local search and the polish end within a few per cent of the least makespan.
    ratios: list[float] = []
    for seed in range(draws(6)):
        problem, capacity, dma = squeezed(500 + seed, 7)
        facts = SimulationTables(problem, capacity, dma)
        least = least_makespan(facts)
        assert least.bound == least.value
        script = belady(problem, range(7), capacity)
        assert script is not None
        start = candidate(facts, script, SECONDS)
        assert start is not None
        better = improve_script(facts, start, SECONDS, Deadline(), 300)
        best = improve_activities(facts, better, SECONDS, Deadline(), 300)
        assert start.price >= better.price >= best.price >= least.value
        assert simulate(problem, best.activities, capacity, dma).makespan_s == best.makespan_s
        ratios.append(best.makespan_s / least.value)
    assert sum(ratios) / len(ratios) < 1.05


@pytest.mark.data
def test_published_graphs_are_improved_on(data: Path) -> None:
    # Bytes are a proxy: with compute in proportion to the bytes that steps touch, the schedule of
    # fewest bytes (94 KiB at 310 KiB) is slower than one that moves more.
    graph = json.loads((data / "ilp" / "graphs" / "nas7_random_sizes_2.json").read_text())
    problem = problem_of(graph)
    touched = zip(problem.steps, problem.working_set_bytes, strict=True)
    problem = problem.with_seconds([0.0 if s.load else n / 10 for s, n in touched])
    found = tradeoff(problem, 310 * 1024, Dma(1.0, 1.0))
    assert found is not None
    assert found.bytes_proved
    assert found.fewest_noncompulsory_bytes == 94 * 1024
    assert found.gap_s > 0.02 * found.fastest.value
    assert found.fastest.value >= found.fastest.bound
