"""Products in a chain, run tile by tile on a small chip: what they move, and the room they take.

A `Chip` counts the bytes that it holds at once and the bytes that it moves. `run` multiplies real
matrices in a given way and checks that the result is that of numpy, so that a schedule that is
counted is one that works. Nothing here is shared with the package but the types of a problem.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from perfmodel.cost.traffic.nest import TileNest, Widths

Matrix = np.ndarray
WHOLE, PART = "whole", "part"


@dataclass
class Chip:
    held: dict[str, float] = field(default_factory=dict)
    peak: float = 0.0
    moved: float = 0.0

    def hold(self, name: str, size: float) -> None:
        self.held[name] = size
        self.peak = max(self.peak, sum(self.held.values()))

    def free(self, *names: str) -> None:
        for name in names:
            self.held.pop(name, None)


@dataclass(frozen=True)
class Way:
    """How a chain runs: rows of a tile, which tensors are whole, weights kept, by columns or rows.

    `passing` has for each run of tied operators whether single rows pass by held columns of the
    weights; otherwise single weights pass by a column of all rows of the tile.
    """

    tile: int
    states: tuple[str, ...]
    kept: tuple[bool, ...]
    passing: tuple[bool, ...]


def runs_of(states: tuple[str, ...]) -> list[tuple[int, int]]:
    """Operators that run in turns: between two tensors that are whole, or the ends."""
    ends = [0, *(i for i in range(1, len(states) - 1) if states[i] == WHOLE), len(states) - 1]
    return list(itertools.pairwise(ends))


def ways(nests: list[TileNest]) -> Iterator[Way]:
    number, rows = len(nests), nests[0].out_rows
    for states in itertools.product((WHOLE, PART), repeat=number + 1):
        if any(states[i] == states[i + 1] == PART for i in range(number)):
            continue
        for kept in itertools.product((False, True), repeat=number):
            for passing in itertools.product((False, True), repeat=len(runs_of(states))):
                for tile in range(1, rows + 1):
                    yield Way(tile, states, kept, passing)


def run(
    nests: list[TileNest],
    widths: list[Widths],
    way: Way,
    held: int,
    lies: tuple[bool, bool] = (False, False),
    stored: float = 0.0,
) -> tuple[float, float]:
    """Run a chain; return the bytes held at most and the bytes moved.

    `lies`: whether the first input, and the last output, is on chip whole all the time; the output
    then takes `stored` bytes an element.
    """
    chip, random = Chip(), np.random.default_rng(0)
    rows = nests[0].out_rows
    x = random.integers(-4, 5, (rows, nests[0].in_channels))
    weights = [random.integers(-4, 5, (n.in_channels, n.out_channels)) for n in nests]
    wanted = x
    for w in weights:
        wanted = wanted @ w
    result = np.zeros_like(wanted)
    for i, keep in enumerate(way.kept):
        if keep:
            chip.hold(f"kept {i}", weights[i].size * widths[i].weight)
            chip.moved += weights[i].size * widths[i].weight
    if lies[0]:
        chip.hold("input lies", x.size * widths[0].input)
    if lies[1]:
        chip.hold("output lies", wanted.size * stored)
    for start in range(0, rows, way.tile):
        part = slice(start, min(start + way.tile, rows))
        block = x[part]
        tensor: Matrix | None = block if lies[0] else None
        if way.states[0] == WHOLE and not lies[0]:
            chip.hold("tensor 0", block.size * widths[0].input)
            chip.moved += block.size * widths[0].input
            tensor = block
        for (a, b), passing in zip(runs_of(way.states), way.passing, strict=True):
            step = Step(chip, widths, way, held, weights, part, stored if lies[1] else None)
            tensor = step.run(a, b, passing, tensor, x, result)
    assert np.array_equal(result, wanted)
    return chip.peak, chip.moved


@dataclass
class Step:
    """One run of tied operators on one tile."""

    chip: Chip
    widths: list[Widths]
    way: Way
    copies: int
    weights: list[Matrix]
    part: slice
    #: Bytes of an element of the last output where it lies on chip anyway.
    lies: float | None = None

    def summing(self, tensor: int, elements: int, wide: float) -> None:
        """Hold a tensor while it is summed up whole."""
        if tensor == len(self.weights) and self.lies is not None:
            wide = max(0, wide - self.lies)
        self.chip.hold(f"tensor {tensor}", elements * wide)

    def fetch(self, i: int, name: str, number: int, copies: int) -> None:
        """Fetch some weights of operator i."""
        if not self.way.kept[i]:
            self.chip.hold(f"weight {name}", number * self.widths[i].weight * copies)

    def count(self, i: int, number: int) -> None:
        if not self.way.kept[i]:
            self.chip.moved += number * self.widths[i].weight

    def run(
        self, a: int, b: int, passing: bool, tensor: Matrix | None, x: Matrix, result: Matrix
    ) -> Matrix | None:
        last = len(self.weights)
        first_part, last_part = self.way.states[a] == PART, self.way.states[b] == PART
        if b - a == 2:
            assert tensor is not None
            out = self.pair(a, passing, tensor)
        elif first_part:
            out = self.input_in_parts(a, passing, x[self.part])
        elif last_part:
            assert tensor is not None
            self.output_in_parts(a, passing, tensor, result)
            self.chip.free(f"tensor {a}", *[n for n in self.chip.held if n.startswith("weight")])
            return None
        else:
            assert tensor is not None
            out = self.both_whole(a, passing, tensor)
        self.chip.free(
            f"tensor {a}", "column", *[n for n in self.chip.held if n.startswith("weight")]
        )
        if b == last:
            result[self.part] = out
            if self.lies is None:
                self.chip.moved += out.size * self.widths[-1].output
            self.chip.free(f"tensor {b}")
            return None
        # Summed up wide, then stored in the width of the next input.
        self.chip.hold(f"tensor {b}", out.size * self.widths[b].input)
        return out

    def pair(self, a: int, passing: bool, tensor: Matrix) -> Matrix:
        """First operator's output one channel at a time, each taken in at once by the second."""
        one, two = self.weights[a], self.weights[a + 1]
        out = np.zeros((len(tensor), two.shape[1]), int)
        wide = self.widths[a + 1].partial
        self.summing(a + 2, out.size, wide)
        for j in range(one.shape[1]):
            self.count(a, one.shape[0])
            self.count(a + 1, two.shape[1])
            if passing:
                self.fetch(a, "one", one.shape[0], 1)
                self.fetch(a + 1, "two", two.shape[1], 1)
                self.chip.hold("column", self.widths[a].partial)
                for r in range(len(tensor)):
                    out[r] += (tensor[r] @ one[:, j]) * two[j]
            else:
                # Single weights of one operator, then of the other.
                self.chip.hold("column", len(tensor) * self.widths[a].partial)
                self.fetch(a, "one", 1, self.copies)
                column = np.zeros(len(tensor), int)
                for k in range(one.shape[0]):
                    column += tensor[:, k] * one[k, j]
                self.chip.free("weight one")
                self.fetch(a + 1, "two", 1, self.copies)
                for n in range(two.shape[1]):
                    out[:, n] += column * two[j, n]
                self.chip.free("weight two")
        return out

    def input_in_parts(self, a: int, passing: bool, block: Matrix) -> Matrix:
        """First input one channel at a time from outside, outputs summed up."""
        w, width = self.weights[a], self.widths[a]
        out = np.zeros((len(block), w.shape[1]), int)
        self.summing(a + 1, out.size, width.partial)
        for k in range(w.shape[0]):
            self.count(a, w.shape[1])
            self.chip.moved += len(block) * width.input
            if passing:
                self.fetch(a, "row", w.shape[1], 1)
                self.chip.hold("column", width.input * self.copies)
            else:
                self.fetch(a, "one", 1, self.copies)
                self.chip.hold("column", len(block) * width.input)
            out += np.outer(block[:, k], w[k])
        return out

    def output_in_parts(self, a: int, passing: bool, tensor: Matrix, result: Matrix) -> None:
        """Last output one channel at a time, each written out when complete."""
        w, width = self.weights[a], self.widths[a]
        for n in range(w.shape[1]):
            self.count(a, w.shape[0])
            if passing:
                self.fetch(a, "column", w.shape[0], 1)
                self.chip.hold("column", width.partial * self.copies)
            else:
                self.fetch(a, "one", 1, self.copies)
                self.chip.hold("column", len(tensor) * width.partial)
            result[self.part, n] = tensor @ w[:, n]
            self.chip.moved += len(tensor) * width.output
        self.chip.free("column")

    def both_whole(self, a: int, passing: bool, tensor: Matrix) -> Matrix:
        w, width = self.weights[a], self.widths[a]
        stored = self.widths[a + 1].input if a + 1 < len(self.widths) else width.output
        if a + 1 == len(self.weights) and self.lies is not None:
            stored = self.lies
        else:
            self.chip.hold(f"tensor {a + 1}", len(tensor) * w.shape[1] * stored)
        out = np.zeros((len(tensor), w.shape[1]), int)
        for n in range(w.shape[1]):
            self.count(a, w.shape[0])
            if passing:
                self.fetch(a, "column", w.shape[0], 1)
                self.chip.hold("column", max(0, width.partial - stored))
            else:
                self.fetch(a, "one", 1, self.copies)
                # Its place is there; while it is summed up it is wider.
                self.chip.hold("column", len(tensor) * max(0, width.partial - stored))
            out[:, n] = tensor @ w[:, n]
        return out


