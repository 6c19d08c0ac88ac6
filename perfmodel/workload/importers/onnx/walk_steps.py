"""Result of walking a network: ordered steps, with loops and branches, and uses of each value.

`walk` makes the steps, `quantiser_formats` and `quantisation_folding` rewrite them, `graph_build`
prices them.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.symbols import Dim

#: Operator type of the node that represents entering a body of control flow.
CALL = "(call)"


@dataclass(slots=True)
class Repeat:
    """The body of a loop and its trip count."""

    name: str
    count: Dim
    steps: list[Step]

    @property
    def body_steps(self) -> list[Step]:
        """The steps of its body."""
        return self.steps


@dataclass(slots=True)
class OnnxIfBranches:
    """The two bodies of an ``If`` whose condition depends on the data."""

    node: OnnxNode
    then_steps: list[Step]
    else_steps: list[Step]
    then_outputs: tuple[OnnxValue, ...]
    else_outputs: tuple[OnnxValue, ...]

    @property
    def body_steps(self) -> list[Step]:
        """The steps of both bodies."""
        return [*self.then_steps, *self.else_steps]


Step: TypeAlias = OnnxNode | Repeat | OnnxIfBranches
Scope: TypeAlias = ChainMap[str, OnnxValue]


@dataclass(slots=True)
class Blocker:
    """A node that requires the numbers of free dimensions."""

    label: str
    reason: str
    symbols: frozenset[str]


@dataclass(slots=True)
class WalkResult:
    """Result of one walk.

    Attributes
    ----------
    steps
        Nodes, loops and branches in order of execution.
    blockers
        Nodes that require the numbers of free dimensions.
    defaults
        Free dimension -> its default number.
    notes
        Notes for the user.
    window_extents
        Extents that a too small input would make empty -> the node.
    dispatched
        Identities of the file's nodes that a runtime dispatches.
    """

    steps: list[Step]
    inputs: list[OnnxValue]
    outputs: list[OnnxValue]
    blockers: list[Blocker]
    defaults: dict[str, float]
    notes: list[str]
    window_extents: dict[Dim, str] = field(default_factory=dict[Dim, str])
    dispatched: frozenset[int] = frozenset()
    """Identities of the file's nodes that a runtime dispatches."""


def values_touched(step: Step) -> list[OnnxValue]:
    """Return every value that the nodes inside a step read or write."""
    if isinstance(step, OnnxNode):
        return [*step.present_inputs, *step.present_outputs]
    edges = [e for s in step.body_steps for e in values_touched(s)]
    if isinstance(step, OnnxIfBranches):
        edges += (*step.then_outputs, *step.else_outputs, *values_touched(step.node))
    return edges


class ValueUses:
    """Producer and readers of each value within the steps of one body.

    Attributes
    ----------
    producer, readers
        Identity of a value -> the node that writes it, and the nodes that read it.
    protected
        Identities of values that are also read outside these nodes.
    """

    def __init__(self, steps: Sequence[Step], outputs: Iterable[OnnxValue]) -> None:
        self.producer: dict[int, OnnxNode] = {}
        self.readers: dict[int, list[OnnxNode]] = {}
        self.protected = {id(e) for e in outputs}
        for step in steps:
            if isinstance(step, OnnxNode):
                self.producer |= {id(e): step for e in step.present_outputs}
                for edge in step.present_inputs:
                    self.readers.setdefault(id(edge), []).append(step)
            else:
                self.protected |= {id(e) for e in values_touched(step)}

    def has_single_reader(self, edge: OnnxValue) -> bool:
        """Return whether exactly one node, and nothing else, reads a value."""
        return len(self.readers.get(id(edge), ())) == 1 and id(edge) not in self.protected


def fold_bodies(
    steps: Sequence[Step],
    outputs: Sequence[OnnxValue],
    fold: Callable[[list[Step], list[OnnxValue]], list[Step]],
) -> None:
    """Fold the bodies of control flow, protecting values that are read from outside."""
    for step in steps:
        if isinstance(step, Repeat):
            read = [e for s in steps if isinstance(s, OnnxNode) for e in s.present_inputs]
            step.steps = fold(step.steps, [*outputs, *read])
        elif isinstance(step, OnnxIfBranches):
            step.then_steps = fold(step.then_steps, list(step.then_outputs))
            step.else_steps = fold(step.else_steps, list(step.else_outputs))
