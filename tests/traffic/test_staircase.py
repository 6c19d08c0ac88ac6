"""Staircases equal a search over all tiles, orders and depths, at every capacity."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from exhaustive import (
    DIMENSIONS,
    INDEXED,
    KINDS,
    OPERANDS,
    Tilings,
    depths,
    extents,
    random_nest,
    random_widths,
    search,
    walk,
)

from perfmodel.cost.traffic.convolution_axis import flatten_nest
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import Tile, staircase
from tests.draws import draws, of_draws

EVEN = [Conventions(b, h, "even") for b in ("single", "double") for h in ("refetched", "kept")]
UNEVEN = [replace(conventions, allocation="uneven") for conventions in EVEN]


def equal_at_every_capacity(nest: TileNest, widths: Widths, conventions: Conventions) -> None:
    """Assert it; capacities go up in steps that no footprint lies between."""
    capacity, least = search(flatten_nest(nest), widths, conventions)
    found = staircase(nest, widths, conventions)
    wrong = np.flatnonzero(found(capacity) != least)
    assert not len(wrong), (
        f"{nest} {widths} {conventions}: {found(capacity)[wrong[0]]} at {capacity[wrong[0]]}, "
        f"by search {least[wrong[0]]}"
    )
    assert found.capacity_bytes[-1] <= capacity[-1]


@pytest.mark.parametrize("conventions", EVEN, ids=str)
def test_staircases_equal_a_search(conventions: Conventions) -> None:
    rng = np.random.default_rng(EVEN.index(conventions))
    seen: set[str] = set()
    for _ in range(draws(125)):
        kind, nest = random_nest(rng)
        seen.add(kind)
        equal_at_every_capacity(nest, random_widths(rng), conventions)
    assert seen == set(KINDS)


@pytest.mark.parametrize("conventions", UNEVEN, ids=str)
def test_uneven_staircases_equal_a_search(conventions: Conventions) -> None:
    rng = np.random.default_rng(10 + UNEVEN.index(conventions))
    for _ in range(draws(20)):
        equal_at_every_capacity(random_nest(rng, small=True)[1], random_widths(rng), conventions)


@pytest.mark.parametrize("conventions", [*EVEN, *UNEVEN], ids=str)
@pytest.mark.parametrize(
    "nest",
    [
        # Every loop has several iterations.
        TileNest(3, 2, 2, 2, 2, 2, batch=2),
        # Interlocking windows: a tile of one row shares nothing with the next, but with the third.
        TileNest(7, 2, 2, 1, 3, 2, row_dilation=2),
        # The last tile of taps is cheaper than equal tiles.
        TileNest(4, 1, 2, 2, 7, 1, row_stride=2),
        TileNest(6, 1, 1, 1, 5, 1, row_stride=3, row_dilation=2),
        # Uneven, an operand is best held between two loops that index the same operands.
        TileNest(4, 2, 1, 1, 2, 3),
    ],
)
def test_awkward_windows(nest: TileNest, conventions: Conventions) -> None:
    if conventions.allocation == "uneven" and nest.batch > 1:
        nest = replace(nest, out_rows=2, out_columns=2, in_channels=1)
    equal_at_every_capacity(nest, Widths(1.0, 0.5, 1.0, 2.0), conventions)
    if nest.batch == 1:
        equal_at_every_capacity(nest, Widths(1.0, 0.0, 0.0, 1.0), conventions)


@pytest.mark.parametrize("conventions", [*EVEN, *UNEVEN], ids=str)
def test_thin_nests_and_wide_operands(conventions: Conventions) -> None:
    """Where a loop has one iteration no tile may change at it, which shows with odd widths."""
    products = [TileNest(m, 1, n, k) for m, n, k in itertools.product((1, 5), (1, 4), (1, 6))]
    windows = [TileNest(4, 1, 1, 1, 3), TileNest(4, 1, 1, 3, 2), TileNest(4, 1, 3, 1, 2)]
    for nest, wide in itertools.product([*products, *windows], range(4)):
        for width in (0.5, 8.0):
            widths = Widths(*(width if i == wide else 2.0 for i in range(4)))
            equal_at_every_capacity(nest, widths, conventions)


@pytest.mark.parametrize("allocation", ["even", "uneven"])
@pytest.mark.parametrize("halo", ["refetched", "kept"])
def test_the_search_s_rule_equals_stepping_through(halo: str, allocation: str) -> None:
    """Fetched whenever a tile index changes: as a product of counts, and by looking at sets."""
    rng = np.random.default_rng(7)
    kept, conventions = halo == "kept", Conventions("single", "kept", allocation)  # pyright: ignore
    reloads = 0
    for _ in range(draws(80)):
        nest, widths = replace(random_nest(rng, small=True)[1], groups=1), random_widths(rng)
        every = Tilings(nest, widths)
        i = int(rng.integers(len(every.tile["N"])))
        order = "".join(rng.permutation(list(DIMENSIONS)))
        moved = held = 0.0
        inside: dict[str, str] = {}
        width = {"input": widths.input, "weight": widths.weight, "output": widths.partial}
        for x in OPERANDS:
            options = list(depths(order, INDEXED[x], conventions))
            outside, inside[x] = options[int(rng.integers(len(options)))]
            moved += every.traffic(x, outside, inside[x], kept=kept)[i]
            held += every.held(x, inside[x])[i] * width[x]
            reloads += int(every.visits(x, outside)[i] > 1)
        tile = {d: int(every.tile[d][i]) for d in DIMENSIONS}
        assert walk(nest, widths, order, tile, inside, kept=kept) == (moved, held)
    assert reloads > of_draws(20)


@pytest.mark.parametrize("conventions", EVEN, ids=str)
def test_flat_axes_are_never_worse_than_rectangles(conventions: Conventions) -> None:
    """Where windows do not overlap, pixels and taps are flat indices of a product."""
    rng = np.random.default_rng(3)
    for _ in range(draws(12)):
        rows, columns, outs, ins, taps, images = (
            int(rng.integers(low, high))
            for low, high in ((2, 6), (2, 5), (1, 4), (1, 4), (1, 3), (1, 3))
        )
        nest = TileNest(rows, columns, outs, ins, taps, 1, 2, 2, batch=images)
        widths = random_widths(rng)
        flat = flatten_nest(nest)
        assert flat.macs == nest.macs
        assert flat.kernel_rows == flat.out_columns == flat.batch == 1
        capacity, rectangles = search(nest, widths, conventions)
        assert np.all(staircase(nest, widths, conventions)(capacity) <= rectangles)


@pytest.mark.parametrize("conventions", [*EVEN, *UNEVEN], ids=str)
def test_tiles_do_what_their_steps_say(conventions: Conventions) -> None:
    """Each step's tile, in the best order by the search's rule, moves each part that it names."""
    nest, widths = TileNest(5, 4, 4, 3, 3, 2, 2, 1), Widths(1.0, 2.0, 1.0, 4.0)
    every, found = Tilings(nest, widths), staircase(nest, widths, conventions)
    kept, double = conventions.halo == "kept", conventions.buffering == "double"
    width = {"input": widths.input, "weight": widths.weight, "output": widths.partial}
    names = dict(zip(DIMENSIONS, Tile._fields[:7], strict=True))
    for step in range(0, len(found), 3):
        tile = found.step_tile(step)
        i = int(
            np.flatnonzero(
                np.all([every.tile[d] == getattr(tile, name) for d, name in names.items()], axis=0)
            )[0]
        )
        wanted = (
            found.input_bytes[step],
            found.weight_bytes[step],
            found.output_bytes[step],
        )
        for order in itertools.permutations(every.active):
            line, parts, held = "".join(order), [], 0.0
            for x in OPERANDS:
                whole = {d for d, name in names.items() if name in tile.panels.get(x, ())}
                inside = next(
                    (
                        n
                        for _, n in depths(line, INDEXED[x], Conventions(allocation="uneven"))
                        if {d for d in n if d in INDEXED[x]} == whole & set(line)
                    ),
                    None,
                )
                if inside is None:
                    break
                outside = line[: len(line) - len(inside)]
                parts.append(every.traffic(x, outside, inside, kept=kept)[i])
                copies = 1 + (double and every.doubled(x, outside, inside)[i])
                held += copies * every.held(x, inside)[i] * width[x]
            if tuple(parts) == wanted and held == found.capacity_bytes[step]:
                break
        else:
            pytest.fail(f"no order of loops makes step {step} of {tile}")


LAYERS = [
    TileNest(112, 112, 64, 3, 7, 7, 2, 2),
    TileNest(56, 56, 64, 64, 3, 3),
    TileNest(28, 28, 128, 64, 3, 3, 2, 2),
    TileNest(7, 7, 512, 512, 3, 3, batch=4),
    TileNest(56, 56, 1, 1, 3, 3, 2, 2),
    TileNest(33, 33, 48, 96, 3, 3, row_dilation=6, column_dilation=6),
    # Enough tiles of rows and taps that only neighbours are compared.
    TileNest(1500, 1, 32, 16, 10, 1, row_stride=5),
]


@pytest.mark.parametrize("nest", LAYERS, ids=lambda n: f"{n.out_rows}x{n.in_channels}")
@pytest.mark.parametrize("conventions", [*EVEN, UNEVEN[0], UNEVEN[3]], ids=str)
def test_no_tile_of_a_real_layer_is_below_its_staircase(
    nest: TileNest, conventions: Conventions
) -> None:
    """Any integers as tiles in any order, of layers too large to search."""
    rng, n = np.random.default_rng(1), 200
    widths, found = Widths(), staircase(nest, Widths(), conventions)
    kept, double = conventions.halo == "kept", conventions.buffering == "double"
    width = {"input": widths.input, "weight": widths.weight, "output": widths.partial}
    whole = extents(nest)
    # Even in the logarithm, so that small and whole tiles both come up.
    tile = {d: np.rint(e ** rng.uniform(0, 1, n)).astype(np.int64) for d, e in whole.items()}
    every = Tilings(nest, widths, tile)
    nearest = np.inf
    for _ in range(draws(25)):
        order = "".join(rng.permutation(list(every.active)))
        held, moved = 0.0, 0.0
        for x in OPERANDS:
            options = list(depths(order, INDEXED[x], conventions))
            outside, inside = options[int(rng.integers(len(options)))]
            copies = 1 + (double & every.doubled(x, outside, inside))
            held = held + every.held(x, inside) * width[x] * copies
            moved = moved + every.traffic(x, outside, inside, kept=kept)
        least = found(np.asarray(held))
        assert np.all(least <= moved)
        nearest = min(nearest, float(np.min(moved / least)))
    # Some come near: the check is not about tiles that nobody would use.
    assert nearest < 2


@pytest.mark.parametrize("conventions", [*EVEN, *UNEVEN], ids=str)
def test_larger_products(conventions: Conventions) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3 if conventions.allocation == "even" else 1):
        m, n, k = (int(d) for d in rng.integers(1, 120, 3))
        equal_at_every_capacity(TileNest(m, 1, n, k), Widths(1.0, 0.5, 1.0, 4.0), conventions)


def test_extents_of_the_search_are_all_covered() -> None:
    """The search meets both kinds of sizes: all, and the smallest of each count."""
    nest = TileNest(8, 3, 13, 1, 2, 2)
    every = Tilings(nest, Widths())
    assert set(every.tile["P"].tolist()) == {1, 2, 3, 4, 8}
    assert set(every.tile["Q"].tolist()) == {1, 2, 3}
    assert all(extents(nest)[d] == every.tile[d].max() for d in DIMENSIONS)
