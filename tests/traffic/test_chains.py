"""Chains: fused groups equal what runs on a small chip in every way, cuts equal all partitions."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from fused_run import (
    PART,
    block_ways,
    run,
    run_blocks,
    run_sliced,
    run_slices,
    sliced_ways,
    ways,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.fused_chains import chain
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws, of_draws


def product(m: int, k: int, n: int, groups: int = 1) -> TileNest:
    return TileNest(out_rows=m, in_channels=k, out_channels=n, groups=groups)


def widths_of(rng: random.Random) -> Widths:
    return Widths(
        rng.choice([0.5, 1, 2]), rng.choice([0.5, 1, 2]), rng.choice([1, 2]), rng.choice([2, 4])
    )


def products(rng: random.Random, number: int, top: int) -> list[TileNest]:
    channels = [rng.randint(1, top) for _ in range(number + 1)]
    rows = rng.randint(1, top)
    return [product(rows, k, n) for k, n in itertools.pairwise(channels)]


@pytest.mark.parametrize("held", [1, 2])
def test_fused_groups_equal_all_ways_to_run_them(held: int) -> None:
    rng = random.Random(held)
    for case in range(draws(9)):
        nests = products(rng, 2 if case % 3 else 3, 4)
        widths = [widths_of(rng) for _ in nests]
        points = [run(nests, widths, way, held) for way in ways(nests)]
        if len(nests) == 2:
            middle = nests[0].out_channels
            points += [run_slices(nests, widths, s, held) for s in range(1, middle + 1)]
            points += [run_blocks(nests, widths, way, held) for way in block_ways(nests)]
        else:
            points += [run_sliced(nests, widths, *way, held) for way in sliced_ways(nests)]
        found = chain(nests, widths, Conventions("double" if held == 2 else "single"))
        rooms = np.unique([p[0] for p in points])
        truth = [min(moved for room, moved in points if room <= r) for r in rooms]
        np.testing.assert_allclose(found.fused(rooms), truth, rtol=1e-12)
        assert found.fused(rooms[0] - 1e-6) == np.inf


@pytest.mark.parametrize("held", [1, 2])
def test_groups_beside_a_tensor_on_chip_equal_all_ways_to_run_them(held: int) -> None:
    rng = random.Random(10 + held)
    spans = [
        (0, 0, (False, True)),
        (0, 1, (False, True)),
        (1, 1, (True, True)),
        (1, 1, (True, False)),
        (1, 2, (True, False)),
        (2, 2, (True, False)),
    ]
    found_some = 0
    for _ in range(draws(6)):
        nests, widths = products(rng, 3, 4), [widths_of(rng) for _ in range(3)]
        found = chain(nests, widths, Conventions("double" if held == 2 else "single"))
        for first, last, lies in spans:
            some, wide = nests[first : last + 1], widths[first : last + 1]
            stored = widths[last + 1].input if lies[1] else 0.0
            points = [
                run(some, wide, way, held, lies, stored)
                for way in ways(some)
                if not ((lies[0] and way.states[0] == PART) or (lies[1] and way.states[-1] == PART))
            ]
            rooms = np.unique([p[0] for p in points])
            truth = [min(moved for room, moved in points if room <= r) for r in rooms]
            ours = found.group(first, last, rooms, lies)
            if np.all(np.isinf(ours)):
                # The tensor takes more than all that could be saved.
                continue
            found_some += 1
            np.testing.assert_allclose(ours, truth, rtol=1e-12)
    assert found_some > of_draws(15)


def test_the_best_cuts_equal_all_partitions() -> None:
    rng = random.Random(3)
    lying = 0
    for _ in range(draws(15)):
        nests = products(rng, 4, 9)
        widths = [widths_of(rng) for _ in nests]
        found = chain(nests, widths)
        rooms = np.array([rng.uniform(5, 400) for _ in range(40)])
        truth = np.full(rooms.shape, np.inf)
        # Between operators: together, off chip, or on it whole.
        for cuts in itertools.product(("together", "off", "on"), repeat=3):
            ends = [0, *(i + 1 for i, cut in enumerate(cuts) if cut != "together"), 4]
            on = [False, *(cut == "on" for cut in cuts if cut != "together"), False]
            moved = sum(
                found.group(a, b - 1, rooms, lies)
                for (a, b), lies in zip(
                    itertools.pairwise(ends), itertools.pairwise(on), strict=True
                )
            )
            truth = np.minimum(truth, moved)
        np.testing.assert_allclose(found(rooms), truth, rtol=1e-12)
        for room, least in zip(rooms.tolist(), truth.tolist(), strict=True):
            groups = found.partition(room)
            assert sum(g.traffic_bytes for g in groups) == pytest.approx(least) or not groups
            operators = [i for g in groups for i in range(g.first, g.last + 1)]
            assert operators == (list(range(4)) if np.isfinite(least) else [])
            lies = [g.lies_on_chip for g in groups]
            assert all(one[1] == two[0] for one, two in itertools.pairwise(lies))
            lying += any(one[1] for one in lies)
    assert lying > of_draws(3)


def test_one_operator_alone_is_its_staircase_or_better() -> None:
    convolution, c = TileNest(14, 14, 8, 8, 3, 3), Conventions("single")
    found = chain([convolution], Widths(1, 1, 1, 4), c)
    stairs = staircase(convolution, Widths(1, 1, 1, 4), c)
    assert found.capacity_bytes.tolist() == stairs.capacity_bytes.tolist()
    assert found.traffic_bytes.tolist() == stairs.traffic_bytes.tolist()
    assert found.fused_capacity_bytes == np.inf
    gemm = product(40, 30, 20)
    found, stairs = chain([gemm], Widths(1, 1, 1, 4), c), staircase(gemm, Widths(1, 1, 1, 4), c)
    rooms = np.geomspace(3, 5000, 80)
    assert np.all(found(rooms) <= stairs(rooms))


def rows_back(tile: list[int], kernels: list[TileNest]) -> list[set[int]]:
    """Rows of every tensor that rows of the last output need, the first input first; by sets."""
    need = [set(tile)]
    for nest in kernels[::-1]:
        need.append(
            {
                i * nest.row_stride + j * nest.row_dilation
                for i in need[-1]
                for j in range(nest.kernel_rows)
            }
        )
    return need[::-1]


def convolutions(rng: random.Random, number: int) -> list[TileNest]:
    """Without padding: every output row of one operator is an input row of the next."""
    channels = [rng.randint(1, 3) for _ in range(number + 1)]
    rows, nests = rng.randint(2, 6), list[TileNest]()
    for i in range(number - 1, -1, -1):
        taps, stride, dilation = rng.choice([(3, 1, 1), (2, 1, 1), (3, 2, 1), (1, 1, 1), (5, 2, 1)])
        nests.append(
            TileNest(
                rows, 1, channels[i + 1], channels[i], taps, 1, stride, 1, row_dilation=dilation
            )
        )
        rows = (rows - 1) * stride + (taps - 1) * dilation + 1
    return nests[::-1]


@pytest.mark.parametrize("halo", ["refetched", "kept"])
def test_convolutions_fetch_and_make_what_sets_of_rows_say(halo: Any) -> None:
    rng = random.Random(5)
    fell = 0
    for _ in range(draws(40)):
        nests = convolutions(rng, rng.choice([2, 3]))
        if all(nest.is_gemm for nest in nests):
            continue
        widths = Widths(1, 1, 1, 1)
        found = chain(nests, widths, Conventions("single", halo))
        extent = nests[-1].out_rows
        weights = [n.in_channels * n.out_channels * n.kernel_rows for n in nests]
        outputs = extent * nests[-1].out_channels
        allowed = set()
        for tile in range(1, extent + 1):
            starts = range(0, extent, tile)
            needs = [rows_back(list(range(s, min(s + tile, extent))), nests) for s in starts]
            rows = sum(len(n[0]) for n in needs)
            if halo == "kept":
                rows = len(set.union(*(n[0] for n in needs)))
            for kept in itertools.product((1, len(starts)), repeat=len(nests)):
                moved = sum(w * times for w, times in zip(weights, kept, strict=True))
                allowed.add(rows * nests[0].in_channels + outputs + moved)
        rooms = np.geomspace(1, 1e5, 5000)
        steps = np.unique(found.group(0, len(nests) - 1, rooms))
        finite = steps[np.isfinite(steps)]
        assert set(finite.tolist()) <= allowed
        assert finite[0] == min(allowed)
        fell += len(finite) > 1
        work = found.partition(1e9)[0].recomputed
        assert work == 1.0
    assert fell > of_draws(10)


def test_overlapping_intermediates_are_made_again_unless_kept() -> None:
    nests = [TileNest(64, 64, 8, 8, 3, 3), TileNest(62, 62, 8, 8, 3, 3)]
    again = chain(nests, Widths(1, 1, 1, 4), Conventions("single"))
    room = 12_000.0
    (group,) = again.partition(room)
    images, rows, columns = group.tile
    assert images == 1
    made = sum(
        (min(rows, 62 - r) + 2) * (min(columns, 62 - c) + 2)
        for r in range(0, 62, rows)
        for c in range(0, 62, columns)
    )
    assert group.recomputed == pytest.approx((made + 62 * 62) / (64 * 64 + 62 * 62), rel=1e-12)
    assert group.recomputed > 1
    kept = chain(nests, Widths(1, 1, 1, 4), Conventions("single", "kept"))
    assert kept(room) < again(room)
    assert kept.partition(room)[0].recomputed == 1.0


def test_fused_attention_reads_keys_and_values_once_a_block_of_queries() -> None:
    rows, keys, head, heads = 512, 512, 64, 8
    widths = Widths(2, 2, 2, 4)
    found = chain(
        [product(rows, head, keys, heads), product(rows, keys, head, heads)],
        widths,
        Conventions("single"),
    )
    ends = 2 * rows * head * 2 * heads
    for room in np.geomspace(2_000, 200_000, 12).tolist():
        # Dao et al., FlashAttention, NeurIPS 2022: blocks of queries, keys and values passing by.
        block = int((room - 2 * 2) // (head * 2 + head * 4 + 4))
        passes = -(-rows // min(block, rows))
        by_queries = ends + heads * passes * 2 * keys * head * 2
        assert found.fused(room) <= by_queries
        # Never below keys and values once, nor below what blocks of so many rows can save.
        assert found.fused(room) >= ends + heads * 2 * keys * head * 2
    wide = found.fused(1e9)
    assert wide == ends + heads * 2 * keys * head * 2


def test_heads_share_rows_with_operators_that_mix_them() -> None:
    batch, heads, length, head = 4, 8, 64, 16
    rows, model = batch * length, heads * head
    nests = [
        product(rows, model, model),
        product(length, head, length, batch * heads),
        product(length, length, head, batch * heads),
        product(rows, model, model),
    ]
    widths = Widths(2, 2, 2, 2)
    found = chain(nests, widths, Conventions("single"))
    weights = 2 * model * model
    keys = rows * model
    assert found.compulsory_bytes == 2 * (2 * rows * model + weights + 2 * keys)
    # Tiles of whole sequences with nothing kept: projections once a sequence, keys once in all.
    sequence = 2 * (2 * rows * model + batch * weights + 2 * keys)
    held = np.unique(found.group(0, 3, found.capacity_bytes))
    assert sequence in held
    # One head of queries and outputs at a time beside whole rows: less room than all heads.
    room = 2 * (2 * length * model + 2 * length * head + length + 4)
    assert found.fused(room) <= sequence
    whole = 2 * (2 * length * model)
    assert room < whole * 1.5


def test_a_depthwise_operator_passes_single_channels_on() -> None:
    expand = TileNest(28, 28, 144, 24)
    depthwise = TileNest(28, 28, 1, 1, 3, 3, groups=144)
    project = TileNest(28, 28, 24, 144)
    found = chain([expand, depthwise, project], Widths(1, 1, 1, 4), Conventions("single", "kept"))
    # Padding lies around the intermediate, which is on chip.
    first, last = 24 * 28 * 28, 24 * 28 * 28
    weights = 144 * 24 * 2 + 144 * 9
    assert found.compulsory_bytes == first + last + weights
    # Far less room than one whole intermediate, which layer by layer goes out and comes back.
    assert found.effectual_capacity_bytes < 0.25 * 144 * 28 * 28
    assert found.unfused(1e9) > 5 * found.compulsory_bytes


rows_ = st.integers(1, 40)
channels_ = st.lists(st.integers(1, 40), min_size=3, max_size=5)
widths_ = st.builds(
    Widths,
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from([2.0, 4.0]),
)


@given(rows_, channels_, widths_, st.sampled_from(["single", "double"]))
@settings(max_examples=draws(40), deadline=None)
def test_fusion_is_a_choice_and_room_is_never_bad(
    rows: int, channels: list[int], widths: Widths, buffering: Any
) -> None:
    nests = [product(rows, k, n) for k, n in itertools.pairwise(channels)]
    found = chain(nests, widths, Conventions(buffering))
    rooms = np.geomspace(5, 20_000, 60)
    moved = found(rooms)
    ends = rows * (channels[0] * widths.input + channels[-1] * widths.output)
    weights = sum(k * n for k, n in itertools.pairwise(channels)) * widths.weight
    finite = np.isfinite(moved)
    assert np.all(moved[finite][1:] <= moved[finite][:-1])
    assert np.all(moved <= found.unfused(rooms))
    assert np.all(moved >= (ends + weights) * (1 - 1e-12))
    assert found.compulsory_bytes == pytest.approx(ends + weights, rel=1e-12)
    assert np.all(found.fused(rooms) >= moved)


@pytest.mark.parametrize(
    ("nests", "words"),
    [
        ([], "a chain has an operator"),
        (
            [product(4, 2, 3), product(4, 4, 2)],
            "an output of 3 channels is followed by an input of 4",
        ),
        ([product(4, 2, 3), product(3, 3, 2)], "rows of a chain"),
        ([TileNest(8, 8, 2, 2, 3, 3, batch=2), TileNest(6, 6, 2, 2, 3, 3)], "same images"),
    ],
)
def test_what_is_refused(nests: list[TileNest], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chain(nests, Widths())
