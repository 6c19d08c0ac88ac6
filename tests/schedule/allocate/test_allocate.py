"""Addresses beside packings known, brute force, MiniMalloc's instances and greedy heights."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.schedule.allocate import Allocation, Lifetime, allocate, read_lifetimes
from perfmodel.schedule.allocate.first_fit import OverlappingPieces, first_fit, orders
from perfmodel.schedule.allocate.sections import PackingBuffer, Sections
from tests.draws import draws
from tests.offenders import each
from tests.schedule.allocate.packings import (
    brimful,
    fits,
    full,
    least_height,
    overlapping,
    scattered,
)

CAPACITY = 1_048_576
#: Height over capacity of greedy first fit by size, as published with the data (reference.json).
GREEDY = {"A": 1.29, "B": 1.354, "C": 1.352, "D": 1.232, "E": 1.369, "F": 1.367, "G": 1.355}


def good(found: Allocation) -> None:
    """The offsets are a packing, of the height that is said, wherever it ends."""
    assert overlapping(found.buffers, found.offsets) == []
    assert set(found.offsets) == {b.id for b in found.buffers}
    for b in found.buffers:
        at = found.offsets[b.id]
        assert at >= 0
        assert at % b.alignment == 0
        assert b.offset is None or at == b.offset
    top = max((found.offsets[b.id] + b.size_bytes for b in found.buffers), default=0)
    assert found.height_bytes == top
    assert found.lower_bound_bytes <= top
    if found.capacity_bytes is not None:
        assert (found.status == "packed") == (top <= found.capacity_bytes)
        assert found.gap_bytes == max(0, top - found.capacity_bytes)
    assert (found.status == "infeasible") == (found.proof is not None)
    found.check()


@pytest.mark.data
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", "ABCDEFG")
def test_minimallocs_instances_are_packed(data: Path, name: str, seed: int) -> None:
    found = allocate(
        data / "ilp" / "minimalloc" / f"{name}.1048576.csv",
        CAPACITY,
        seed=seed,
        time_limit_s=None,
        node_limit=2_000_000,
    )
    assert found.status == "packed"
    assert found.height_bytes <= CAPACITY
    good(found)


@pytest.mark.data
def test_minimallocs_small_example(data: Path) -> None:
    path = data / "ilp" / "minimalloc" / "input.12.csv"
    found = allocate(path)
    good(found)
    assert found.height_bytes == found.lower_bound_bytes == 12
    assert found.proved
    short = allocate(path, 11)
    good(short)
    assert short.status == "infeasible"
    assert short.gap_bytes == 1


@pytest.mark.data
@pytest.mark.parametrize("name", GREEDY)
def test_greedy_by_size_reaches_the_published_height(data: Path, name: str) -> None:
    lives = read_lifetimes(data / "ilp" / "minimalloc" / f"{name}.1048576.csv")
    packing = Sections.of([PackingBuffer(b.lower, b.upper, b.size_bytes) for b in lives])
    order = dict(orders(packing, [None] * len(lives)))["size"]
    offsets = first_fit(packing, order, OverlappingPieces(packing))
    height = max(at + b.size_bytes for at, b in zip(offsets, lives, strict=True))
    assert height / CAPACITY == pytest.approx(GREEDY[name], abs=6e-4)


@each("seed", range(draws(200)))
def test_what_was_cut_from_a_rectangle_is_packed(seed: int) -> None:
    rng = random.Random(seed)
    count, height, length = rng.randint(2, 60), rng.randint(4, 400), rng.randint(3, 60)
    lives = full(rng, count, height, length)
    found = allocate(lives, height, time_limit_s=None, node_limit=400_000)
    assert found.status == "packed"
    assert found.height_bytes == height == found.lower_bound_bytes
    good(found)
    if seed % 10 == 0:
        over = allocate(lives, height - 1, time_limit_s=None, node_limit=400_000)
        good(over)
        assert over.status == "infeasible"
        assert over.proof
        assert over.proof.kind == "load"
        assert over.proof.bound_bytes == height
        assert over.gap_bytes == 1
        alive = [b for b in lives if b.id in over.proof.buffers]
        assert all(b.lower <= over.proof.lower < over.proof.upper <= b.upper for b in alive)
        assert sum(b.size_bytes for b in alive) == height


def decorated(rng: random.Random, lives: list[Lifetime]) -> list[Lifetime]:
    """Give some of the buffers alignments and, one of them, an offset."""
    out = [replace(b, alignment=rng.choice([1, 1, 2, 4])) for b in lives]
    if rng.random() < 0.5:
        b = out[0]
        out[0] = replace(b, offset=b.alignment * rng.randint(0, 4))
    if rng.random() < 0.3 and len(out) > 1 and out[0].offset is not None:
        out[1] = replace(out[1], offset=out[1].alignment * 12)
    return out


@each("seed", range(draws(150)))
def test_brute_force_finds_the_same_height(seed: int) -> None:
    rng = random.Random(1000 + seed)
    lives = scattered(rng, rng.randint(1, 6))
    if seed % 2:
        lives = decorated(rng, lives)
    try:
        lowest = allocate(lives, time_limit_s=None)
    except InputError:  # two that are held overlap
        return
    good(lowest)
    best = least_height(lives)
    assert lowest.height_bytes == best
    assert allocate(lives, best).status == "packed"
    if best:
        under = allocate(lives, best - 1)
        good(under)
        assert under.status == "infeasible"
        assert under.gap_bytes == 1


@pytest.mark.parametrize(
    ("height", "length", "longest", "seed"),
    [
        (6, 10, 5, 1193),
        (8, 8, 5, 994),
        (6, 10, 5, 216),
        (6, 6, 4, 1073),
        (6, 10, 5, 1175),
        (6, 10, 5, 1123),
        (8, 6, 4, 1161),
        (8, 8, 5, 868),
        (6, 10, 5, 991),
        (6, 10, 5, 622),
    ],
)
def test_a_search_proves_what_loads_do_not(
    height: int, length: int, longest: int, seed: int
) -> None:
    """Full at every moment and yet no packing, says trying every byte: the search says so too."""
    lives = brimful(random.Random(seed), height, length, longest)
    assert not fits(lives, height)
    assert fits(lives, height + 1)
    found = allocate(lives, height, time_limit_s=None)
    good(found)
    assert found.status == "infeasible"
    assert found.proof
    assert found.proof.kind == "search"
    assert set(found.proof.buffers) <= {b.id for b in lives}
    assert found.proof.bound_bytes == height + 1 == found.lower_bound_bytes == found.height_bytes
    assert "was tried" in str(found)
    assert allocate(lives, time_limit_s=None).proved


@pytest.mark.parametrize("seed", [20, 26, 39, 40, 45, 49])
def test_a_window_proves_it_for_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proof names, cut off at its times, has no packing: trying every byte agrees."""
    monkeypatch.setattr("perfmodel.schedule.allocate.subproblem._NODES_BEFORE_WINDOWS", 2.0)
    lives = brimful(random.Random(seed), 9, 40, 6)
    found = allocate(lives, 9, time_limit_s=None, node_limit=20_000)
    good(found)
    proof = found.proof
    assert proof
    assert proof.kind == "search"
    assert len(proof.buffers) < len(lives)
    cut = [
        replace(b, lower=max(b.lower, proof.lower), upper=min(b.upper, proof.upper))
        for b in lives
        if b.lower < proof.upper and b.upper > proof.lower
    ]
    assert {b.id for b in cut} == set(proof.buffers)
    assert not fits(cut, proof.bound_bytes - 1)


