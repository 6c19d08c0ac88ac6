"""Data model of a plan: placements, residencies, moves and transfers, and its JSON.

A step is a position in the order of operators. A residency is the live range of a tensor in a
memory; a move copies a tensor between memories of a device before a step, a transfer sends it to
another device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from perfmodel.errors import Fault
from perfmodel.frozen_model import FrozenModel


class TensorLike(Protocol):
    """Interface of a tensor as used by a plan."""

    @property
    def role(self) -> str:
        """One of `ROLES`."""
        ...


class AccessLike(Protocol):
    """Interface of an operator's access to a tensor as used by a plan."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        ...

    @property
    def mode(self) -> str:
        """Mode of the access, such as ``read`` or ``write``."""
        ...

    @property
    def elements(self) -> Any:
        """Number of elements."""
        ...


class OperatorLike(Protocol):
    """Interface of an operator as used by a plan."""

    @property
    def name(self) -> str:
        """Name of the operator."""
        ...

    @property
    def accesses(self) -> tuple[AccessLike, ...]:
        """Accesses to the tensors that it reads and writes."""
        ...


class GraphLike(Protocol):
    """Interface of a graph (`perfmodel.workload.graph.Graph`) as used by a plan."""

    @property
    def tensors(self) -> Mapping[str, TensorLike]:
        """Tensors by name."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input tensors."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors."""
        ...

    def walk(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over (block, operator) in execution order."""
        ...

    def content_hash(self) -> str:
        """Return a hash of the graph's content."""
        ...


class _PlanRecord(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class Placement(_PlanRecord):
    """Placement of one operator; its index in the order is its step."""

    operator: str
    """Name of the operator in the graph."""
    device: str = ""
    """Device that runs it; may be empty if there is only one."""
    engine: str = ""
    """Engine of that device."""
    start_s: float | None = Field(default=None, ge=0)
    """Start time in seconds from the beginning of the plan, if known."""
    end_s: float | None = Field(default=None, ge=0)
    """End time in seconds, if known."""
    kernel: str = ""
    """Fused kernel that contains it: tensors read only inside the kernel need no memory."""


class Residency(_PlanRecord):
    """Live range of a tensor in a memory, from one step to another, both included."""

    tensor: str
    """Name of the tensor in the graph."""
    memory: str
    """Memory that contains it."""
    first: int = Field(ge=0)
    """First step of residency."""
    last: int = Field(ge=0)
    """Last step of residency."""
    size_bytes: float = Field(ge=0)
    """Size of the tensor in bytes."""
    device: str = ""
    """Device of the memory."""
    address: int | None = Field(default=None, ge=0)
    """Offset inside the memory in bytes, if the plan assigns addresses."""
    takes_over: str = ""
    """Tensor that it overwrites in place, element by element, at its first step."""


class Move(_PlanRecord):
    """A tensor copied between two memories of a device before a step begins."""

    tensor: str
    """Name of the tensor in the graph."""
    kind: Literal["spill", "reload"]
    """Direction: spill to an outer memory, or reload from it."""
    step: int = Field(ge=0)
    """Step before which it happens."""
    source: str
    """Source memory."""
    target: str
    """Target memory."""
    size_bytes: float = Field(ge=0)
    """Bytes moved."""
    device: str = ""
    """Device of both memories."""


class Transfer(_PlanRecord):
    """A tensor sent over a link to another device before a step begins."""

    tensor: str
    """Name of the tensor in the graph."""
    step: int = Field(ge=0)
    """Step before which it has arrived."""
    link: str
    """Link that carries it."""
    source: str
    """Sending device."""
    target: str
    """Receiving device."""
    size_bytes: float = Field(ge=0)
    """Bytes sent."""
    start_s: float | None = Field(default=None, ge=0)
    """Start time in seconds, if known."""
    end_s: float | None = Field(default=None, ge=0)
    """Arrival time in seconds, if known."""


class Capacity(_PlanRecord):
    """Capacity of a memory that the plan may use."""

    memory: str
    """Name of the memory."""
    size_bytes: float = Field(gt=0)
    """Usable bytes."""
    device: str = ""
    """Device of the memory."""


class TiledTensor(_PlanRecord):
    """Traffic of one tensor of a kernel in tiles."""

    tensor: str
    """Name of the tensor in the graph."""
    size_bytes: float = Field(ge=0)
    """Bytes that cross the boundary: the halo, and what is fetched again, included."""


class TiledKernel(_PlanRecord):
    """A kernel that runs in tiles, with its tensors in an outer memory."""

    operator: str
    """Operator of the kernel that runs first."""
    memory: str
    """Outer memory that its tensors lie in."""
    scratch_bytes: float = Field(ge=0)
    """Bytes of its tiles while it runs."""
    weight_bytes: float = Field(default=0.0, ge=0)
    """Bytes of reads of its weights beside the first."""
    tensors: tuple[TiledTensor, ...] = ()
    """Activations that it reads and writes."""


class Plan(_PlanRecord):
    """A schedule of one graph."""

    schema_version: Literal[1] = 1
    """Version of the plan format."""
    graph: str
    """`content_hash` of the graph with its repetitions unrolled."""
    precision: str = ""
    """Precision assumed for the sizes, as text."""
    method: str = ""
    """Scheduler that created the plan."""
    order: tuple[Placement, ...]
    """Placement of every operator, in order of start."""
    capacities: tuple[Capacity, ...] = ()
    """Memories that bound the plan."""
    residency: tuple[Residency, ...] = ()
    """Live ranges of tensors in memories; empty for a plan with only order and placement."""
    moves: tuple[Move, ...] = ()
    """Spills and reloads."""
    transfers: tuple[Transfer, ...] = ()
    """Tensors sent over links."""
    tiled: tuple[str, ...] = ()
    """Operators executed in tiles: their tensors are stored off chip and not in `residency`."""
    tiles: tuple[TiledKernel, ...] = ()
    """Kernels of these operators, with what their tiles occupy and move."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that run an operator, in order of first use."""
        return tuple(dict.fromkeys(p.device for p in self.order))

    @property
    def tiled_memory(self) -> str:
        """Memory that tiles lie in: the one that bounds the plan; empty without tiles."""
        return self.capacities[0].memory if self.tiles and self.capacities else ""

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
        """Return the occupied bytes of a memory at each step.

        The sum over the residencies of that step, and the tiles of a kernel; a tensor that
        overwrites another in place shares its buffer at its first step, so that the smaller of
        both sizes counts once.
        """
        steps = [0.0] * len(self.order)
        here = [
            residency
            for residency in self.residency
            if (residency.memory, residency.device) == (memory, device)
        ]
        sizes = {(residency.tensor, residency.last): residency.size_bytes for residency in here}
        for residency in here:
            for step in range(residency.first, min(residency.last + 1, len(steps))):
                steps[step] += residency.size_bytes
            if residency.takes_over and residency.first < len(steps):
                # Both share one buffer at that step.
                steps[residency.first] -= min(
                    residency.size_bytes, sizes.get((residency.takes_over, residency.first), 0.0)
                )
        if memory == self.tiled_memory:
            scratch = {kernel.operator: kernel.scratch_bytes for kernel in self.tiles}
            for step, placement in enumerate(self.order):
                if placement.device == device:
                    steps[step] += scratch.get(placement.operator, 0.0)
        return steps

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the plan as JSON; `from_json` returns an equal plan."""
        return self.model_dump_json(indent=indent, exclude_defaults=True)

    @classmethod
    def from_json(cls, text: str, name: str = "plan.json") -> Plan:
        """Return the plan of a JSON text.

        Parameters
        ----------
        text
            Output of `to_json`.
        name
            File name for error messages.

        Raises
        ------
        InputError
            Lists every format error with its location.
        """
        from perfmodel.specfile import read, validate

        data, marks = read(text, name, json_text=True)
        return validate(cls, data, marks, name)

    def check(self, graph: GraphLike, sizes: Mapping[str, float] | None = None) -> list[Fault]:
        """Return the inconsistencies between the plan and a graph; empty if it is valid.

        Parameters
        ----------
        graph
            The graph with its repetitions unrolled.
        sizes
            Expected bytes of each tensor; not checked if omitted.
        """
        if graph.content_hash() != self.graph:
            # Further checks would be meaningless: names and steps belong to another graph.
            expected = f"the graph with hash {self.graph}"
            return [
                Fault(
                    f"is for another graph than {graph.content_hash()}", "graph", expected=expected
                )
            ]
        from perfmodel.plan.validation import PlanValidator

        return list(dict.fromkeys(PlanValidator(self, graph, sizes or {}).faults()))
