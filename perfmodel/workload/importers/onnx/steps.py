"""Result of walking an ONNX graph: ordered steps, including the bodies of control flow."""

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
    def inside(self) -> list[Step]:
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
    def inside(self) -> list[Step]:
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
class Walked:
    """Result of one walk: steps, network inputs and outputs, blockers, defaults and notes."""

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
    """Return every value that the nodes inside a step read or write."""
    if isinstance(step, OnnxNode):
        return [*step.present, *step.written]
    edges = [e for s in step.inside for e in touched(s)]
    if isinstance(step, OnnxIfBranches):
        edges += (*step.then_outputs, *step.else_outputs, *touched(step.node))
    return edges


class Links:
    """Producers and consumers of each value within the steps of one body.

    Attributes
    ----------
    maker, readers
        Identity of a value -> the node that writes it, and the nodes that read it.
    protected
        Identities of values that are also read outside these nodes.
    """

    def __init__(self, steps: Sequence[Step], outputs: Iterable[OnnxValue]) -> None:
        self.maker: dict[int, OnnxNode] = {}
        self.readers: dict[int, list[OnnxNode]] = {}
        self.protected = {id(e) for e in outputs}
        for step in steps:
            if isinstance(step, OnnxNode):
                self.maker |= {id(e): step for e in step.written}
                for edge in step.present:
                    self.readers.setdefault(id(edge), []).append(step)
            else:
                self.protected |= {id(e) for e in touched(step)}

    def exclusive(self, edge: OnnxValue) -> bool:
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
            read = [e for s in steps if isinstance(s, OnnxNode) for e in s.present]
            step.steps = fold(step.steps, [*outputs, *read])
        elif isinstance(step, OnnxIfBranches):
            step.then_steps = fold(step.then_steps, list(step.then_outputs))
            step.else_steps = fold(step.else_steps, list(step.else_outputs))
