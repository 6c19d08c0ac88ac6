"""What an accuracy model is, and the table of losses that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from perfmodel.arrays import Array
from perfmodel.errors import Fault, nearest
from perfmodel.search.accuracy.option import LayerOption

Floats: TypeAlias = Array
#: Layer -> its option.
Configuration: TypeAlias = Mapping[str, LayerOption]


class AccuracyTable(NamedTuple):
    """Loss that each option of each layer adds.

    Attributes
    ----------
    unary
        One array a layer, shape ``(options,)``.
    pairs
        ``(layer, other)``, the first the lower -> what both options together add beside their own,
        shape ``(options of layer, options of other)``.
    constant
        What is added whatever is chosen.
    """

    unary: tuple[Floats, ...]
    pairs: Mapping[tuple[int, int], Floats]
    constant: float = 0.0

    def loss(self, choices: Sequence[int] | np.ndarray) -> Floats:
        """Return the loss of choices.

        Parameters
        ----------
        choices
            Index of an option for each layer, shape ``(layers,)`` or ``(configurations, layers)``.

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


class AccuracyModel(Protocol):
    """Where the loss of a configuration comes from; always named.

    Attributes
    ----------
    name
        Shown with every result: ``sqnr of net.onnx``.
    unit
        Of `predicted`: empty for a unitless sensitivity, ``points of top-1`` once calibrated.
    measured_error
        Root-mean-square error of `predicted`, in its unit, where it was measured.
    error_note
        How the error was found; empty without one.
    separable
        Whether `table` can be made: a user's callable is not separable.
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
        """Return losses in the model's unit, of the same shape."""
        ...


def unknown_layers(layers: Iterable[str], known: Iterable[str], where: str) -> list[Fault]:
    """Return a fault for each layer that a source does not have."""
    names = list(known)
    have = set(names)
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return [
        Fault(f"no layer '{layer}' in {where}", path="accuracy", suggestion=nearest(layer, names),
              expected="" if nearest(layer, names) else f"one of {shown}")
        for layer in layers if layer not in have
    ]  # fmt: skip


def options_fit(layers: Sequence[str], options: Sequence[Sequence[LayerOption]]) -> list[Fault]:
    """Return faults of a question: as many lists of options as layers, none empty."""
    if len(layers) != len(options):
        message = f"{len(layers)} layers and {len(options)} lists of options"
        return [Fault(message, path="accuracy", expected="a list of options for each layer")]
    return [
        Fault(f"layer '{layer}' has no options", path="accuracy", expected="at least one")
        for layer, given in zip(layers, options, strict=True) if not given
    ]  # fmt: skip