def run_slices(
    nests: list[TileNest], widths: list[Widths], slice_: int, held: int
) -> tuple[float, float]:
    """Two products, a slice of both weights at a time while all rows pass by."""
    chip, random = Chip(), np.random.default_rng(0)
    one, two = (random.integers(-4, 5, (n.in_channels, n.out_channels)) for n in nests)
    rows = nests[0].out_rows
    x = random.integers(-4, 5, (rows, one.shape[0]))
    sums = np.zeros((rows, two.shape[1]), int)
    starts = range(0, one.shape[1], slice_)
    for s in starts:
        part = slice(s, min(s + slice_, one.shape[1]))
        size = part.stop - part.start
        chip.hold("one", size * one.shape[0] * widths[0].weight)
        chip.hold("two", size * two.shape[1] * widths[1].weight)
        chip.moved += chip.held["one"] + chip.held["two"]
        for r in range(rows):
            chip.hold("input", held * one.shape[0] * widths[0].input)
            chip.hold("middle", size * widths[0].partial)
            chip.hold("output", held * two.shape[1] * widths[1].partial)
            chip.moved += one.shape[0] * widths[0].input
            if s:
                chip.moved += two.shape[1] * widths[1].partial
            sums[r] += (x[r] @ one[:, part]) @ two[part]
            wide = widths[1].output if part.stop == one.shape[1] else widths[1].partial
            chip.moved += two.shape[1] * wide
    assert np.array_equal(sums, x @ one @ two)
    return chip.peak, chip.moved


