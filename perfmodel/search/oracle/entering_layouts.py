"""Layouts in which activations enter the parts of a network, as decisions that others determine.

The layouts of the activations that leave a part are functions of its formats and of the layouts
that enter it. Where several are possible, the layout is one more decision of the parts that read
the activation, whose option is looked up in a table over the decisions before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from perfmodel.search.oracle.activation_states import Table, without_constant_axes
from perfmodel.search.oracle.kernel_pricing import Index
from perfmodel.workload.layout_conversions import TensorLayout

#: Layouts of the activations that enter a part.
Layouts: TypeAlias = tuple[TensorLayout, ...]
#: Layouts of activations after a part, by options of the decisions that affect them.
LayoutsAfter: TypeAlias = Mapping[tuple[int, ...], Mapping[str, TensorLayout]]

_PLAIN = TensorLayout(blocked=False, converted=False, convolved=False)


class EnteringLayouts:
    """Decisions on layouts, added part by part in order of execution.

    Parameters
    ----------
    inputs
        Layouts of the network's inputs.
    decisions
        Number of decisions of the space.

    Attributes
    ----------
    counts
        Number of options of each added decision.
    """

    def __init__(self, inputs: Mapping[str, TensorLayout], decisions: int) -> None:
        self._first = decisions
        self._possible = {name: [layout] for name, layout in inputs.items()}
        self._decision: dict[str, int] = {}
        self.counts: tuple[int, ...] = ()
        self._tables: list[Table] = []
        self._flat: list[tuple[tuple[tuple[int, int], ...], list[int]]] = []

    def decisions(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the decisions on the layouts of activations, of those that have several."""
        return tuple(self._decision[name] for name in names if name in self._decision)

    def options(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the numbers of options of these decisions."""
        return tuple(self.counts[decision - self._first] for decision in self.decisions(names))

    def of(self, names: Sequence[str], options: Sequence[int]) -> Layouts:
        """Return the layouts of activations under options of these decisions."""
        following = iter(options)
        return tuple(
            self._possible.get(name, [_PLAIN])[next(following) if name in self._decision else 0]
            for name in names
        )

    def leave(self, names: Sequence[str], decisions: Sequence[int], after: LayoutsAfter) -> None:
        """Record the layouts of activations after a part.

        Parameters
        ----------
        names
            Activations that later parts read.
        decisions
            Decisions that affect the layouts in the part.
        """
        for name in names:
            following: dict[TensorLayout, int] = {}
            options = np.zeros(tuple(max(axis) + 1 for axis in zip(*after, strict=True)))
            for at, layouts in after.items():
                options[at] = following.setdefault(layouts.get(name, _PLAIN), len(following))
            affecting, values = without_constant_axes((tuple(decisions), options))
            if affecting == self.decisions([name]) and list(following) == self._possible.get(name):
                continue
            self._possible[name] = list(following)
            self._decision.pop(name, None)
            if len(following) > 1:
                self._decision[name] = self._first + len(self.counts)
                self.counts += (len(following),)
                self._tables.append((affecting, values))
                strides = np.cumprod((1, *values.shape[:0:-1]))[::-1].tolist()
                entries = values.astype(int).ravel().tolist()
                self._flat.append((tuple(zip(affecting, strides, strict=True)), entries))

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
