"""The least peak beside brute force, published graphs, trees and what cuts and bytes promise."""

import itertools
import json
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.peak.bidirectional_search import PeakSearch
from perfmodel.schedule.peak.least_peak import bisect_peak, natural_order, peak_of
from perfmodel.schedule.peak.minimum_cuts import least_bytes_sets
from perfmodel.schedule.peak.region import Region, RegionCutter
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from tests.draws import draws, of_draws
from tests.schedule.networks import branches, heads, nas, random_wiring
from tests.schedule.random_graphs import random_problem

# Least peaks of the published problem set, in KiB.
PEAKS = {
    "nas7": 384,
    "nas14": 384,
    "nas7_random_sizes": 393,
    "nas7_random_sizes_2": 348,
    "resnet18": 588,
    "randwire3x32": 960,
    "transformer_8_heads": 1536,
}


def brute_force(problem: Problem) -> int:
    """Least peak over all orders, by the bytes that lie on chip after each executed set."""
    n = len(problem.steps)
    everything = (1 << n) - 1

    def held(executed: int) -> int:
        return sum(
            b.size_bytes
            for t, b in enumerate(problem.buffers)
            if executed >> problem.maker[t] & 1
            and any(not executed >> r & 1 for r in problem.readers[t])
        )

    @cache
    def least(executed: int) -> int:
        if executed == everything:
            return 0
        here = held(executed)
        return min(
            max(here + problem.growth_bytes[s], least(executed | 1 << s))
            for s in range(n)
            if not executed >> s & 1 and not problem.ancestors[s] & ~executed
        )

    return least(0)


def odd_problem(rng: random.Random, n: int) -> Problem:
    """Unlike `random_problem`: steps that write nothing, unread outputs, unequal takeovers,
    late inputs, workspace larger than tensors."""
    buffers: list[Buffer] = []
    made: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
    for _ in range(n):
        pool = range(len(buffers))[-4:] if rng.random() < 0.7 else range(len(buffers))
        count = 0 if rng.random() < 0.12 else rng.randint(1, 3)
        reads = tuple(sorted(rng.sample(pool, min(count, len(pool)))))
        writes: list[int] = []
        for _ in range(rng.choice([1, 1, 1, 1, 2, 0 if reads else 1])):
            writes.append(len(buffers))
            buffers.append(Buffer(f"t{len(buffers)}", rng.choice([0, 1, 2, 3, 4, 5, 8, 8, 13])))
        made.append((reads, tuple(writes), rng.choice([0, 0, 0, 2, 6])))
    readers = [sum(t in reads for reads, _, _ in made) for t in range(len(buffers))]
    steps: list[Step] = []
    for i, (reads, writes, scratch) in enumerate(made):
        alone = [t for t in reads if readers[t] == 1]
        over = rng.choice(alone) if alone and writes and rng.random() < 0.4 else -1
        steps.append(Step(f"s{i}", reads, writes, over, scratch, load=not reads))
    return Problem("odd", tuple(steps), tuple(buffers))


@pytest.mark.parametrize("make", [random_problem, odd_problem])
def test_brute_force_agrees(make) -> None:
    harder = 0
    for seed in range(draws(250)):
        rng = random.Random(seed)
        problem = make(rng, rng.randint(4, 9))
        found = minimum_peak(problem)
        least = brute_force(problem)
        assert found.proved
        assert found.value == found.bound == peak_of(problem, found.solution) == least
        harder += least > problem.largest_working_set_bytes
    assert harder > of_draws(30)  # the working set alone does not tell


def test_brute_force_agrees_on_twelve_steps() -> None:
    for seed in range(draws(40)):
        problem = odd_problem(random.Random(1000 + seed), 12)
        assert minimum_peak(problem).value == brute_force(problem)


@pytest.mark.data
@pytest.mark.parametrize("name", PEAKS)
def test_published_graphs_are_proved(name: str, data: Path) -> None:
    problem = problem_of(json.loads((data / "ilp" / "graphs" / f"{name}.json").read_text()))
    found = minimum_peak(problem)
    assert found.proved
    assert peak_of(problem, found.solution) == found.value == PEAKS[name] * 1024
    assert found.work["expansions"] < 1000


