"""The simulator against closed forms and a checker that knows nothing of it."""

import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.schedule.greedy import belady, depth_first_order, orders
from perfmodel.schedule.latency import Dma, PlanActivity, Timeline, prefetch, simulate
from perfmodel.schedule.latency.bounds import lower_bound
from perfmodel.schedule.latency.simulate import SimulationTables
from perfmodel.schedule.latency.timeline import required_stores
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import replay
from tests.schedule.latency.instances import instance


def check(
    problem: Problem, moves: tuple[PlanActivity, ...], timeline: Timeline, capacity: int
) -> None:
    """Nothing overlaps on an engine or channel, nothing is read before it is there, all fits."""
    rows = {}
    for where in {r.where for r in timeline.rows}:
        busy = sorted((r.start_s, r.end_s) for r in timeline.rows if r.where == where)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(busy))
    times = iter(timeline.rows)
    left = [len(r) for r in problem.readers]
    here: dict[int, tuple[float, float]] = {}  # since when it takes space, and when it is there
    last: dict[int, float] = {}
    copied = dict.fromkeys(
        (t for s in problem.steps if s.load for t in s.writes if problem.buffers[t].stored), 0.0
    )
    streamed: dict[int, tuple[float, float]] = {}
    stays: list[tuple[float, float, int]] = []
    must = required_stores(problem)

    def size(t: int) -> int:
        return problem.buffers[t].size_bytes

    def settle(t: int) -> None:
        if not left[t] and t in here and (t not in must or t in copied):
            stays.append((here.pop(t)[0], max(last[t], copied.get(t, 0.0)), size(t)))

    for move in moves:
        i = move.index
        if move.what == "drop":
            assert i in copied
            stays.append((here.pop(i)[0], max(last[i], copied[i]), size(i)))
            continue
        row = next(times)
        assert (row.what, row.index) == (move.what, i)
        rows[move] = row
        step = problem.steps[i] if move.what in ("run", "load", "stream") else None
        if step and move.what == "stream":
            streamed[i] = row.start_s, row.end_s
        elif step:
            for t in step.reads:
                assert here[t][1] <= row.start_s
                left[t] -= 1
                last[t] = row.end_s
            taken = row.start_s
            if i in streamed:
                assert streamed[i][1] <= row.start_s
                taken = streamed[i][0]
            stays.append((taken, row.end_s, step.scratch_bytes))
            for t in step.writes:
                here[t] = row.start_s, row.end_s
                last[t] = row.end_s
            if step.takes_over >= 0:
                # One place: the input's ends where the output's begins, the larger while it runs.
                t, w = step.takes_over, step.writes[0]
                assert copied.get(t, 0.0) <= row.start_s
                stays.append((here.pop(t)[0], row.start_s, size(t)))
                stays.append((row.start_s, row.end_s, max(0, size(t) - size(w))))
            for t in (*step.reads, *step.writes):
                settle(t)
        elif move.what == "reload":
            assert i not in here
            assert copied[i] <= row.start_s
            here[i] = row.start_s, row.end_s
            last[i] = row.end_s
        else:
            assert here[i][1] <= row.start_s
            copied[i] = row.end_s
            settle(i)
    assert not here
    assert must <= set(copied)
    assert timeline.makespan_s == max((r.end_s for r in timeline.rows), default=0.0)
    peak = 0
    for when in {start for start, _, _ in stays}:
        held = sum(n for start, end, n in stays if start <= when < end)
        # What lasts no time holds its space at its own moment all the same.
        peak = max(peak, held)
    assert peak <= timeline.peak_bytes <= capacity


@given(st.integers(0, 10**6), st.integers(1, 25), st.booleans())
def test_plans_keep_to_the_rules(seed: int, n: int, tight: bool) -> None:
    problem, capacity, dma = instance(seed, n)
    capacity = problem.largest_working_set_bytes if tight else capacity
    for _, order in orders(problem):
        script = belady(problem, order, capacity)
        assert script is not None
        moves = prefetch(problem, script, capacity, dma)
        assert moves is not None
        timeline = simulate(problem, moves, capacity, dma)
        check(problem, moves, timeline, capacity)
        assert timeline.compute_s == sum(s.seconds for s in problem.steps if not s.load)
        assert timeline.makespan_s >= lower_bound(SimulationTables(problem, capacity, dma))
        # Stores that turned out needless are left out; nothing is moved that the script does not.
        assert timeline.noncompulsory_bytes(problem) <= replay(problem, script).cost_bytes


