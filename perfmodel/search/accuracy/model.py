"""What an accuracy model is, and the table of losses that it gives."""

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
#: Layer -> its option.
Configuration: TypeAlias = Mapping[str, LayerOption]


class AccuracyTable(NamedTuple):
    """Loss that each option of each layer adds.

    Attributes
    ----------
    unary
        One array per layer, shape ``(options,)``.
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


def losses_of(
    options: Sequence[LayerOption],
    known: Mapping[str, float],
    wanting: tuple[str, str],
    faults: list[Fault],
) -> list[float]:
    """Return the loss of each option of a layer from those that are known.

    Parameters
    ----------
    wanting
        What is said before and after the text of an option that is not among them.
    faults
        Where that is added.
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
    """A model that knows the loss of every option of every layer by itself."""

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
            Layers and options that the model knows nothing of; every one of them.
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
        """Return what else is wrong with layers and options together."""
        del layers, options
        return []

    @abstractmethod
    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return the loss of each option of a layer; what is not known is added to the faults."""

    def pair_tables(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> dict[tuple[int, int], Floats]:
        """Return what pairs of layers add; see `AccuracyTable.pairs`."""
        del layers, options
        return {}

    @property
    def offset(self) -> float:
        """What is added to every loss."""
        return 0.0

    def predicted(self, loss: Floats) -> Floats:
        """Return the losses as they are: a sensitivity without a unit."""
        return loss


def unknown_layers(layers: Iterable[str], known: Iterable[str], where: str) -> list[Fault]:
    """Return a fault for each layer that a source does not have."""
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
    """Return faults of a question: as many lists of options as layers, none empty."""
    if len(layers) != len(options):
        message = f"{len(layers)} layers and {len(options)} lists of options"
        return [Fault(message, path="accuracy", expected="a list of options for each layer")]
    return [
        Fault(f"layer '{layer}' has no options", path="accuracy", expected="at least one")
        for layer, given in zip(layers, options, strict=True)
        if not given
    ]
