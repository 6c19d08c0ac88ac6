"""Space of one network's configurations: formats, sparsity, widths, parameters and hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, input_error, nearest, one_of
from perfmodel.formats import Precision, as_precision
from perfmodel.search.space.decision import Decision
from perfmodel.settings import FaultList
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces.architecture_space import ChoiceSpace
from perfmodel.workload.rewrite import compressed
from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class ConfigurationSpace(ChoiceSpace):
    """Configurations of one network on one device; see `perfmodel.search.space.configurations_of`.

    Attributes
    ----------
    name
        Name of the workload.
    base
        The unchanged workload.
    decisions
        Decisions, in order.
    precision
        Formats of everything without a decision; ``None``: the default of `predict`.
    """

    name: str
    base: Workload = field(compare=False)
    decisions: tuple[Decision, ...]
    precision: Precision | None = None

    # choices

    def encode(self, native: Any) -> tuple[int, ...]:
        """Return the choice for a mapping of decisions to options.

        Parameters
        ----------
        native
            Decision -> option; missing decisions take their first option.

        Raises
        ------
        InputError
            For all unknown decisions and options.
        """
        if not isinstance(native, Mapping):
            raise input_error(
                f"{native!r} names no configuration", expected="decisions with options"
            )
        stated: dict[str, Any] = {str(k): v for k, v in native.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        names = [d.name for d in self.decisions]
        faults = FaultList(
            Fault(
                f"no decision is called '{name}'",
                path=name,
                suggestion=nearest(name, names),
                expected=one_of(names[:8]),
            )
            for name in stated
            if name not in names
        )
        choice: list[int] = []
        for decision in self.decisions:
            value = stated.get(decision.name, decision.options[0])
            labels = [decision.label(i) for i in range(len(decision.options))]
            if value in decision.options:
                choice.append(decision.options.index(value))
            elif str(value) in labels:
                choice.append(labels.index(str(value)))
            else:
                faults.append(
                    Fault(
                        f"'{value}' is not an option",
                        path=decision.name,
                        expected=one_of(labels),
                        suggestion=nearest(str(value), labels),
                    )
                )
        faults.settle()
        return tuple(choice)

    def decode(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return decision -> option, the inverse of `encode`."""
        options = self.checked(choice)
        return {d.name: d.options[i] for d, i in zip(self.decisions, options, strict=True)}

    # meaning of a choice

    def by_role(self, choice: Sequence[int], role: str) -> dict[str, Any]:
        """Return member -> option for all decisions of a role."""
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
            Values of free dimensions.

        Raises
        ------
        InputError
            The choice is invalid, or the network does not have a setting.
        """
        options = self.checked(choice)
        base = self.base.bind({**self.by_role(options, "parameter"), **settings})
        kv = self.by_role(options, "kv")
        network = compressed(
            base,
            weights=self.by_role(options, "weights"),
            activations=self.by_role(options, "activations"),
            kv=kv,
            free=self.free,
            precision=self.precision_of(options),
        )
        widths = {self.width_names[g]: w for g, w in self.by_role(options, "channels").items()}
        return network.bind(widths) if widths else network

    @property
    def sized(self) -> bool:
        """Whether there are decisions on parameters of the workload, for example the batch."""
        return any(d.role == "parameter" for d in self.decisions)

    def items(self, choices: npt.ArrayLike, **settings: Any) -> npt.NDArray[np.float64]:
        """Return the items per run of each choice (frames or tokens), ``(n,)``.

        Parameters
        ----------
        choices : array of shape ``(n, decisions)``
        settings
            Values of free dimensions.
        """
        rows = np.asarray(choices, dtype=np.intp).reshape(-1, len(self.decisions))
        decided = {
            member: np.array(d.options, dtype=float)[rows[:, i]]
            for i, d in enumerate(self.decisions)
            if d.role == "parameter"
            for member in d.members
        }
        count = self.base.bind({**decided, **settings}).items()
        return np.broadcast_to(np.asarray(count, dtype=float), (len(rows),)).copy()

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Channel groups with a decision on their width."""
        return tuple(m for d in self.decisions if d.role == "channels" for m in d.members)

    @cached_property
    def width_names(self) -> dict[str, str]:
        """Channel group -> free dimension of its width."""
        from perfmodel.workload.rewrite.channels import width_names

        return width_names(self.free)

    def precision_of(self, choice: Sequence[int]) -> Precision | None:
        """Return the precision of everything that no other decision covers."""
        decided = self.by_role(choice, "precision")
        return as_precision(next(iter(decided.values()))) if decided else self.precision

    def options_of(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of `predict` besides workload and device."""
        precision = self.precision_of(choice)
        return {} if precision is None else {"precision": precision}

    def facts_of(self, choice: Sequence[int]) -> dict[str, Any]:
        """Return fact of the device -> value."""
        return self.by_role(choice, "fact")

    def plain(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph with free widths and unchanged formats."""
        return compressed(self.base, free=self.free).graph(semantics)

    @property
    def content_hash(self) -> str:
        """Text that identifies the space: the network, its parameters, and the decisions."""
        graph = self.base.graph().content_hash()
        return repr((graph, sorted(self.base.parameters.items()), self.decisions, self.precision))

    def __hash__(self) -> int:
        return hash(self.content_hash)