@given(st.integers(0, 10**6), st.integers(2, 20))
def test_no_plan_gets_slower_with_more(seed: int, n: int) -> None:
    problem, capacity, dma = instance(seed, n)
    script = belady(problem, depth_first_order(problem), capacity)
    assert script is not None
    moves = prefetch(problem, script, capacity, dma)
    assert moves is not None
    before = simulate(problem, moves, capacity, dma)
    rng = random.Random(seed)
    faster = replace(
        dma,
        read_bytes_per_s=dma.read_bytes_per_s * rng.choice([1, 1.5, 8]),
        write_bytes_per_s=dma.write_bytes_per_s * rng.choice([1, 1.5, 8]),
        latency_s=dma.latency_s * rng.choice([0, 0.5, 1]),
    )
    quicker = problem.with_seconds([s.seconds * rng.choice([0.25, 1]) for s in problem.steps])
    for problem_, capacity_, dma_ in (
        (problem, capacity + 5, dma),
        (problem, capacity, faster),
        (quicker, capacity, dma),
    ):
        after = simulate(problem_, moves, capacity_, dma_)
        ends = zip(before.rows, after.rows, strict=True)
        assert all(b.start_s <= a.start_s and b.end_s <= a.end_s for a, b in ends)


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_transfers_without_time_leave_the_compute(seed: int, n: int) -> None:
    problem, capacity, dma = instance(seed, n)
    dma = replace(dma, read_bytes_per_s=math.inf, write_bytes_per_s=math.inf, latency_s=0.0)
    script = belady(problem, range(n), capacity)
    assert script is not None
    moves = prefetch(problem, script, capacity, dma)
    assert moves is not None
    timeline = simulate(problem, moves, capacity, dma)
    assert timeline.makespan_s == timeline.compute_s
    assert timeline.dma_s == 0


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_compute_without_time_leaves_the_transfers(seed: int, n: int) -> None:
    problem, capacity, dma = instance(seed, n)
    dma = replace(dma, channels=1)
    problem = problem.with_seconds([0.0] * n)
    script = belady(problem, range(n), capacity)
    assert script is not None
    moves = prefetch(problem, script, capacity, dma)
    assert moves is not None
    timeline = simulate(problem, moves, capacity, dma)
    assert timeline.makespan_s == pytest.approx(timeline.dma_s)


def pipeline(count: int, weights: int, seconds: float) -> Problem:
    """A chain of equal layers on one in-place tensor, each with its own weights."""
    layers = [Step(f"layer{k}", (k,), (k + 1,), k, weights, seconds, weights) for k in range(count)]
    steps = [Step("in", (), (0,), load=True), *layers]
    buffers = [Buffer(f"x{k}", 4, stored=k in (0, count)) for k in range(count + 1)]
    return Problem("pipeline", tuple(steps), tuple(buffers))


@pytest.mark.parametrize(("seconds", "buffers"), [(5.0, 2), (9.0, 2), (20.0, 2), (9.0, 1)])
def test_double_buffering_has_its_closed_form(seconds: float, buffers: int) -> None:
    # Weights of 10 bytes at 1 byte/s: with room for two of them transfers hide behind compute, or
    # compute behind transfers; with room for one they take turns.
    count, weights = 6, 10
    problem = pipeline(count, weights, seconds)
    dma = Dma(1.0, 1.0)
    capacity = 4 + buffers * weights
    script = belady(problem, range(count + 1), capacity)
    assert script is not None
    moves = prefetch(problem, script, capacity, dma)
    assert moves is not None
    timeline = simulate(problem, moves, capacity, dma)
    first, last = 4 + weights, 4
    between = max(seconds, weights) if buffers == 2 else seconds + weights
    assert timeline.makespan_s == first + (count - 1) * between + seconds + last
    without = replace(dma, double_buffered=False)
    moves = prefetch(problem, script, capacity, without)
    assert moves is not None
    single = simulate(problem, moves, capacity, without)
    assert single.makespan_s == first + (count - 1) * (seconds + weights) + seconds + last


