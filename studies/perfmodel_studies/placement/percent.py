"""Shares of layers as whole layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError

__all__ = ["LayerPlacement", "percentages"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerPlacement:
    """Layers in levels.

    Attributes
    ----------
    levels
        Names, fastest first.
    layers
        Level -> indices of its layers: runs of neighbours, the first layers in the first level.
    stated, achieved
        Share of the bytes in each level: as asked for, and with whole layers.
    """

    levels: tuple[str, ...]
    layers: dict[str, tuple[int, ...]]
    stated: tuple[float, ...]
    achieved: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """Achieved less stated, a level; they add up to 0."""
        return tuple(a - s for a, s in zip(self.achieved, self.stated, strict=True))

    @property
    def worst_error(self) -> float:
        """Largest of the errors, without its sign."""
        return max(abs(e) for e in self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "levels": list(self.levels),
            "layers": {name: list(places) for name, places in self.layers.items()},
            "stated": list(self.stated),
            "achieved": list(self.achieved),
            "errors": list(self.errors),
        }


def percentages(
    sizes: int | Sequence[float], shares: Sequence[float], levels: Sequence[str] = ()
) -> LayerPlacement:
    """Return which whole layers come nearest to stated percentages.

    Of all ways to cut the layers into consecutive runs, one a level, the one whose largest error
    against the stated shares is least (ties go to the least sum of errors): exact dynamic
    programming over the cuts, quadratic in the layers.

    Parameters
    ----------
    sizes
        Bytes of each layer, or how many equal layers there are.
    shares
        Percent of the bytes in each level, such as FlexGen's ``(20, 80, 0)``; they add up to 100.
    levels
        Names of the levels; ``gpu``, ``host``, ``disk`` where left out.

    Raises
    ------
    InputError
        No layers, shares that do not add up to 100, or not as many names as shares.
    """
    bytes_: Floats = np.asarray(
        np.ones(sizes) if isinstance(sizes, int) else sizes, dtype=np.float64
    )
    names = tuple(levels) or ("gpu", "host", "disk")[: len(shares)]
    stated: Floats = np.asarray(shares, dtype=np.float64) / 100.0
    faults: list[Fault] = []
    if bytes_.ndim != 1 or not len(bytes_) or np.any(~(bytes_ > 0)):
        faults.append(Fault("there are no layers with a size", "sizes"))
    if np.any(stated < 0) or not abs(float(stated.sum()) - 1.0) < 1e-9:
        faults.append(
            Fault(
                f"{float(stated.sum()) * 100:g} percent in all",
                "shares",
                expected="shares from 0 that add up to 100",
            )
        )
    if len(names) != len(stated) or not names:
        faults.append(Fault(f"{len(stated)} shares for {len(names)} levels", "levels"))
    if faults:
        raise InputError(faults)
    before: Floats = np.concatenate([[0.0], np.cumsum(bytes_)]) / bytes_.sum()
    n = len(bytes_)
    # best[b]: (largest error, sum of errors) of the levels so far over the first b layers.
    worst: Floats = np.where(np.arange(n + 1) == 0, 0.0, np.inf)
    total: Floats = worst.copy()
    cuts: list[npt.NDArray[np.int64]] = []
    for share in stated:
        error: Floats = np.abs(before[None, :] - before[:, None] - share)
        error = np.where(np.tri(n + 1, k=-1, dtype=bool), np.inf, error)
        reach: Floats = np.maximum(worst[:, None], error)
        sums: Floats = total[:, None] + error
        least: Floats = reach.min(axis=0)
        tied: Floats = np.where(reach <= least * (1 + 1e-12) + 1e-15, sums, np.inf)
        cut: npt.NDArray[np.int64] = np.argmin(tied, axis=0).astype(np.int64)
        cuts.append(cut)
        ends = np.arange(n + 1)
        worst, total = reach[cut, ends], sums[cut, ends]
    end = n
    bounds = [n]
    for cut in reversed(cuts):
        end = int(cut[end])
        bounds.append(end)
    bounds.reverse()
    layers = {name: tuple(range(bounds[i], bounds[i + 1])) for i, name in enumerate(names)}
    achieved = tuple(float(before[bounds[i + 1]] - before[bounds[i]]) for i in range(len(names)))
    return LayerPlacement(names, layers, tuple(float(s) for s in stated), achieved)
