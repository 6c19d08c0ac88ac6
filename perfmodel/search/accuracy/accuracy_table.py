"""Loss of accuracy of every configuration of a network as a sum of tables over its layers.

An `AccuracyTable` is what solvers of choice problems optimise; accuracy models return it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Array

Floats: TypeAlias = Array


class AccuracyTable(NamedTuple):
    """Losses of the options of each layer, and interaction terms of pairs of layers.

    ``loss(c) = constant + sum_i unary[i][c_i] + sum_(i < j) pairs[i, j][c_i, c_j]``, where layer i
    has option c_i, in the unit of the model's loss.

    Attributes
    ----------
    unary
        One array per layer, shape ``(options,)``.
    pairs
        ``(layer, other)`` with layer < other -> interaction term of both options, shape
        ``(options of layer, options of other)``.
    constant
        Term that is independent of the choice.
    """

    unary: tuple[Floats, ...]
    pairs: Mapping[tuple[int, int], Floats]
    constant: float = 0.0

    def loss(self, choices: Sequence[int] | np.ndarray) -> Floats:
        """Return the loss of one choice or many.

        Parameters
        ----------
        choices
            Option index of each layer, shape ``(layers,)`` or ``(configurations, layers)``.

        Returns
        -------
        array
            Shape ``()`` or ``(configurations,)``.
        """
        index = np.asarray(choices)
        total = np.full(index.shape[:-1], self.constant)
        for layer, losses in enumerate(self.unary):
            total = total + losses[index[..., layer]]
        for (one, other), losses in self.pairs.items():
            total = total + losses[index[..., one], index[..., other]]
        return np.asarray(total, dtype=np.float64)
