"""What a walk of an ONNX graph hands on: its steps in order, bodies of control flow among them."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TypeAlias

from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.symbols import Dim

#: Operator of the node that stands for entering a body of control flow.
CALL = "(call)"


@dataclass(slots=True)
class Repeat:
    """The body of a loop and how often it runs."""

    name: str
    count: Dim
    steps: list[Step]

    @property
    def inside(self) -> list[Step]:
        """The steps of its body."""
        return self.steps


@dataclass(slots=True)
class OnnxIfBranches:
    """The two bodies of an ``If`` whose condition only the data decide."""

    node: OnnxNode
    then_steps: list[Step]
    else_steps: list[Step]
    then_outputs: tuple[OnnxValue, ...]
    else_outputs: tuple[OnnxValue, ...]

    @property
    def inside(self) -> list[Step]:
        """The steps of both bodies."""
        return [*self.then_steps, *self.else_steps]


Step: TypeAlias = OnnxNode | Repeat | OnnxIfBranches
Scope: TypeAlias = ChainMap[str, OnnxValue]


@dataclass(slots=True)
class Blocker:
    """A node that needs the number of free dimensions."""

    label: str
    reason: str
    symbols: frozenset[str]


@dataclass(slots=True)
class Walked:
    """Everything that one walk finds."""

    steps: list[Step]
    inputs: list[OnnxValue]
    outputs: list[OnnxValue]
    blockers: list[Blocker]
    defaults: dict[str, float]
    notes: list[str]
    extents: dict[Dim, str] = field(default_factory=dict[Dim, str])
    dispatched: frozenset[int] = frozenset()
    """Identities of the file's nodes that a runtime dispatches."""


def touched(step: Step) -> list[OnnxValue]:
    """Return every value that the nodes inside a step read or make."""
    if isinstance(step, OnnxNode):
        return [*step.present, *step.made]
    edges = [e for s in step.inside for e in touched(s)]
    if isinstance(step, OnnxIfBranches):
        edges += (*step.then_outputs, *step.else_outputs, *touched(step.node))
    return edges
