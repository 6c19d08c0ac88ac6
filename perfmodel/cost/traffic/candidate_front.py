"""Collection of candidate tiles by footprint and traffic, and their Pareto front (a staircase).

Millions of tiles are generated, of which some hundred are Pareto-optimal. Candidates are therefore
filtered on entry: footprints are divided into logarithmic bins, and a candidate is dropped if a
lower bin contains one with no more traffic. The exact front is computed from the remaining ones at
the end, and only its tiles are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.pareto_filters import pareto_front
from perfmodel.cost.traffic.stationarity import ChannelLine

#: Columns of a step besides its footprint: tile extents, stationarity class, bytes per operand.
Decoded: TypeAlias = dict[str, npt.NDArray[Any]]
Decode: TypeAlias = Callable[[Ints], Decoded]

# The upper bits of a positive float, read as an integer, increase with it: 64 bins per octave.
_SHIFT = 46
#: Candidates evaluated at once: enough to amortise call overhead, few enough for the CPU caches.
_AT_ONCE = 60_000


def _bins(values: Floats) -> Ints:
    """Return the logarithmic bin of each positive value."""
    return values.view(np.int64) >> _SHIFT


def _bin(value: float) -> int:
    return int(_bins(np.array([value]))[0])


class _Batch(NamedTuple):
    """Candidates added in one call, with the indices from which they are decoded."""

    footprint: Floats
    traffic: Floats
    numbers: Ints
    decode: Decode


@dataclass
class StaircaseCandidates:
    """Candidates for steps of a staircase; those dominated by earlier ones are dropped on entry.

    Attributes
    ----------
    least, most
        Lower and upper bound of all footprints, bytes.
    """

    least: float
    most: float
    _batches: list[_Batch] = field(default_factory=list[_Batch])

    def __post_init__(self) -> None:
        self._base = _bin(self.least) - 1
        size = _bin(self.most) - self._base + 2
        # Minimum traffic within each bin of footprints, and over all lower bins.
        self._best = np.full(size, np.inf)
        self._below = np.full(size + 1, np.inf)

    def may_be_steps(self, footprint: Floats, traffic: Floats) -> npt.NDArray[np.bool_]:
        """Return whether candidates with these lower bounds (bytes) can still become steps."""
        return traffic < self._below[_bins(footprint) - self._base]

    def add(self, footprint: Floats, traffic: Floats, decode: Decode) -> None:
        """Add an array of candidates.

        Parameters
        ----------
        footprint, traffic
            Bytes; contiguous arrays of equal shape.
        decode
            Function from flat indices into these arrays to `Decoded` columns; called for the
            candidates that become steps.
        """
        footprint, traffic = footprint.ravel(), traffic.ravel()
        if not len(footprint):
            return
        bins = _bins(footprint)
        bins -= self._base
        np.minimum.at(self._best, bins, traffic)
        # A strictly lower bin contains strictly smaller footprints only.
        np.minimum.accumulate(self._best, out=self._below[1:])
        index = np.flatnonzero(traffic < self._below[bins])
        if len(index):
            self._batches.append(_Batch(footprint[index], traffic[index], index, decode))

    def add_line(
        self, line: ChannelLine, tiles: Ints, decode: Callable[[Ints, Ints], Decoded]
    ) -> None:
        """Add the candidates of all lines with all channel tiles.

        Lines whose lower bounds are dominated are skipped; the others are evaluated in chunks.

        Parameters
        ----------
        line
            Footprint and traffic coefficients in bytes, shape (lines,).
        tiles
            Channel tiles in ascending order, shape (tiles,).
        decode
            Function from line indices and tile indices to `Decoded` columns.
        """
        tile, count = tiles.astype(float), (-(-line.channels // tiles)).astype(float)
        size = max(1, _AT_ONCE // len(tile))
        for start in range(0, len(line.fixed_bytes), size):
            chunk = slice(start, start + size)
            least_footprint = line.fixed_bytes[chunk] + line.bytes_per_channel[chunk] * tile[0]
            least_traffic = line.fixed_traffic[chunk] + line.traffic_per_tile[chunk] * count[-1]
            lines = np.flatnonzero(self.may_be_steps(least_footprint, least_traffic))
            if not len(lines):
                continue
            lines += start
            footprint = np.outer(line.bytes_per_channel[lines], tile)
            footprint += line.fixed_bytes[lines, None]
            traffic = np.outer(line.traffic_per_tile[lines], count)
            traffic += line.fixed_traffic[lines, None]

            def decode_flat(index: Ints, lines: Ints = lines) -> Decoded:
                line_index, tile_index = np.divmod(index, len(tile))
                return decode(lines[line_index], tile_index)

            self.add(footprint, traffic, decode_flat)

    def steps(self) -> tuple[Floats, Decoded]:
        """Return the footprints of the staircase in ascending order and its decoded columns."""
        footprint, traffic, index = (
            np.concatenate(column) for column in list(zip(*self._batches, strict=True))[:3]
        )
        batch = np.repeat(np.arange(len(self._batches)), [len(b.numbers) for b in self._batches])
        steps = np.flatnonzero(self.may_be_steps(footprint, traffic))
        steps = steps[pareto_front(footprint[steps], traffic[steps])]
        footprint, batch, index = footprint[steps], batch[steps], index[steps]
        out: Decoded = {}
        for number in np.unique(batch):
            rows = np.flatnonzero(batch == number)
            for name, column in self._batches[int(number)].decode(index[rows]).items():
                if name not in out:
                    out[name] = np.zeros(len(steps), column.dtype)
                out[name][rows] = column
        return footprint, out