@each("seed", range(draws(60)))
def test_trying_every_byte_agrees(seed: int) -> None:
    """With holds and without, wherever the capacity lies."""
    rng = random.Random(seed)
    lives = brimful(rng, rng.randint(3, 8), rng.randint(3, 9), 5)[:16]
    bound = max(sum(b.size_bytes for b in lives if b.lower <= t < b.upper) for t in range(9))
    found = allocate(lives, bound, time_limit_s=None)
    good(found)
    assert (found.status == "packed") == fits(lives, bound)
    at = rng.randint(0, bound - lives[-1].size_bytes)
    held = [*lives[:-1], replace(lives[-1], offset=at)]
    for height in (bound, bound + 1):
        found = allocate(held, height, time_limit_s=None)
        good(found)
        assert found.status != "not found"
        assert (found.status == "packed") == fits(held, height)


@pytest.mark.parametrize("seed", range(draws(12)))
@pytest.mark.parametrize("unit", [8, 16])
def test_a_common_alignment_is_exact(seed: int, unit: int) -> None:
    """Also where the capacity is no multiple of it and the last buffer ends in between."""
    rng = random.Random(seed)
    lives = scattered(rng, rng.randint(2, 5), largest=40)
    best = least_height([replace(b, alignment=unit) for b in lives])
    assert allocate(lives, best, alignment=unit).status == "packed"
    found = allocate(lives, best - 1, alignment=unit)
    good(found)
    assert found.status == "infeasible"
    lowest = allocate(lives, alignment=unit, time_limit_s=None)
    good(lowest)
    assert lowest.proved
    assert lowest.height_bytes == best