@dataclass(frozen=True)
class Blocks:
    """How two products share a block of rows and channels between them.

    `first` and `last`: whether the first input, and the last output, is held whole for all slices;
    `kept`: weights on chip throughout; `passing`: for each product whether elements of the first
    input, or the last output, pass by a line of the weights (else weights by a column of rows).
    """

    tile: int
    slice: int
    first: bool
    last: bool
    kept: tuple[bool, bool]
    passing: tuple[bool, bool]


def block_ways(nests: list[TileNest]) -> Iterator[Blocks]:
    flags = list(itertools.product((False, True), repeat=2))
    for tile in range(1, nests[0].out_rows + 1):
        for slice_ in range(1, nests[0].out_channels + 1):
            for (first, last), kept, passing in itertools.product(flags, flags, flags):
                # An output that is held whole has nothing to pass by.
                if not (last and passing[1]):
                    yield Blocks(tile, slice_, first, last, kept, passing)


def run_blocks(
    nests: list[TileNest], widths: list[Widths], way: Blocks, held: int
) -> tuple[float, float]:
    """Run two products block by block; return the bytes held at most and the bytes moved."""
    chip, x, weights = started(nests, widths, way.kept)
    sums = np.zeros((len(x), weights[1].shape[1]), int)
    for r in range(0, len(x), way.tile):
        rows = slice(r, min(r + way.tile, len(x)))
        if way.first:
            chip.hold("input", x[rows].size * widths[0].input)
            chip.moved += chip.held["input"]
        sums[rows] = one_block(chip, widths, weights, way, held, x[rows])
        if way.last:
            chip.moved += sums[rows].size * widths[1].output
        chip.free("input", "output")
    assert np.array_equal(sums, x @ weights[0] @ weights[1])
    return chip.peak, chip.moved


def started(
    nests: list[TileNest], widths: list[Widths], kept: tuple[bool, ...]
) -> tuple[Chip, Matrix, list[Matrix]]:
    """A chip with its kept weights fetched, the first input and all weights."""
    chip, random = Chip(), np.random.default_rng(0)
    x = random.integers(-4, 5, (nests[0].out_rows, nests[0].in_channels))
    weights = [random.integers(-4, 5, (n.in_channels, n.out_channels)) for n in nests]
    for i, keep in enumerate(kept):
        if keep:
            chip.hold(f"kept {i}", weights[i].size * widths[i].weight)
            chip.moved += weights[i].size * widths[i].weight
    return chip, x, weights


