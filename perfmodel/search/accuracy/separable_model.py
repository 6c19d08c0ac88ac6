"""Base class of accuracy models whose loss is a sum over layers.

The loss of a configuration is ``offset + sum of losses(layer, option) + interaction terms``; the
base class checks the layers and options and returns these terms as an `AccuracyTable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import numpy as np

from perfmodel.errors import Fault
from perfmodel.search.accuracy.accuracy_faults import option_list_faults, unknown_layer_faults
from perfmodel.search.accuracy.accuracy_table import AccuracyTable, Floats
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.settings import FaultList


class SeparableModel(ABC):
    """Base class of models with a loss for each option of each layer.

    A subclass states `name`, `known` and `losses`, and overrides the other methods where it has
    interaction terms, an offset, a unit or further conditions.
    """

    name: str
    unit: str = ""
    measured_error: float | None = None
    error_note: str = ""
    separable: bool = True

    @property
    @abstractmethod
    def known(self) -> Collection[str]:
        """Names of the layers."""

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the loss of each option of each layer.

        Raises
        ------
        InputError
            For all layers and options that the model does not know.
        """
        faults = FaultList(option_list_faults(layers, options))
        faults += unknown_layer_faults(layers, self.known, self.name)
        faults += self.combination_faults(layers, options)
        faults.settle()
        unary = tuple(
            np.array(self.losses(layer, offered, faults), dtype=np.float64)
            for layer, offered in zip(layers, options, strict=True)
        )
        faults.settle()
        return AccuracyTable(unary, self.pair_tables(layers, options), self.offset)

    def combination_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return faults of the layers and options that only this model has; none by default."""
        del layers, options
        return []

    @abstractmethod
    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return the loss of each option of a layer; append a fault for each unknown one."""

    def pair_tables(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> dict[tuple[int, int], Floats]:
        """Return the interaction terms of pairs of layers; see `AccuracyTable.pairs`."""
        del layers, options
        return {}

    @property
    def offset(self) -> float:
        """Constant term of every loss."""
        return 0.0

    def predicted(self, loss: Floats) -> Floats:
        """Return the losses unchanged: a sensitivity without a unit."""
        return loss
