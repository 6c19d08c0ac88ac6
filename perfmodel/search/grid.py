"""Choices of a space as rows of option indices: all of them, or those near one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def every_choice(sizes: Sequence[int]) -> Index:
    """Return all choices ``(choices, decisions)``, the last decision varying fastest.

    Parameters
    ----------
    sizes
        Options of each decision.
    """
    return np.indices(sizes, dtype=np.intp).reshape(len(sizes), math.prod(sizes)).T


def near_choices(choice: Sequence[int] | Index, sizes: Sequence[int]) -> Index:
    """Return a choice with each option of each decision in turn, ``(sum(sizes), decisions)``.

    The choice itself is among them, once for each decision.
    """
    rows: Index = np.tile(np.asarray(choice, dtype=np.intp), (sum(sizes), 1))
    decision = np.repeat(np.arange(len(sizes)), sizes)
    rows[np.arange(len(rows)), decision] = np.concatenate([np.arange(n) for n in sizes])
    return rows