def test_of_two_sizes_in_as_many_units_the_short_one_may_lie_on_top() -> None:
    """3 and 4 bytes are two units of 2 each; at 9 bytes only the 3 can lie on top of the rest."""
    lives = [Lifetime("0", 5, 7, 3), Lifetime("1", 6, 7, 4), Lifetime("2", 1, 8, 2)]
    found = allocate(lives, 9, alignment=2)
    good(found)
    assert found.status == "packed"
    lowest = allocate(lives, alignment=2)
    assert (lowest.height_bytes, lowest.proved) == (9, True)


def aligned(rng: random.Random) -> tuple[list[Lifetime], int]:
    """Buffers with alignments of their own, a common one, or both; at times one that is held."""
    longest, largest = rng.choice([3, 5, 8]), rng.choice([4, 9, 40])
    lives = scattered(rng, rng.randint(2, 5), length=longest, largest=largest)
    kind, common = rng.randrange(3), 1
    if kind:
        lives = [replace(b, alignment=rng.choice([1, 2, 3, 4, 6, 8])) for b in lives]
    if kind != 1:
        common = rng.choice([2, 3, 4, 8, 16])
    if rng.random() < 0.3:
        i = rng.randrange(len(lives))
        step = math.lcm(lives[i].alignment, common)
        lives[i] = replace(lives[i], offset=step * rng.randint(0, 3))
    return lives, common


def agrees_with_trying_all(seed: int) -> None:
    """The least height, and the verdict below, at and above it."""
    rng = random.Random(seed)
    lives, common = aligned(rng)
    least = least_height([replace(b, alignment=math.lcm(b.alignment, common)) for b in lives])
    lowest = allocate(lives, alignment=common, time_limit_s=None)
    good(lowest)
    assert (lowest.height_bytes, lowest.proved) == (least, True), lives
    near = {least - 1, least, least + rng.randint(1, 9), max(0, least - rng.randint(1, 9))}
    for capacity in sorted(near):
        found = allocate(lives, capacity, alignment=common, time_limit_s=None)
        good(found)
        assert found.status == ("packed" if capacity >= least else "infeasible"), (lives, capacity)
        assert found.lower_bound_bytes <= least


@pytest.mark.parametrize("block", range(20))
def test_alignments_change_no_verdict(block: int) -> None:
    for seed in range(100 * block, 100 * (block + 1)):
        agrees_with_trying_all(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(20, 200))
def test_alignments_change_no_verdict_of_many_more(block: int) -> None:
    for seed in range(100 * block, 100 * (block + 1)):
        agrees_with_trying_all(seed)


