"""Layouts in which activations enter the parts of a network, as decisions that others determine.

The layouts that leave a part are a function of its formats and of the layouts that enter it. Where
several are possible, they are one more decision of the next part, whose option is looked up in a
table over the decisions before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from perfmodel.search.oracle.activation_states import Table, without_constant_axes
from perfmodel.search.oracle.kernel_pricing import Index
from perfmodel.workload.layout_conversions import TensorLayout

#: Layouts of the activations that cross the start of a part.
Layouts: TypeAlias = tuple[TensorLayout, ...]

_PLAIN = TensorLayout(blocked=False, converted=False, convolved=False)


class EnteringLayouts:
    """Decisions on layouts, added part by part in order of execution.

    Parameters
    ----------
    crossing
        Activations that enter the first part.
    inputs
        Layouts of the network's inputs.
    decisions
        Number of decisions of the space.

    Attributes
    ----------
    possible
        Layouts in which activations may enter the current part.
    counts
        Number of options of each added decision.
    """

    def __init__(
        self, crossing: Sequence[str], inputs: Mapping[str, TensorLayout], decisions: int
    ) -> None:
        self._crossing, self._decisions = crossing, decisions
        self.possible: list[Layouts] = [tuple(inputs.get(name, _PLAIN) for name in crossing)]
        self.counts: tuple[int, ...] = ()
        self._tables: list[Table] = []
        self._flat: list[tuple[tuple[tuple[int, int], ...], list[int]]] = []

    @property
    def decision(self) -> int:
        """Decision on the layouts that enter the current part."""
        return self._decisions + len(self.counts) - (len(self.possible) > 1)

    def enter(
        self,
        crossing: Sequence[str],
        formats: Sequence[int],
        leaving: Mapping[tuple[int, ...], Mapping[str, TensorLayout]],
    ) -> None:
        """Make the following part the current one.

        Parameters
        ----------
        crossing
            Activations that cross its start.
        formats
            Decisions on formats in the part before it.
        leaving
            Layouts after that part, by options of `formats` and index of `possible`.
        """
        following: dict[Layouts, int] = {}
        options = np.zeros(tuple(max(axis) + 1 for axis in zip(*leaving, strict=True)))
        for at, after in leaving.items():
            before = dict(zip(self._crossing, self.possible[at[-1]], strict=True))
            layouts = tuple(after.get(name, before.get(name, _PLAIN)) for name in crossing)
            options[at] = following.setdefault(layouts, len(following))
        table = without_constant_axes(((*formats, self.decision), options))
        self._crossing, self.possible = crossing, list(following)
        if len(following) > 1:
            self.counts += (len(following),)
            self._tables.append(table)
            decisions, values = table
            strides = np.cumprod((1, *values.shape[:0:-1]))[::-1].tolist()
            entries = values.astype(int).ravel().tolist()
            self._flat.append((tuple(zip(decisions, strides, strict=True)), entries))

    def appended(self, choices: Index) -> Index:
        """Return choices ``(configurations, decisions)`` with the options of layouts."""
        for decisions, values in self._tables:
            own = values[tuple(choices[:, d] for d in decisions)].astype(np.intp)
            choices = np.concatenate([choices, own[:, None]], axis=1)
        return choices

    def appended_to_one(self, choice: Sequence[int]) -> list[int]:
        """Return one choice with the options of layouts."""
        options = list(choice)
        for strides, entries in self._flat:
            at = 0
            for decision, stride in strides:
                at += options[decision] * stride
            options.append(entries[at])
        return options
