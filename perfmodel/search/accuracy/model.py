"""Accuracy models: the interface, a base class for separable ones, and the table of losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from perfmodel.arrays import Array
from perfmodel.errors import Fault, nearest, one_of
from perfmodel.search.accuracy.option import LayerOption, describe
from perfmodel.settings import FaultList

Floats: TypeAlias = Array
#: Layer -> selected option.
Configuration: TypeAlias = Mapping[str, LayerOption]


class AccuracyTable(NamedTuple):
    """Additive losses of the options of each layer.

    loss(choice) = constant + sum over layers of unary[i][c_i]
    + sum over pairs of pairs[i, j][c_i, c_j], in the unit of the model's loss.

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


class AccuracyModel(Protocol):
    """Source of the loss of a configuration, always named.

    Attributes
    ----------
    name
        Shown with every result: ``sqnr of net.onnx``.
    unit
        Unit of `predicted`: empty for a unitless sensitivity, ``points of top-1`` once calibrated.
    measured_error
        Root-mean-square error of `predicted`, in its unit, if measured.
    error_note
        Method by which the error was measured; empty without one.
    separable
        Whether `table` is available: a user's callable is not separable.
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


def losses_of(
    options: Sequence[LayerOption],
    known: Mapping[str, float],
    wanting: tuple[str, str],
    faults: list[Fault],
) -> list[float]:
    """Return the loss of each option of a layer, from the known losses.

    Parameters
    ----------
    wanting
        Text of the fault before and after the name of an unknown option.
    faults
        List to which faults are appended.
    """
    (before, after), texts = wanting, [describe(option) for option in options]
    faults += [
        Fault(
            f"{before} '{text}' {after}",
            path="accuracy",
            expected=one_of(known),
            suggestion=nearest(text, known, cutoff=0.75),
        )
        for text in texts
        if text not in known
    ]
    return [known.get(text, 0.0) for text in texts]


class SeparableModel(ABC):
    """Base class of models with an independent loss for each option of each layer."""

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
        faults = FaultList(options_fit(layers, options))
        faults += unknown_layers(layers, self.known, self.name)
        faults += self.question_faults(layers, options)
        faults.settle()
        unary = tuple(
            np.array(self.losses(layer, own, faults), dtype=np.float64)
            for layer, own in zip(layers, options, strict=True)
        )
        faults.settle()
        return AccuracyTable(unary, self.pair_tables(layers, options), self.offset)

    def question_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return further faults of the combination of layers and options."""
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


def unknown_layers(layers: Iterable[str], known: Iterable[str], where: str) -> list[Fault]:
    """Return a fault for each layer that is not known."""
    names = list(known)
    have = set(names)
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    faults: list[Fault] = []
    for layer in layers:
        if layer not in have:
            near = nearest(layer, names)
            message = f"no layer '{layer}' in {where}"
            expected = "" if near else f"one of {shown}"
            faults.append(Fault(message, "accuracy", expected=expected, suggestion=near))
    return faults


def options_fit(layers: Sequence[str], options: Sequence[Sequence[LayerOption]]) -> list[Fault]:
    """Return faults unless there is one non-empty list of options per layer."""
    if len(layers) != len(options):
        message = f"{len(layers)} layers and {len(options)} lists of options"
        return [Fault(message, path="accuracy", expected="a list of options for each layer")]
    return [
        Fault(f"layer '{layer}' has no options", path="accuracy", expected="at least one")
        for layer, offered in zip(layers, options, strict=True)
        if not offered
    ]
