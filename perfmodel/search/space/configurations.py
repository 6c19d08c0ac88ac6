"""The configurations of one network: formats, sparsity, widths, parameters, and hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.formats import Precision, as_precision
from perfmodel.search.space.decision import Decision
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces.base import ChoiceSpace
from perfmodel.workload.rewrite import compressed
from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class ConfigurationSpace(ChoiceSpace):
    """Choices for one network on one device; see `perfmodel.search.space.configurations_of`.

    Attributes
    ----------
    name
        That of the workload.
    base
        The workload as it is.
    decisions
        What is decided, in order.
    precision
        What everything undecided is stored in; ``None``: as `predict` takes it.
    """

    name: str
    base: Workload = field(compare=False)
    decisions: tuple[Decision, ...]
    precision: Precision | None = None

    # choices

    def encode(self, native: Any) -> tuple[int, ...]:
        """Return the choice that a mapping of decisions to options names.

        Parameters
        ----------
        native
            Decision -> option; what is left out takes its first option.

        Raises
        ------
        InputError
            Every unknown decision and option.
        """
        if not isinstance(native, Mapping):
            raise input_error(
                f"{native!r} names no configuration", expected="decisions with options"
            )
        given: dict[str, Any] = {str(k): v for k, v in native.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        names = [d.name for d in self.decisions]
        faults = [
            Fault(
                f"no decision is called '{name}'",
                path=name,
                suggestion=nearest(name, names),
                expected=one_of(names[:8]),
            )
            for name in given
            if name not in names
        ]
        choice: list[int] = []
        for decision in self.decisions:
            value = given.get(decision.name, decision.options[0])
            labels = [decision.label(i) for i in range(len(decision.options))]
            if value in decision.options:
                choice.append(decision.options.index(value))
            elif str(value) in labels:
                choice.append(labels.index(str(value)))
            else:
                faults.append(
                    Fault(
                        f"'{value}' is no option",
                        path=decision.name,
                        expected=one_of(labels),
                        suggestion=nearest(str(value), labels),
                    )
                )
        if faults:
            raise InputError(faults)
        return tuple(choice)

    def decode(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return decision -> option; `encode` reads it back."""
        chosen = self.checked(choice)
        return {d.name: d.options[i] for d, i in zip(self.decisions, chosen, strict=True)}

    # what a choice is

    def by_role(self, choice: Sequence[int], role: str) -> dict[str, Any]:
        """Return member -> option of the decisions of a role."""
        return {
            member: d.options[i]
            for d, i in zip(self.decisions, choice, strict=True)
            if d.role == role
            for member in d.members
        }

    def workload(self, choice: Sequence[int], **settings: Any) -> Workload:
        """Return the network under a choice.

        Parameters
        ----------
        settings
            Numbers for free dimensions.

        Raises
        ------
        InputError
            A choice that is none, settings that the network does not have.
        """
        chosen = self.checked(choice)
        base = self.base.bind({**self.by_role(chosen, "parameter"), **settings})
        kv = self.by_role(chosen, "kv")
        made = compressed(
            base,
            weights=self.by_role(chosen, "weights"),
            activations=self.by_role(chosen, "activations"),
            kv=kv,
            free=self.free,
            precision=self.precision_of(chosen),
        )
        widths = {self.width_names[g]: w for g, w in self.by_role(chosen, "channels").items()}
        return made.bind(widths) if widths else made

    @property
    def sized(self) -> bool:
        """Whether parameters of the workload are decided, such as the batch."""
        return any(d.role == "parameter" for d in self.decisions)

    def items(self, choices: npt.ArrayLike, **settings: Any) -> npt.NDArray[np.float64]:
        """Return what a run of each choice yields (frames, tokens), ``(n,)``.

        Parameters
        ----------
        choices : array of shape ``(n, decisions)``
        settings
            Numbers for free dimensions.
        """
        rows = np.asarray(choices, dtype=np.intp).reshape(-1, len(self.decisions))
        decided = {
            member: np.array(d.options, dtype=float)[rows[:, i]]
            for i, d in enumerate(self.decisions)
            if d.role == "parameter"
            for member in d.members
        }
        found = self.base.bind({**decided, **settings}).items()
        return np.broadcast_to(np.asarray(found, dtype=float), (len(rows),)).copy()

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Channel groups whose widths are decided."""
        return tuple(m for d in self.decisions if d.role == "channels" for m in d.members)

    @cached_property
    def width_names(self) -> dict[str, str]:
        """Channel group -> free dimension that is its width."""
        from perfmodel.workload.rewrite.channels import width_names

        return width_names(self.free)

    def precision_of(self, choice: Sequence[int]) -> Precision | None:
        """Return the precision of what no other decision is about."""
        found = self.by_role(choice, "precision")
        return as_precision(next(iter(found.values()))) if found else self.precision

    def options_of(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return what `predict` is told beside workload and device."""
        precision = self.precision_of(choice)
        return {} if precision is None else {"precision": precision}

    def facts_of(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return fact of the device -> its value."""
        return self.by_role(choice, "fact")

    def plain(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph with free widths, formats as they are."""
        return compressed(self.base, free=self.free).graph(semantics)

    @property
    def content_hash(self) -> str:
        """What tells spaces apart: the network, its numbers, and the decisions."""
        graph = self.base.graph().content_hash()
        return repr((graph, sorted(self.base.parameters.items()), self.decisions, self.precision))

    def __hash__(self) -> int:
        return hash(self.content_hash)
