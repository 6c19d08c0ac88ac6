"""The value itself and its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from perfmodel.errors import Fault
from perfmodel.frozen import FrozenModel


class TensorLike(Protocol):
    """What a plan needs of a tensor."""

    @property
    def role(self) -> str:
        """One of `ROLES`."""
        ...


class AccessLike(Protocol):
    """What a plan needs of an operator's access to a tensor."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        ...

    @property
    def mode(self) -> str:
        """Whether it is read, written or both."""
        ...

    @property
    def elements(self) -> Any:
        """How many elements of it."""
        ...


class OperatorLike(Protocol):
    """What a plan needs of an operator."""

    @property
    def name(self) -> str:
        """Name of the operator."""
        ...

    @property
    def accesses(self) -> tuple[AccessLike, ...]:
        """Tensors that it reads and writes."""
        ...


class GraphLike(Protocol):
    """What a plan needs of a graph (`perfmodel.workload.graph.Graph`)."""

    @property
    def tensors(self) -> Mapping[str, TensorLike]:
        """Tensors by name."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors that enter."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that leave."""
        ...

    def walk(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over (block, operator) in execution order."""
        ...

    def content_hash(self) -> str:
        """Return a hash of the graph's content."""
        ...


class _Value(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class Placement(_Value):
    """One operator of the order; its place in the order is its step."""

    operator: str
    """Name of the operator in the graph."""
    device: str = ""
    """Device that runs it; may be left out where there is one."""
    engine: str = ""
    """Engine of that device."""
    start_s: float | None = Field(default=None, ge=0)
    """When it starts, in seconds from the beginning, where the plan knows."""
    end_s: float | None = Field(default=None, ge=0)
    """When it has ended."""
    kernel: str = ""
    """Kernel that it is part of: what only its operators read stays inside, in no memory."""


class Residency(_Value):
    """A tensor held in a memory from one step to another, both included."""

    tensor: str
    """Name of the tensor in the graph."""
    memory: str
    """Memory that holds it."""
    first: int = Field(ge=0)
    """First step at which it is there."""
    last: int = Field(ge=0)
    """Last step at which it is there."""
    size_bytes: float = Field(ge=0)
    """Bytes that it takes."""
    device: str = ""
    """Device of the memory."""
    address: int | None = Field(default=None, ge=0)
    """Offset inside the memory, in bytes, where the plan allocates."""
    takes_over: str = ""
    """Tensor whose place it takes over at its first step, written over it element by element."""


class Move(_Value):
    """A tensor copied between two memories of a device before a step begins."""

    tensor: str
    """Name of the tensor in the graph."""
    kind: Literal["spill", "reload"]
    """To an outer memory, or back from it."""
    step: int = Field(ge=0)
    """Step before which it happens."""
    source: str
    """Memory that it leaves."""
    target: str
    """Memory that it reaches."""
    size_bytes: float = Field(ge=0)
    """Bytes moved."""
    device: str = ""
    """Device of both memories."""


class Transfer(_Value):
    """A tensor sent over a link to another device before a step begins."""

    tensor: str
    """Name of the tensor in the graph."""
    step: int = Field(ge=0)
    """Step before which it has arrived."""
    link: str
    """Link that carries it."""
    source: str
    """Device that sends."""
    target: str
    """Device that receives."""
    size_bytes: float = Field(ge=0)
    """Bytes sent."""
    start_s: float | None = Field(default=None, ge=0)
    """When it starts, where the plan knows."""
    end_s: float | None = Field(default=None, ge=0)
    """When it has arrived."""


class Capacity(_Value):
    """What a memory may hold."""

    memory: str
    """Name of the memory."""
    size_bytes: float = Field(gt=0)
    """Bytes that the plan may use of it."""
    device: str = ""
    """Device of the memory."""


class Plan(_Value):
    """A schedule of one graph."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    graph: str
    """`content_hash` of the graph, repetitions written out."""
    precision: str = ""
    """Precision that the sizes hold for, as text."""
    method: str = ""
    """Scheduler that made it."""
    order: tuple[Placement, ...]
    """Every operator once, in the order in which they start."""
    capacities: tuple[Capacity, ...] = ()
    """Memories that bound the plan."""
    residency: tuple[Residency, ...] = ()
    """What lives where; empty for a plan that only orders and places."""
    moves: tuple[Move, ...] = ()
    """Spills and reloads."""
    transfers: tuple[Transfer, ...] = ()
    """What crosses links."""
    tiled: tuple[str, ...] = ()
    """Operators that run in tiles: what they touch lies off chip and is not in the residency."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that run an operator, in order of first use."""
        return tuple(dict.fromkeys(p.device for p in self.order))

    @property
    def spill_bytes(self) -> float:
        """Bytes written to outer memories."""
        return sum(m.size_bytes for m in self.moves if m.kind == "spill")

    @property
    def reload_bytes(self) -> float:
        """Bytes read back from outer memories."""
        return sum(m.size_bytes for m in self.moves if m.kind == "reload")

    @property
    def transfer_bytes(self) -> float:
        """Bytes sent between devices."""
        return sum(t.size_bytes for t in self.transfers)

    def held_bytes(self, memory: str, device: str = "") -> list[float]:
        """Return what a memory holds at each step, in bytes."""
        steps = [0.0] * len(self.order)
        here = [r for r in self.residency if (r.memory, r.device) == (memory, device)]
        sizes = {(r.tensor, r.last): r.size_bytes for r in here}
        for r in here:
            for step in range(r.first, min(r.last + 1, len(steps))):
                steps[step] += r.size_bytes
            if r.takes_over and r.first < len(steps):
                # Both lie in one place at that step.
                steps[r.first] -= min(r.size_bytes, sizes.get((r.takes_over, r.first), 0.0))
        return steps

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the plan as JSON; `from_json` gives an equal plan back."""
        return self.model_dump_json(indent=indent, exclude_defaults=True)

    @classmethod
    def from_json(cls, text: str, name: str = "plan.json") -> Plan:
        """Read a plan.

        Parameters
        ----------
        text
            As `to_json` writes it.
        name
            File name for faults.

        Raises
        ------
        InputError
            Every fault of form, with its place.
        """
        from perfmodel.specfile import read, validate

        data, marks = read(text, name, json_text=True)
        return validate(cls, data, marks, name)

    def check(self, graph: GraphLike, sizes: Mapping[str, float] | None = None) -> list[Fault]:
        """Return what keeps the plan from fitting a graph; empty when it fits.

        Parameters
        ----------
        graph
            The graph with its repetitions written out.
        sizes
            Bytes of each tensor, to compare with what the plan says.
        """
        if graph.content_hash() != self.graph:
            # Nothing else would say more: names and steps belong to another graph.
            expected = f"the graph with hash {self.graph}"
            return [
                Fault(
                    f"is for another graph than {graph.content_hash()}", "graph", expected=expected
                )
            ]
        from perfmodel.plan.check import Check

        return list(dict.fromkeys(Check(self, graph, sizes or {}).faults()))