@pytest.mark.parametrize(
    ("problem", "expansions"),
    [
        (nas(33), 4000),
        (nas(32, random.Random(0)), 2000),
        (nas(32, random.Random(1)), 10000),
        (random_wiring(3, 48, random.Random(0)), 2000),
        (branches(120, 5, random.Random(2)), 1000),
        (heads(16), 1000),
    ],
    ids=lambda p: p.name if isinstance(p, Problem) else "",
)
def test_large_networks_are_proved(problem: Problem, expansions: int) -> None:
    found = minimum_peak(problem)
    assert found.proved
    assert peak_of(problem, found.solution) == found.bound
    assert found.value <= min(peak_of(problem, order) for _, order in orders(problem))
    assert found.work["expansions"] < expansions


def test_a_chain_needs_its_largest_working_set() -> None:
    sizes = [5, 9, 2, 30, 7]
    steps = tuple(Step(f"s{i}", (i - 1,) if i else (), (i,)) for i in range(5))
    problem = Problem("chain", steps, tuple(Buffer(f"t{i}", s) for i, s in enumerate(sizes)))
    assert minimum_peak(problem).value == 37


def test_equal_branches_finish_one_before_the_next_begins() -> None:
    # Fork of 10; eight branches, each 50 and then 1; all ones are summed into 1. The last branch
    # but one runs beside the fork and six ones, the last frees the fork only when it has begun.
    reads: list[tuple[int, ...]] = [()]
    sizes = [10]
    for _ in range(8):
        reads += [(0,), (len(sizes),)]
        sizes += [50, 1]
    reads.append(tuple(range(2, 17, 2)))
    sizes.append(1)
    steps = tuple(Step(f"s{i}", r, (i,)) for i, r in enumerate(reads))
    problem = Problem("fork", steps, tuple(Buffer(f"t{i}", s) for i, s in enumerate(sizes)))
    found = minimum_peak(problem)
    assert found.proved
    assert found.value == max(10 + 7 + 50, 10 + 6 + 50 + 1)


def test_out_of_time_is_an_order_and_a_bound() -> None:
    problem = random_wiring(3, 64, random.Random(0))
    found = minimum_peak(problem, Deadline(0))
    assert not found.proved
    assert problem.largest_working_set_bytes <= found.bound < found.value
    assert peak_of(problem, found.solution) == found.value
    assert found.bound <= minimum_peak(problem).value <= found.value


def test_an_order_that_is_none_is_refused() -> None:
    problem = random_problem(random.Random(0), 6)
    with pytest.raises(ValueError, match="every step once"):
        peak_of(problem, range(5))


def test_nothing_to_run_needs_nothing() -> None:
    found = minimum_peak(Problem("empty", (), ()))
    assert found.proved
    assert (found.solution, found.value) == ((), 0)


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_the_replay_counts_the_same_peak(seed: int, n: int) -> None:
    problem = random_problem(random.Random(seed), n)
    found = minimum_peak(problem)
    script = Script(found.solution, ((),) * n)
    trace = replay(problem, script, found.value)
    assert trace.cost_bytes == 0
    assert trace.peak_bytes == found.value == peak_of(problem, found.solution)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_larger_buffers_never_need_less_and_units_do_not_matter(seed: int, n: int) -> None:
    rng = random.Random(seed)
    problem = random_problem(rng, n, scratch=False)
    found = minimum_peak(problem).value
    tripled = tuple(Buffer(b.name, 3 * b.size_bytes, b.stored) for b in problem.buffers)
    assert minimum_peak(Problem("x3", problem.steps, tripled)).value == 3 * found
    grown = tuple(
        Buffer(b.name, b.size_bytes + rng.randint(0, 3), b.stored) for b in problem.buffers
    )
    assert minimum_peak(Problem("grown", problem.steps, grown)).value >= found


def whole(problem: Problem) -> Region:
    return RegionCutter(problem).region(0, (1 << len(problem.steps)) - 1)


