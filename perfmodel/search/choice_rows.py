"""Choices of a space as rows of option indices: all choices, or the neighbours of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def all_choices(sizes: Sequence[int]) -> Index:
    """Return all choices ``(choices, decisions)``, the last decision varying fastest.

    Parameters
    ----------
    sizes
        Number of options of each decision.
    """
    return np.indices(sizes, dtype=np.intp).reshape(len(sizes), math.prod(sizes)).T


def neighbouring_choices(choice: Sequence[int] | Index, sizes: Sequence[int]) -> Index:
    """Return a choice with each option of each decision in turn, ``(sum(sizes), decisions)``.

    The choice itself occurs once per decision.
    """
    rows: Index = np.tile(np.asarray(choice, dtype=np.intp), (sum(sizes), 1))
    decision = np.repeat(np.arange(len(sizes)), sizes)
    rows[np.arange(len(rows)), decision] = np.concatenate([np.arange(n) for n in sizes])
    return rows
