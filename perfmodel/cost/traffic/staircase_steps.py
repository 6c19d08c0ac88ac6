"""Candidates as pairs of footprint and traffic; the staircase that is left of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.stationarity import ChannelLine
from perfmodel.cost.traffic.undominated import falling

#: Columns of a step, beside its footprint: extents of its tile, stationarity, bytes.
Decoded: TypeAlias = dict[str, npt.NDArray[Any]]
Decode: TypeAlias = Callable[[Ints], Decoded]

# The upper bits of a positive float, taken as an integer, ascend with it: 64 bins an octave.
_SHIFT = 46
#: Candidates evaluated at once: enough to forget the overhead, few enough for the caches.
_AT_ONCE = 60_000


def _bins(values: Floats) -> Ints:
    return values.view(np.int64) >> _SHIFT


def _bin(value: float) -> int:
    return int(_bins(np.array([value]))[0])


class _Batch(NamedTuple):
    """Candidates of one call, and the indices from which they are decoded."""

    footprint: Floats
    traffic: Floats
    numbers: Ints
    decode: Decode


@dataclass
class StaircaseCandidates:
    """What may become a step; candidates that an earlier one dominates are dropped at once.

    Attributes
    ----------
    least, most
        Bounds of all footprints.
    """

    least: float
    most: float
    _batches: list[_Batch] = field(default_factory=list[_Batch])

    def __post_init__(self) -> None:
        self._base = _bin(self.least) - 1
        size = _bin(self.most) - self._base + 2
        # Least traffic of the candidates in a bin of footprints; of all bins below one.
        self._best = np.full(size, np.inf)
        self._below = np.full(size + 1, np.inf)

    def may_matter(self, footprint: Floats, traffic: Floats) -> npt.NDArray[np.bool_]:
        """Tell for lower bounds of both whether anything above them may still be a step."""
        return traffic < self._below[_bins(footprint) - self._base]

    def add(self, footprint: Floats, traffic: Floats, decode: Decode) -> None:
        """Take candidates of any shape; `decode` gets flat indices into them.

        Parameters
        ----------
        footprint, traffic
            Bytes; contiguous, of one shape.
        decode
            Flat indices -> what `Decoded` names, for those that become steps.
        """
        footprint, traffic = footprint.ravel(), traffic.ravel()
        if not len(footprint):
            return
        bins = _bins(footprint)
        bins -= self._base
        np.minimum.at(self._best, bins, traffic)
        # Strictly lower bins hold strictly smaller footprints.
        np.minimum.accumulate(self._best, out=self._below[1:])
        index = np.flatnonzero(traffic < self._below[bins])
        if len(index):
            self._batches.append(_Batch(footprint[index], traffic[index], index, decode))

    def add_line(
        self, line: ChannelLine, tiles: Ints, decode: Callable[[Ints, Ints], Decoded]
    ) -> None:
        """Take every tile of channels along many lines.

        Lines that cannot become a step are left out, and no more than some thousand are evaluated
        at once.

        Parameters
        ----------
        line
            Bytes of shape (lines,).
        tiles
            From the smallest to the largest; shape (tiles,).
        decode
            Indices of lines and of tiles -> what `Decoded` names.
        """
        tile, count = tiles.astype(float), (-(-line.channels // tiles)).astype(float)
        size = max(1, _AT_ONCE // len(tile))
        for start in range(0, len(line.fixed), size):
            part = slice(start, start + size)
            least = line.fixed[part] + line.slope[part] * tile[0]
            lines = np.flatnonzero(
                self.may_matter(least, line.once[part] + line.again[part] * count[-1])
            )
            if not len(lines):
                continue
            lines += start
            footprint = np.outer(line.slope[lines], tile)
            footprint += line.fixed[lines, None]
            traffic = np.outer(line.again[lines], count)
            traffic += line.once[lines, None]

            def flat(index: Ints, lines: Ints = lines) -> Decoded:
                at, channel = np.divmod(index, len(tile))
                return decode(lines[at], channel)

            self.add(footprint, traffic, flat)

    def steps(self) -> tuple[Floats, Decoded]:
        """Return the footprints of the staircase, ascending, and what was decoded of its steps."""
        footprint, traffic, index = (
            np.concatenate(column) for column in list(zip(*self._batches, strict=True))[:3]
        )
        batch = np.repeat(np.arange(len(self._batches)), [len(b.numbers) for b in self._batches])
        steps = np.flatnonzero(self.may_matter(footprint, traffic))
        steps = steps[falling(footprint[steps], traffic[steps])]
        footprint, batch, index = footprint[steps], batch[steps], index[steps]
        out: Decoded = {}
        for number in np.unique(batch):
            rows = np.flatnonzero(batch == number)
            for name, column in self._batches[int(number)].decode(index[rows]).items():
                if name not in out:
                    out[name] = np.zeros(len(steps), column.dtype)
                out[name][rows] = column
        return footprint, out