def test_a_spill_frees_its_space_when_it_has_ended() -> None:
    # a (6) is evicted for c (6) and read again by d; all in a memory of 13.
    steps = (
        Step("x", (), (0,), load=True),
        Step("a", (0,), (1,), seconds=2.0),
        Step("b", (0,), (2,), seconds=1.0),
        Step("c", (2,), (3,), seconds=4.0),
        Step("d", (1, 3), (4,), seconds=1.0),
    )
    sizes = (1, 6, 6, 6, 1)
    problem = Problem(
        "spill", steps, tuple(Buffer(f"t{i}", n, i in (0, 4)) for i, n in enumerate(sizes))
    )
    dma = Dma(1.0, 2.0)
    moves = [
        PlanActivity("load", 0),
        PlanActivity("run", 1),
        PlanActivity("run", 2),
        PlanActivity("store", 1),
        PlanActivity("drop", 1),
        PlanActivity("run", 3),
        PlanActivity("reload", 1),
        PlanActivity("run", 4),
        PlanActivity("store", 4),
    ]
    rows = {(r.what, r.index): r for r in simulate(problem, moves, 13, dma).rows}
    assert rows["run", 1].start_s == 1  # the input has come in
    assert rows["store", 1].start_s == 3  # a is made
    assert rows["run", 3].start_s == 6  # its store has ended
    assert rows["reload", 1].start_s == 10  # b's place is free when c has run
    assert rows["run", 4].start_s == 16
    assert rows["store", 4].end_s == 17.5
    # With two channels nothing changes here; with more space the reload need not wait.
    assert simulate(problem, moves, 13, replace(dma, channels=2)).makespan_s == 17.5
    assert simulate(problem, moves, 19, dma).makespan_s == 13.5


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        ([PlanActivity("run", 1)], "not resident"),
        ([PlanActivity("load", 0), PlanActivity("load", 0)], "cannot load now"),
        (
            [PlanActivity("load", 0), PlanActivity("run", 1), PlanActivity("run", 1)],
            "cannot run now",
        ),
        ([PlanActivity("reload", 0)], "cannot be reloaded"),
        ([PlanActivity("store", 1)], "not resident and cannot store"),
        (
            [PlanActivity("load", 0), PlanActivity("run", 1), PlanActivity("drop", 1)],
            "cannot be dropped",
        ),
        ([PlanActivity("load", 0), PlanActivity("store", 0)], "stored already"),
        ([PlanActivity("load", 0), PlanActivity("run", 1)], "omits"),
        ([PlanActivity("stream", 0)], "cannot stream now"),
    ],
)
def test_what_cannot_be_is_refused(moves: list[PlanActivity], words: str) -> None:
    steps = (Step("x", (), (0,), load=True), Step("a", (0,), (1,)), Step("b", (1,), (2,)))
    buffers = tuple(Buffer(f"t{i}", 3, i != 1) for i in range(3))
    with pytest.raises(ValueError, match=words):
        simulate(Problem("p", steps, buffers), moves, 6, Dma(1.0, 1.0))


def test_a_plan_that_never_fits_is_refused() -> None:
    steps = (Step("x", (), (0,), load=True), Step("a", (0,), (1,)))
    problem = Problem("p", steps, (Buffer("x", 3, True), Buffer("y", 4, True)))
    with pytest.raises(ValueError, match="never enough space"):
        simulate(problem, [PlanActivity("load", 0), PlanActivity("run", 1)], 6, Dma(1.0, 1.0))


def test_channels_are_checked() -> None:
    for wrong in ((0.0, 1.0), (1.0, -1.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="more than 0"):
            Dma(*wrong)
    with pytest.raises(ValueError, match="cannot wait"):
        Dma(1.0, 1.0, -1.0)
    with pytest.raises(ValueError, match="one channel"):
        Dma(1.0, 1.0, channels=3)