def one_block(
    chip: Chip, widths: list[Widths], weights: list[Matrix], way: Blocks, held: int, x: Matrix
) -> Matrix:
    """Take a tile of rows through two products; what is whole is held by the caller, or summed."""
    (a, b), (one, two), (pass_one, pass_two) = widths, weights, way.passing
    n = len(x)
    sums = np.zeros((n, two.shape[1]), int)
    if way.last:
        chip.hold("output", n * two.shape[1] * b.partial)
    for j in range(0, one.shape[1], way.slice):
        part = slice(j, min(j + way.slice, one.shape[1]))
        m = part.stop - part.start
        if not way.first:
            # Summed up over single channels of the input.
            chip.hold("block", n * m * a.partial)
            chip.moved += n * one.shape[0] * a.input
            line, passed = m, (a.input * held if pass_one else n * a.input)
        else:
            # Summed up one channel after another, wide in its place, then stored.
            chip.hold("block", n * m * b.input)
            wider = max(0, a.partial - b.input)
            line, passed = one.shape[0], (wider if pass_one else n * wider)
        if not way.kept[0]:
            chip.hold("weight", (line if pass_one else held) * a.weight)
            chip.moved += one.shape[0] * m * a.weight
        chip.hold("passing", passed)
        block = x @ one[:, part]
        chip.free("passing", "weight")
        chip.hold("block", n * m * b.input)
        if not way.kept[1]:
            chip.hold("weight", (m if pass_two else held) * b.weight)
            chip.moved += m * two.shape[1] * b.weight
        if not way.last:
            chip.hold("passing", b.partial * held if pass_two else n * b.partial)
            done = part.stop == one.shape[1]
            chip.moved += (
                n * two.shape[1] * ((b.partial if j else 0) + (b.output if done else b.partial))
            )
        sums += block @ two[part]
        chip.free("passing", "weight", "block")
    return sums


def sliced_ways(nests: list[TileNest]) -> Iterator[tuple[int, Blocks, Way]]:
    """Ways of three products, two of which (from 0 or from 1 on) share a block slice by slice."""
    flags = (False, True)
    for at in (0, 1):
        for tile, slice_ in itertools.product(
            range(1, nests[0].out_rows + 1), range(1, nests[at].out_channels + 1)
        ):
            for kept in itertools.product(flags, repeat=3):
                for one, two, alone, end in itertools.product(flags, flags, flags, (WHOLE, PART)):
                    if at == 0 and two:
                        continue
                    block = Blocks(
                        tile, slice_, at == 1, at == 0, (kept[at], kept[at + 1]), (one, two)
                    )
                    states = (WHOLE, WHOLE, WHOLE, end) if at == 0 else (end, WHOLE, WHOLE, WHOLE)
                    yield at, block, Way(tile, states, kept, (alone,))


def run_sliced(
    nests: list[TileNest], widths: list[Widths], at: int, block: Blocks, way: Way, held: int
) -> tuple[float, float]:
    """Run three products, two of them block by block."""
    chip, x, weights = started(nests, widths, way.kept)
    result = np.zeros((len(x), weights[2].shape[1]), int)
    pair, of_pair = widths[at : at + 2], weights[at : at + 2]
    for r in range(0, len(x), way.tile):
        part = slice(r, min(r + way.tile, len(x)))
        step = Step(chip, widths, way, held, weights, part)
        if at == 1:
            tensor: Matrix | None = None
            if way.states[0] == WHOLE:
                chip.hold("tensor 0", x[part].size * widths[0].input)
                chip.moved += x[part].size * widths[0].input
                tensor = x[part]
            middle = step.run(0, 1, way.passing[0], tensor, x, result)
            assert middle is not None
            result[part] = one_block(chip, pair, of_pair, block, held, middle)
            chip.free("tensor 1")
        else:
            middle = one_block(chip, pair, of_pair, block, held, x[part])
            chip.free("output")
            chip.hold("tensor 2", middle.size * widths[2].input)
            step.run(2, 3, way.passing[0], middle, x, result)
            chip.free("tensor 2", "tensor 3")
    assert np.array_equal(result, x @ weights[0] @ weights[1] @ weights[2])
    return chip.peak, chip.moved