@pytest.mark.parametrize("seed", range(60))
def test_windows_of_aligned_buffers_prove_what_is_so(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every aligned offset of each buffer tried: longer searches than those of five buffers."""
    monkeypatch.setattr("perfmodel.schedule.allocate.subproblem._NODES_BEFORE_WINDOWS", 2.0)
    rng = random.Random(seed)
    lives = brimful(rng, rng.randint(3, 7), rng.randint(4, 9), 4)[:11]
    if seed % 2:
        lives = [replace(b, alignment=rng.choice([1, 1, 2, 3])) for b in lives]
    common = 1 if seed % 4 == 1 else 2
    whole = [replace(b, alignment=math.lcm(b.alignment, common)) for b in lives]
    least = next(height for height in range(1000) if fits(whole, height))
    for capacity in range(max(0, least - 2), least + 2):
        found = allocate(lives, capacity, alignment=common, time_limit_s=None)
        good(found)
        assert found.status == ("packed" if capacity >= least else "infeasible")
        assert found.lower_bound_bytes <= least


LIVES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(0, 20)), min_size=1, max_size=8
)


@given(LIVES, st.integers(5, 60), st.randoms(use_true_random=False), st.integers(-50, 50))
def test_neither_order_nor_time_matters(
    given_: list[tuple[int, int, int]], capacity: int, rng: random.Random, shift: int
) -> None:
    lives = [Lifetime(str(i), a, a + d, s) for i, (a, d, s) in enumerate(given_)]
    first = allocate(lives, capacity, time_limit_s=None)
    good(first)
    assert first.status != "not found"
    moved = [replace(b, lower=b.lower + shift, upper=b.upper + shift) for b in lives]
    rng.shuffle(moved)
    again = allocate(moved, capacity, time_limit_s=None)
    assert again.status == first.status
    # Backwards in time, stretched, and in other bytes it is the same problem too.
    turned = [Lifetime(b.id, -3 * b.upper, -3 * b.lower, 7 * b.size_bytes) for b in lives]
    assert allocate(turned, 7 * capacity, time_limit_s=None).status == first.status


@given(LIVES, st.integers(1, 60))
def test_more_room_is_never_worse(given_: list[tuple[int, int, int]], capacity: int) -> None:
    lives = [Lifetime(str(i), a, a + d, s) for i, (a, d, s) in enumerate(given_)]
    lowest = allocate(lives, time_limit_s=None)
    assert lowest.proved
    fits = allocate(lives, capacity, time_limit_s=None).status == "packed"
    assert fits == (capacity >= lowest.height_bytes)


def test_the_same_seed_gives_the_same_offsets() -> None:
    lives = full(random.Random(5), 50, 200, 30)
    runs = [allocate(lives, 200, seed=3, time_limit_s=None) for _ in range(2)]
    assert runs[0].offsets == runs[1].offsets
    assert runs[0].counts == runs[1].counts
    assert list(runs[0].offsets) == [b.id for b in lives]


def test_a_hold_stays_and_others_go_around() -> None:
    held = Lifetime("held", 0, 10, 40, offset=30)
    lives = [held, *(Lifetime(f"b{i}", 2 * i, 2 * i + 4, 15) for i in range(4))]
    found = allocate(lives, 70)
    good(found)
    assert found.offsets["held"] == 30
    assert found.status == "packed"  # 15 + 15 below it
    low = allocate(lives, 69)
    assert low.status == "infeasible"
    assert low.proof
    assert low.proof.kind == "offset"
    assert low.proof.buffers == ("held",)


def test_hints_are_tried_first() -> None:
    lives = full(random.Random(8), 40, 300, 25)
    once = allocate(lives, 300)
    again = allocate([replace(b, hint=once.offsets[b.id]) for b in lives], 300)
    assert again.method == "first fit by hints"
    assert again.offsets == once.offsets


def test_nothing_and_next_to_nothing() -> None:
    nothing = allocate([], 0)
    assert (nothing.status, nothing.height_bytes, dict(nothing.offsets)) == ("packed", 0, {})
    empty = allocate([Lifetime("a", 0, 1, 0), Lifetime("b", 0, 1, 0, offset=3)])
    good(empty)
    assert dict(empty.offsets) == {"a": 0, "b": 3}
    assert allocate([Lifetime("a", 0, 1, 1)], 0).status == "infeasible"


def test_parts_that_share_no_moment_are_packed_apart() -> None:
    one = full(random.Random(1), 30, 100, 20)
    other = [replace(b, id=f"later {b.id}", lower=b.lower + 20, upper=b.upper + 20) for b in one]
    found = allocate([*one, *other], 100)
    good(found)
    assert found.status == "packed"


def test_a_limit_of_nodes_ends_as_not_found() -> None:
    lives = brimful(random.Random(11), 60, 30, 8)
    found = allocate(lives, 60, node_limit=40, time_limit_s=None)
    good(found)
    assert found.status == "not found"
    assert found.gap_bytes > 0
    assert found.lower_bound_bytes == 60
    assert not found.proved
    assert "not found" in str(found)
    again = allocate(lives, 60, node_limit=40, time_limit_s=None)
    assert again.offsets == found.offsets


def test_a_deadline_that_has_passed_still_gives_offsets() -> None:
    lives = brimful(random.Random(11), 60, 30, 8)
    good(allocate(lives, 60, time_limit_s=0))
    good(allocate(lives, time_limit_s=0))


def test_what_is_left_at_the_deadline_is_piled_up() -> None:
    """Also around one that is held; half of the buffers have lifetimes that reach far."""
    rng = random.Random(4)
    lives = [*scattered(rng, 500, length=40), *scattered(rng, 500, length=400, largest=90)]
    lives = [replace(b, id=str(i), alignment=rng.choice([1, 4])) for i, b in enumerate(lives)]
    held = replace(lives[0], offset=4096)
    late = allocate([held, *lives[1:]], time_limit_s=0)
    good(late)
    assert not late.proved
    assert late.height_bytes > allocate(lives, time_limit_s=None, node_limit=0).height_bytes


def test_every_fault_of_buffers_at_once() -> None:
    with pytest.raises(InputError) as caught:
        allocate(
            [
                Lifetime("a", 3, 3, 1),
                Lifetime("a", 0, 1, -1),
                Lifetime("c", 0, 1, 4, alignment=0),
                Lifetime("d", 0, 1, 4, alignment=8, offset=4),
                Lifetime("e", 0, 1, 1.5),  # type: ignore[arg-type]
                Lifetime("f", 0, 1, 1, offset=-2),
                Lifetime("g", 0, 1, 1, hint=-2),
            ],
            -1,
            time_limit_s=-1,
            alignment=0,
            node_limit=-1,
        )
    assert len(caught.value.faults) == 12


def test_holds_that_contradict_are_faults() -> None:
    with pytest.raises(InputError) as caught:
        allocate([Lifetime("a", 0, 4, 10, offset=0), Lifetime("b", 3, 5, 4, offset=6)], alignment=4)
    assert len(caught.value.faults) == 2