def closed(region: Region, rng: random.Random) -> int:
    """A random executed set."""
    mask = 0
    for s in range(len(region.steps)):
        if not region.before[s] & ~mask and rng.random() < 0.7:
            mask |= 1 << s
    return mask


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_bytes_are_submodular(seed: int, n: int) -> None:
    rng = random.Random(seed)
    region = whole(odd_problem(rng, n))
    a, b = closed(region, rng), closed(region, rng)
    held = region.bytes_of
    assert held(a) + held(b) >= held(a | b) + held(a & b)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_valleys_hold_least(seed: int, n: int) -> None:
    rng = random.Random(seed)
    region = whole(odd_problem(rng, n))
    first = closed(region, rng)
    last = first | closed(region, rng)
    between = [
        mask
        for mask in range(region.full + 1)
        if not first & ~mask
        and not mask & ~last
        and all(not region.before[s] & ~mask for s in range(n) if mask >> s & 1)
    ]
    least = min(map(region.bytes_of, between))
    chain = least_bytes_sets(region, first, last)
    assert chain
    assert all(v in between and region.bytes_of(v) == least for v in chain)
    assert all(a & ~b == 0 and a != b for a, b in itertools.pairwise(chain))
    # The chain is not to be lengthened: what lies between two neighbours holds more.
    for a, b in itertools.pairwise(chain):
        inner = [m for m in between if not a & ~m and not m & ~b and m not in (a, b)]
        assert all(region.bytes_of(m) > least for m in inner)


def test_halving_ends_at_the_least_peak_too() -> None:
    # What is done where the proof takes too long: from an order and a bound, both closer.
    for seed in range(draws(6)):
        problem = random_wiring(1, 32, random.Random(seed))
        for part in RegionCutter(problem).forced_regions():
            floor = problem.largest_working_set_bytes
            best, bound = bisect_peak(part, natural_order(part), floor, Deadline())
            search = PeakSearch(part, floor)
            assert search.run(Deadline()) is not None
            assert bound == max(floor, search.bound_bytes)
            assert max(floor, best.peak) == bound
            assert sorted(best.order) == list(range(len(part.steps)))


def random_tree(rng: random.Random, n: int) -> Problem:
    """Trees of steps that feed one later step each (some none), now and then with two tensors."""
    parent = [
        rng.randint(i + 1, min(n - 1, i + rng.choice([2, n])))
        if i < n - 1 and rng.random() < 0.93
        else -1
        for i in range(n)
    ]
    made: list[list[int]] = []
    buffers: list[Buffer] = []
    steps: list[Step] = []
    for i in range(n):
        made.append([])
        for _ in range(rng.choice([1, 1, 1, 0, 2])):
            made[i].append(len(buffers))
            buffers.append(Buffer(f"t{len(buffers)}", rng.choice([0, 1, 2, 3, 5, 8, 13])))
        reads = tuple(t for j in range(i) if parent[j] == i for t in made[j])
        over = reads[0] if reads and made[i] and rng.random() < 0.3 else -1
        steps.append(
            Step(f"s{i}", reads, tuple(made[i]), over, rng.choice([0, 0, 3, 9]), load=not reads)
        )
    return Problem("tree", tuple(steps), tuple(buffers))


def test_trees_are_solved_by_hills_and_valleys() -> None:
    solved = 0
    for seed in range(draws(250)):
        rng = random.Random(seed)
        problem = random_tree(rng, rng.randint(2, 9))
        found = minimum_peak(problem)
        assert found.proved
        assert found.value == peak_of(problem, found.solution) == brute_force(problem)
        solved += found.work["expansions"] == 0
    assert solved >= of_draws(240)


def test_large_trees_need_no_search() -> None:
    for seed in range(3):
        rng = random.Random(seed)
        problem = random_tree(rng, 600)
        found = minimum_peak(problem)
        assert found.proved
        assert found.work["expansions"] == 0
        assert found.value == peak_of(problem, found.solution)
        # The search, which knows nothing of trees, goes no lower.
        small = random_tree(rng, 40)
        whole_tree = whole(small)
        search = PeakSearch(whole_tree, small.largest_working_set_bytes)
        assert search.run(Deadline()) is not None
        assert search.bound_bytes == minimum_peak(small).value
