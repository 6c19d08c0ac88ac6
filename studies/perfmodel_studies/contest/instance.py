"""An instance of the contest: operations on matrices, a fast memory and the bandwidth behind it.

The format is that of PROBLEM.md of github.com/yarongmu-google/MLSys. Sizes are in elements, times
in the contest's units of time, the bandwidth in elements a unit of time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from perfmodel.errors import Fault, InputError
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import Marks, read, validate
from pydantic import ConfigDict, Field, StrictFloat, StrictInt

__all__ = ["MATMUL", "POINTWISE", "ContestOperation", "Instance", "read_instance"]

MATMUL, POINTWISE = "MatMul", "Pointwise"

Positive: TypeAlias = Annotated[StrictInt, Field(gt=0)]
PositiveNumber: TypeAlias = Annotated[StrictFloat, Field(gt=0)]
Tensors: TypeAlias = Annotated[list[StrictInt], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class ContestOperation:
    """An operation; a product of matrices has inputs (left, right) and one output."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    base_cost: float


@dataclass(frozen=True)
class Instance:
    """Tensors, operations and hardware.

    Attributes
    ----------
    widths, heights
        Of each tensor: columns and rows.
    capacity
        Elements that the fast memory holds.
    bandwidth
        Elements a unit of time between slow and fast memory.
    native_width, native_height, native_depth
        What the array executes at once. The rules give one number for all three; where an (older)
        file gives different width and height, the larger one is taken for the depth, which is
        streamed and has no extent in the array.
    swapped
        Products whose operands fit only the other way round than they stand in the file, and were
        taken so (an early file of benchmark 17 has them right before left).
    """

    name: str
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    operations: tuple[ContestOperation, ...]
    capacity: int
    bandwidth: float
    native_width: int
    native_height: int
    native_depth: int
    swapped: tuple[int, ...] = ()

    def shape(self, tensor: int) -> tuple[int, int]:
        """Return the columns and the rows of a tensor."""
        return self.widths[tensor], self.heights[tensor]

    def native_tiles(self, tensor: int) -> tuple[int, int]:
        """Return how many native tiles lie along a tensor's rows and along its columns."""
        width, height = self.shape(tensor)
        return -(-width // self.native_width), -(-height // self.native_height)

    def elements(self, tensor: int) -> int:
        """Return the size of a tensor in elements."""
        return self.widths[tensor] * self.heights[tensor]

    def depth(self, operation: int) -> int:
        """Return the length of the sums of a product, 0 for what has none."""
        op = self.operations[operation]
        return self.widths[op.inputs[0]] if op.kind == MATMUL else 0

    @cached_property
    def producer(self) -> tuple[int, ...]:
        """The operation that makes each tensor, -1 for inputs of the graph."""
        producers = [-1] * len(self.widths)
        for i, op in enumerate(self.operations):
            for tensor in op.outputs:
                producers[tensor] = i
        return tuple(producers)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """The operations that read each tensor."""
        readers: list[list[int]] = [[] for _ in self.widths]
        for i, op in enumerate(self.operations):
            for tensor in dict.fromkeys(op.inputs):
                readers[tensor].append(i)
        return tuple(tuple(r) for r in readers)

    @cached_property
    def graph_outputs(self) -> tuple[int, ...]:
        """Tensors that are made and that nothing reads."""
        return tuple(
            t for t, producer in enumerate(self.producer) if producer >= 0 and not self.consumers[t]
        )

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Operations, each after what it reads, otherwise as they stand in the file."""
        sorter = self.dependencies()
        sorter.prepare()
        ready: list[int] = []
        out: list[int] = []
        while sorter:
            for i in sorter.get_ready():
                heapq.heappush(ready, i)
            out.append(heapq.heappop(ready))
            sorter.done(out[-1])
        return tuple(out)

    def dependencies(self) -> TopologicalSorter[int]:
        """Return a sorter of the operations, each after those that make what it reads."""
        return TopologicalSorter(
            {
                i: {self.producer[t] for t in op.inputs} - {-1}
                for i, op in enumerate(self.operations)
            }
        )

    @cached_property
    def rank(self) -> tuple[int, ...]:
        """Position of each operation in `order`."""
        place = [0] * len(self.operations)
        for position, op in enumerate(self.order):
            place[op] = position
        return tuple(place)

    @cached_property
    def needed_operations(self) -> tuple[int, ...]:
        """Bit mask, for each tensor, of the operations that it takes to make it."""
        masks = [0] * len(self.widths)
        for i in self.order:
            mask = 1 << i
            for tensor in self.operations[i].inputs:
                mask |= masks[tensor]
            for tensor in self.operations[i].outputs:
                masks[tensor] = mask
        return tuple(masks)


class InstanceForm(FrozenModel):
    """What a file of the contest states, by the contest's own names."""

    model_config = ConfigDict(allow_inf_nan=False)
    widths: list[Positive]
    heights: list[Positive]
    inputs: list[Tensors] = Field(min_length=1)
    outputs: list[Tensors]
    base_costs: list[Annotated[StrictFloat, Field(ge=0)]]
    op_types: list[Literal["MatMul", "Pointwise"]]
    fast_memory_capacity: PositiveNumber
    slow_memory_bandwidth: PositiveNumber
    native_granularity: list[Positive]

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield lists that do not go together, and tensors that there are not."""
        lists: dict[str, list[Any]] = {k: v for k, v in data.items() if isinstance(v, list)}
        pairs = [("heights", "widths")]
        pairs += [(key, "inputs") for key in ("outputs", "base_costs", "op_types")]
        for key, other in pairs:
            if key in lists and other in lists and len(lists[key]) != len(lists[other]):
                counts = f"{len(lists[key])} entries, '{other}' has {len(lists[other])}"
                yield Flaw((key,), counts, "one for each")
        native = lists.get("native_granularity")
        if native is not None and len(native) not in (2, 3):
            yield Flaw(("native_granularity",), f"{len(native)} values", "[w, h] or [w, h, k]")
        count = len(lists.get("widths", []))
        for key in ("inputs", "outputs"):
            for i, entry in enumerate(lists.get(key, [])):
                for j, tensor in enumerate(
                    cast("list[Any]", entry) if isinstance(entry, list) else []
                ):
                    if isinstance(tensor, int) and not 0 <= tensor < count:
                        yield Flaw((key, i, j), f"no tensor {tensor}", f"0 to {count - 1}")


def read_instance(source: str | Path | Mapping[str, Any], name: str = "") -> Instance:
    """Read an instance from a JSON file, or from what such a file holds.

    Operands of a product that fit only the other way round are taken so (`Instance.swapped`).

    Raises
    ------
    InputError
        With every fault and its place.
    """
    if isinstance(source, Mapping):
        data, marks, file = dict(source), Marks(), ""
    else:
        file = str(source)
        data, marks = read(Path(source), json_text=True)
    form = validate(InstanceForm, data, marks, file)
    operations = tuple(
        ContestOperation(kind, tuple(inputs), tuple(outputs), cost)
        for kind, inputs, outputs, cost in zip(
            form.op_types, form.inputs, form.outputs, form.base_costs, strict=True
        )
    )
    width, height, *depth = form.native_granularity
    instance = Instance(
        name or (Path(file).stem if file else "instance"),
        tuple(form.widths),
        tuple(form.heights),
        operations,
        int(form.fast_memory_capacity),
        form.slow_memory_bandwidth,
        width,
        height,
        depth[0] if depth else max(width, height),
    )
    turned = tuple(
        replace(op, inputs=op.inputs[::-1])
        if not _fits(instance, op) and _fits(instance, replace(op, inputs=op.inputs[::-1]))
        else op
        for op in operations
    )
    swapped = tuple(i for i, op in enumerate(turned) if op is not operations[i])
    instance = replace(instance, operations=turned, swapped=swapped)
    faults: list[Fault] = []
    for flaw in _graph_flaws(instance):
        line, column = marks.at(flaw.path)
        shown = ".".join(map(str, flaw.path))
        faults.append(Fault(flaw.message, shown, file, line, column, flaw.expected))
    if faults:
        raise InputError(faults)
    return instance


def _fits(instance: Instance, op: ContestOperation) -> bool:
    """Tell whether rows and columns of a product agree; true of all other operations."""
    if op.kind != MATMUL or len(op.inputs) != 2 or len(op.outputs) != 1:
        return True
    (depth, rows), (columns, inner) = map(instance.shape, op.inputs)
    return depth == inner and instance.shape(op.outputs[0]) == (columns, rows)


def _graph_flaws(instance: Instance) -> Iterator[Flaw]:
    """Yield operations that are no product, tensors made twice, and a circle."""
    producers: dict[int, int] = {}
    for i, op in enumerate(instance.operations):
        for j, tensor in enumerate(op.outputs):
            if producers.setdefault(tensor, i) != i or op.outputs.count(tensor) > 1:
                yield Flaw(("outputs", i, j), f"tensor {tensor} is made twice")
        if op.kind != MATMUL:
            if len(set(map(instance.shape, op.outputs))) > 1:
                yield Flaw(("outputs", i), "outputs of different sizes", "one size")
        elif len(op.inputs) != 2 or len(op.outputs) != 1:
            counts = f"{len(op.inputs)} inputs and {len(op.outputs)} outputs"
            yield Flaw(("inputs", i), f"a {MATMUL} of {counts}", "2 and 1")
        elif not _fits(instance, op):
            left, right, out = (
                f"({instance.heights[t]} x {instance.widths[t]})" for t in (*op.inputs, *op.outputs)
            )
            message = f"{left} times {right} is not {out}"
            yield Flaw(("inputs", i), message, "rows x columns that fit")
    try:
        instance.dependencies().prepare()
    except CycleError as error:
        circle = sorted(set(error.args[1]))
        message = f"a circle through operations {circle}"
        yield Flaw(("inputs", circle[0]), message, "no circle")
