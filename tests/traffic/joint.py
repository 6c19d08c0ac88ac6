"""Several levels of tiles from their definition: every nest of loops, and a walk through one.

A mapping gives each dimension

    N images, P rows, Q columns, K output channels, C input channels

one loop bound a level; the loops of an outer level stand outside those of an inner one, in any
order. A level cuts what the level outside it holds into as many parts as its bound says, as equal
as can be (sizes differ by at most one; where there are more parts than positions, some are empty).
A buffer holds one tile of each operand and fetches the next when the loop indices that the operand
depends on change. An outer tile that stays the same while an inner buffer still holds its part of
it is not fetched again by the inner one.

Nothing here is shared with the package but the types that describe a problem.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths

DIMENSIONS = "NPQKC"
INDEXED = {"input": "NPQC", "weight": "KC", "output": "NPQK"}
Loop = tuple[int, str]


def extents(nest: TileNest) -> dict[str, int]:
    return {
        "N": nest.batch,
        "P": nest.out_rows,
        "Q": nest.out_columns,
        "K": nest.out_channels,
        "C": nest.in_channels,
    }


def touched(positions: list[int], taps: int, stride: int, dilation: int) -> set[int]:
    return {i * stride + j * dilation for i in positions for j in range(taps)}


def parts(items: list[int], bounds: tuple[int, ...]) -> list[Any]:
    """Split a list by one bound a level, as nested lists."""
    if not bounds:
        return items
    small, more = divmod(len(items), bounds[0])
    cuts, at = [], 0
    for k in range(bounds[0]):
        size = small + (k < more)
        cuts.append(parts(items[at : at + size], bounds[1:]))
        at += size
    return cuts


def largest(extent: int, bounds: tuple[int, ...]) -> int:
    for bound in bounds:
        extent = -(-extent // bound)
    return extent


def leaves(tree: Any, depth: int) -> list[list[int]]:
    """Flatten nested lists to the parts of a depth."""
    if depth == 0:
        return [list(_items(tree))]
    return [leaf for branch in tree for leaf in leaves(branch, depth - 1)]


def _items(tree: Any) -> Iterator[int]:
    for item in tree:
        if isinstance(item, int):
            yield item
        else:
            yield from _items(item)


def walk(
    nest: TileNest,
    widths: Widths,
    orders: tuple[str, ...],
    bounds: dict[str, tuple[int, ...]],
    kept: bool = False,
) -> list[float]:
    """Bytes across each boundary, outermost first, of one mapping, by looking at every element."""
    sizes, levels = extents(nest), len(orders)
    trees = {d: parts(list(range(sizes[d])), bounds[d]) for d in DIMENSIONS}
    loops: list[Loop] = [(level, d) for level in range(levels) for d in orders[level]]
    total = []
    for boundary in range(levels):
        used = [loop for loop in loops if loop[0] <= boundary]
        held: dict[str, Any] = dict.fromkeys(INDEXED)
        here: dict[str, set[Any]] = {o: set() for o in INDEXED}
        loaded = dict.fromkeys(INDEXED, False)
        visits: Counter[Any] = Counter()
        moved = 0.0
        for step in itertools.product(*(range(bounds[d][level]) for level, d in used)):
            at = dict(zip(used, step, strict=True))
            span = {}
            for d in DIMENSIONS:
                tree = trees[d]
                for level in range(boundary + 1):
                    tree = tree[at[level, d]]
                span[d] = list(_items(tree))
            work = all(span.values())
            for operand, dims in INDEXED.items():
                own = [loop for loop in used if loop[1] in dims]
                index = tuple(at[loop] for loop in own)
                if held[operand] != index:
                    slides = (
                        kept
                        and operand == "input"
                        and loaded[operand]
                        and _slides(own, held[operand], index, bounds, boundary)
                    )
                    held[operand], loaded[operand] = index, False
                    if not slides:
                        here[operand] = set()
                if not work or loaded[operand]:
                    continue
                loaded[operand] = True
                cells = _cells(nest, operand, span)
                fresh = cells - here[operand]
                here[operand] = cells
                if operand == "output":
                    visits.update(cells)
                else:
                    moved += len(fresh) * getattr(widths, operand)
        assert len(visits) == nest.batch * nest.out_rows * nest.out_columns * nest.out_channels
        moved += sum(2 * (v - 1) * widths.partial + widths.output for v in visits.values())
        total.append(moved)
    return total


def _slides(
    own: list[Loop],
    old: tuple[int, ...] | None,
    new: tuple[int, ...],
    bounds: dict[str, tuple[int, ...]],
    boundary: int,
) -> bool:
    """Whether a window moved by one along rows or columns, the innermost loop of the input."""
    if old is None:
        return False
    moving = [k for k, (level, d) in enumerate(own) if bounds[d][level] > 1]
    # The innermost level that moves the input at all is the one whose window may slide.
    last = moving[-1]
    changed = [k for k in range(len(own)) if old[k] != new[k]]
    return changed == [last] and own[last][1] in "PQ" and new[last] == old[last] + 1


def _cells(nest: TileNest, operand: str, span: dict[str, list[int]]) -> set[Any]:
    rows: Any = touched(span["P"], nest.kernel_rows, nest.row_stride, nest.row_dilation)
    columns: Any = touched(span["Q"], nest.kernel_columns, nest.column_stride, nest.column_dilation)
    taps = range(nest.kernel_rows), range(nest.kernel_columns)
    if operand == "input":
        return set(itertools.product(span["N"], rows, columns, span["C"]))
    if operand == "weight":
        return set(itertools.product(span["K"], span["C"], *taps))
    return set(itertools.product(span["N"], span["P"], span["Q"], span["K"]))


def bound_chains(extent: int, levels: int) -> list[tuple[int, ...]]:
    """All loop bounds of an extent that leave no part larger than needed."""
    if levels == 0:
        return [()]
    return [
        (n, *rest)
        for n in range(1, extent + 1)
        for rest in bound_chains(-(-extent // n), levels - 1)
    ]


def search(
    nest: TileNest,
    widths: Widths,
    capacities: tuple[float, ...],
    conventions: Conventions,
    bounds: dict[str, tuple[int, ...]] | None = None,
) -> np.ndarray[Any, Any]:
    """Bytes across each boundary of every mapping that fits: all bounds (or these), all orders."""
    sizes, levels = extents(nest), len(capacities)
    long = [d for d in DIMENSIONS if sizes[d] > 1]
    tables, held = _tables(nest, widths, levels, bounds)
    fits = np.all(sum(held.values()) <= np.array(capacities)[:, None] * (1 + 1e-12), axis=0)
    tables = {d: {k: v[:, fits] for k, v in t.items()} for d, t in tables.items()}
    held = {o: v[:, fits] for o, v in held.items()}
    found = []
    for orders in itertools.product(itertools.permutations(long), repeat=levels):
        loops = [(level, d) for level in range(levels) for d in orders[level]]
        found.append(_evaluate(nest, widths, capacities, conventions, loops, tables, held))
    points = np.concatenate(found, axis=1).T
    return np.unique(points, axis=0)


def evaluate(
    nest: TileNest,
    widths: Widths,
    capacities: tuple[float, ...],
    conventions: Conventions,
    loops: list[Loop],
    bounds: dict[str, tuple[int, ...]],
) -> np.ndarray[Any, Any]:
    """Bytes across each boundary of one mapping, shape (levels, 1); (levels, 0) if too large."""
    tables, held = _tables(nest, widths, len(capacities), bounds)
    return _evaluate(nest, widths, capacities, conventions, loops, tables, held)


def _tables(
    nest: TileNest, widths: Widths, levels: int, bounds: dict[str, tuple[int, ...]] | None
) -> tuple[dict[str, dict[str, np.ndarray[Any, Any]]], dict[str, np.ndarray[Any, Any]]]:
    sizes = extents(nest)
    chains = {d: [bounds[d]] if bounds else bound_chains(sizes[d], levels) for d in DIMENSIONS}
    picks = np.indices([len(chains[d]) for d in DIMENSIONS]).reshape(len(DIMENSIONS), -1)
    facts = {d: _facts(nest, d, chains[d], levels) for d in DIMENSIONS}
    tables = {
        d: {k: v[:, pick] for k, v in facts[d].items()}
        for d, pick in zip(DIMENSIONS, picks, strict=True)
    }
    tile = {d: tables[d]["tile"] for d in DIMENSIONS}
    taps = nest.kernel_rows * nest.kernel_columns
    return tables, {
        "input": widths.input * tables["P"]["rows"] * tables["Q"]["rows"] * tile["N"] * tile["C"],
        "weight": widths.weight * taps * tile["K"] * tile["C"],
        "output": widths.partial * tile["N"] * tile["P"] * tile["Q"] * tile["K"],
    }


def _facts(
    nest: TileNest, d: str, chains: list[tuple[int, ...]], levels: int
) -> dict[str, np.ndarray[Any, Any]]:
    extent = extents(nest)[d]
    window = {
        "P": (nest.kernel_rows, nest.row_stride, nest.row_dilation),
        "Q": (nest.kernel_columns, nest.column_stride, nest.column_dilation),
    }.get(d, (1, 1, 1))
    out: dict[str, list[list[float]]] = {k: [] for k in ("bound", "tile", "parts", "rows", "sum")}
    for level in range(1, levels + 1):
        row: dict[str, list[float]] = {k: [] for k in out}
        for chain in chains:
            pieces = [p for p in leaves(parts(list(range(extent)), chain[:level]), level) if p]
            touch = [len(touched(p, *window)) for p in pieces]
            row["bound"].append(chain[level - 1])
            row["tile"].append(max(len(p) for p in pieces))
            row["parts"].append(len(pieces))
            row["rows"].append(max(touch))
            row["sum"].append(sum(touch))
        for k, v in row.items():
            out[k].append(v)
    return {k: np.array(v) for k, v in out.items()}


def _evaluate(
    nest: TileNest,
    widths: Widths,
    capacities: tuple[float, ...],
    conventions: Conventions,
    loops: list[Loop],
    tables: dict[str, dict[str, np.ndarray[Any, Any]]],
    held: dict[str, np.ndarray[Any, Any]],
) -> np.ndarray[Any, Any]:
    number = held["input"].shape[1]
    copies = 2 if conventions.buffering == "double" else 1
    ok = np.ones(number, bool)
    totals = []
    for level, capacity in enumerate(capacities):
        own = [loop for loop in loops if loop[0] <= level][::-1]
        room, bytes_ = np.zeros(number), np.zeros(number)
        for operand, dims in INDEXED.items():
            # Innermost loop that runs more than once: does it change this operand's tile?
            changes, decided = np.zeros(number, bool), np.zeros(number, bool)
            for at, d in own:
                runs = tables[d]["bound"][at] > 1
                changes |= runs & ~decided & (d in dims)
                decided |= runs
            room += held[operand][level] * np.where(changes, copies, 1)
            # Loops outside the innermost one that changes it, and that it does not depend on.
            inside, times = np.ones(number, bool), np.ones(number)
            counted: dict[str, np.ndarray[Any, Any]] = {}
            slide: dict[str, np.ndarray[Any, Any]] = {}
            moved_at = np.full(number, -1)
            for at, d in own:
                runs = tables[d]["bound"][at] > 1
                if d in dims:
                    if d in "PQ":
                        slide[d] = slide.get(d, np.zeros(number, bool)) | (inside & runs)
                    moved_at = np.where(inside & runs, at, moved_at)
                    inside &= ~runs
                else:
                    # A dimension's loops count as tiles that are not empty, from the outside in.
                    before = counted.get(d, np.ones(number))
                    counted[d] = np.where(~inside & (before == 1), tables[d]["parts"][at], before)
            for value in counted.values():
                times *= value
            bytes_ += _moved(
                nest, widths, conventions, operand, level, tables, times, slide, moved_at
            )
        ok &= room <= capacity * (1 + 1e-12)
        totals.append(bytes_)
    return np.array(totals)[:, ok]


def _moved(
    nest: TileNest,
    widths: Widths,
    conventions: Conventions,
    operand: str,
    level: int,
    tables: dict[str, dict[str, np.ndarray[Any, Any]]],
    times: np.ndarray[Any, Any],
    slide: dict[str, np.ndarray[Any, Any]],
    moved_at: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    size = extents(nest)
    if operand == "weight":
        taps = nest.kernel_rows * nest.kernel_columns
        return widths.weight * taps * size["K"] * size["C"] * times
    if operand == "output":
        cells = size["N"] * size["P"] * size["Q"] * size["K"]
        return cells * (2 * (times - 1) * widths.partial + widths.output)
    volume = np.full(times.shape, float(size["N"] * size["C"]))
    for d in "PQ":
        rows = tables[d]["sum"][level]
        if conventions.halo == "kept":
            outside = np.where(
                moved_at > 0,
                tables[d]["sum"][np.maximum(moved_at, 1) - 1, np.arange(rows.size)],
                len(
                    touched(
                        list(range(size[d])),
                        *(
                            (nest.kernel_rows, nest.row_stride, nest.row_dilation)
                            if d == "P"
                            else (nest.kernel_columns, nest.column_stride, nest.column_dilation)
                        ),
                    )
                ),
            )
            rows = np.where(slide.get(d, False), outside, rows)
        volume *= rows
    return widths.input * volume * times
