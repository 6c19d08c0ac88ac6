"""Candidates as pairs of footprint and traffic; the staircase that is left of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.staircase_axes import Floats, Ints

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
    _found: list[tuple[Floats, Floats, Ints, Decode]] = field(
        default_factory=list[tuple[Floats, Floats, Ints, Decode]]
    )

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
        kept = np.flatnonzero(traffic < self._below[bins])
        if len(kept):
            self._found.append((footprint[kept], traffic[kept], kept, decode))

    def add_lines(
        self, fixed: Floats, slope: Floats, tiles: Ints, once: Floats, again: Floats,
        counts: Ints, decode: Callable[[Ints, Ints], Decoded],
    ) -> None:  # fmt: skip
        """Take a line of candidates for each tile of all extents but one.

        Footprints are ``fixed + slope * tiles`` and traffic is ``once + again * counts``, shape
        (lines, tiles); lines that cannot become a step are left out, and no more than some
        thousand are evaluated at once.

        Parameters
        ----------
        fixed, slope, once, again
            Shape (lines,).
        tiles, counts
            Of the last extent, from the smallest tile to the largest; shape (tiles,).
        decode
            Indices of lines and of tiles -> what `Decoded` names.
        """
        tile, count = tiles.astype(float), counts.astype(float)
        size = max(1, _AT_ONCE // len(tile))
        for start in range(0, len(fixed), size):
            part = slice(start, start + size)
            low = fixed[part] + slope[part] * tile[0]
            lines = np.flatnonzero(self.may_matter(low, once[part] + again[part] * count[-1]))
            if not len(lines):
                continue
            lines += start
            footprint = np.outer(slope[lines], tile)
            footprint += fixed[lines, None]
            traffic = np.outer(again[lines], count)
            traffic += once[lines, None]

            def flat(index: Ints, lines: Ints = lines) -> Decoded:
                line, last = np.divmod(index, len(tile))
                return decode(lines[line], last)

            self.add(footprint, traffic, flat)

    def steps(self) -> tuple[Floats, Decoded]:
        """Return the footprints of the staircase, ascending, and what was decoded of its steps."""
        footprint = np.concatenate([f for f, _, _, _ in self._found])
        traffic = np.concatenate([t for _, t, _, _ in self._found])
        group = np.repeat(np.arange(len(self._found)), [len(f) for f, _, _, _ in self._found])
        index = np.concatenate([i for _, _, i, _ in self._found])
        kept = np.flatnonzero(traffic < self._below[_bins(footprint) - self._base])
        kept = kept[np.lexsort((traffic[kept], footprint[kept]))]
        lowest = np.minimum.accumulate(traffic[kept])
        kept = kept[np.append(True, lowest[1:] < lowest[:-1])]
        footprint, group, index = footprint[kept], group[kept], index[kept]
        out: Decoded = {}
        for g in np.unique(group):
            rows = np.flatnonzero(group == g)
            decode = self._found[int(g)][3]
            for name, column in decode(index[rows]).items():
                if name not in out:
                    out[name] = np.zeros(len(kept), column.dtype)
                out[name][rows] = column
        return footprint, out
