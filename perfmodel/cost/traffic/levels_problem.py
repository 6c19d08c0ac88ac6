"""What several levels of memory are asked about: sizes of one group, and which operand stays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite

import numpy as np

from perfmodel.cost.traffic.levels_splits import (
    AxisWindow,
    Line,
    Splits,
    canonical,
    line,
    spatial,
    windows,
)
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats

#: Operand that stays at the innermost loop: over input channels, output channels, positions.
STATIONARY = ("output", "input", "weight")


@dataclass(frozen=True, slots=True)
class MultilevelTilingProblem:
    """One group of a nest over levels of memory.

    Attributes
    ----------
    nest
        One group, axes without overlap made part of a product.
    capacities
        Bytes of each level, the outermost first.
    held
        Copies of a tile that changes at the innermost loop: 2 when buffers are double.
    kept
        Whether a sliding window keeps its overlap.
    places, outs, ins
        Splits of the positions, of the output channels and of the input channels.
    input, weight, output, again
        Bytes: of an input element; of all taps of one pair of channels; of an output element
        written at last; of a partial sum written and read.
    partial
        Bytes that a buffer holds of an output element.
    thin
        Ratio below which a tile of the lists is left out.
    """

    nest: TileNest
    capacities: tuple[float, ...]
    held: int
    kept: bool
    places: Splits
    outs: Line
    ins: Line
    input: float
    weight: float
    output: float
    again: float
    partial: float
    thin: float

    @staticmethod
    def of(
        nest: TileNest, widths: Widths, capacities: Sequence[float], conventions: Conventions,
        thin: float = 1.0,
    ) -> MultilevelTilingProblem:  # fmt: skip
        """Return the problem of one group; a `ValueError` names what is wrong."""
        if any(getattr(nest, f.name) < 1 for f in fields(nest)):
            raise ValueError(f"extents, strides and dilations are at least 1: {nest}")
        if any(not (isfinite(v) and v >= 0) for v in _values(widths)):
            raise ValueError(f"widths are finite and not negative: {widths}")
        if any(b > a for a, b in itertools.pairwise(capacities)):
            raise ValueError(f"capacities fall from the outermost level inwards: {capacities}")
        if not all(c >= 0 for c in capacities):
            raise ValueError(f"capacities are not negative: {capacities}")
        if conventions.allocation != "even":
            raise ValueError("several levels share even tiles; ask for allocation='even'")
        one = canonical(nest)
        kept = conventions.halo == "kept"
        if kept and any(w.dilation > 1 for w in windows(one)):
            raise ValueError("several levels keep no halo of a dilated kernel; ask for 'refetched'")
        levels = len(capacities)
        return MultilevelTilingProblem(
            one, tuple(float(c) for c in capacities),
            2 if conventions.buffering == "double" else 1,
            kept,
            spatial(one, levels, thin),
            line(AxisWindow(one.out_channels, 1, 1, 1), levels, thin),
            line(AxisWindow(one.in_channels, 1, 1, 1), levels, thin),
            widths.input,
            widths.weight * one.kernel_rows * one.kernel_columns,
            widths.output,
            2.0 * widths.partial,
            widths.partial,
            thin,
        )  # fmt: skip

    @property
    def positions(self) -> int:
        """Positions of the output of all images."""
        return self.nest.batch * self.nest.out_rows * self.nest.out_columns

    @property
    def weights(self) -> float:
        """Bytes of all weights."""
        return self.weight * self.nest.out_channels * self.nest.in_channels

    @property
    def outputs(self) -> float:
        """Bytes of all outputs, written once."""
        return self.output * self.positions * self.nest.out_channels

    @property
    def partials(self) -> float:
        """Bytes of all outputs, written as partial sums and read back."""
        return self.again * self.positions * self.nest.out_channels

    def footprint(
        self, patch: Floats, area: Floats, outs: Floats, ins: Floats, stays: int | None
    ) -> Floats:  # fmt: skip
        """Return the bytes that a tile takes where the operand `stays` is held once.

        Parameters
        ----------
        patch, area, outs, ins
            Input elements of a channel, positions, output and input channels of the tile.
        stays
            Index into `STATIONARY`; ``None`` where no tile changes.
        """
        twice = float(self.held)
        by = [1.0 if stays is None or stays == k else twice for k in range(3)]
        return (
            by[1] * self.input * patch * ins + by[2] * self.weight * outs * ins
            + by[0] * self.partial * area * outs
        )  # fmt: skip

    def inputs(self, volume: Floats) -> Floats:
        """Return the bytes of input that a volume of one channel stands for."""
        return np.asarray(self.input * self.nest.in_channels * volume)


def _values(widths: Widths) -> list[float]:
    return [widths.input, widths.weight, widths.output, widths.partial]
