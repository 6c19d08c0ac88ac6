"""Interface of accuracy models: the predicted loss of accuracy of a compressed network.

Searches of bits and sparsities per layer take any object with these members: a table of
sensitivities, quantisation noise, Hessian traces, a fitted predictor, or a user's callable.
`separable_model.SeparableModel` implements most of them for models that are sums over layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from perfmodel.search.accuracy.accuracy_table import AccuracyTable, Floats
from perfmodel.search.accuracy.layer_option import LayerOption

#: Layer -> selected option.
Configuration: TypeAlias = Mapping[str, LayerOption]


class AccuracyModel(Protocol):
    """Source of the loss of accuracy of a configuration.

    Attributes
    ----------
    name
        Name shown with every result, such as ``sqnr of net.onnx``.
    unit
        Unit of `predicted`: empty for a unitless sensitivity, ``points of top-1`` once calibrated.
    measured_error
        Root-mean-square error of `predicted`, in its unit, if measured.
    error_note
        Method by which the error was measured; empty without one.
    separable
        Whether the loss is a sum of tables, so that `table` is available; that of a user's callable
        is not.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def measured_error(self) -> float | None: ...  # noqa: D102

    @property
    def error_note(self) -> str: ...  # noqa: D102

    @property
    def separable(self) -> bool: ...  # noqa: D102

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the loss of each option of each layer (named by weight tensor or operator)."""
        ...

    def predicted(self, loss: Floats) -> Floats:
        """Return losses converted to the model's unit, in the same shape."""
        ...
