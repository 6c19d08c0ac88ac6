"""An instance of the contest: operations on matrices, a fast memory and the bandwidth behind it.

The format is that of PROBLEM.md of github.com/yarongmu-google/MLSys. Sizes are in elements, times
in the contest's units of time, the bandwidth in elements a unit of time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.specfile import Marks, read

__all__ = ["MATMUL", "POINTWISE", "ContestOperation", "Instance", "read_instance"]

MATMUL, POINTWISE = "MatMul", "Pointwise"
_LISTS = ("widths", "heights", "inputs", "outputs", "base_costs", "op_types", "native_granularity")
_NUMBERS = ("fast_memory_capacity", "slow_memory_bandwidth")


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
        made = [-1] * len(self.widths)
        for i, op in enumerate(self.operations):
            for tensor in op.outputs:
                made[tensor] = i
        return tuple(made)

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
            t for t, made in enumerate(self.producer) if made >= 0 and not self.consumers[t]
        )

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Operations, each after what it reads, otherwise as they stand in the file."""
        return _topological(self.operations, self.producer)

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


def _topological(
    operations: tuple[ContestOperation, ...], producer: tuple[int, ...]
) -> tuple[int, ...]:
    waits = [0] * len(operations)
    after: list[list[int]] = [[] for _ in operations]
    for i, op in enumerate(operations):
        for made in {producer[t] for t in op.inputs} - {-1}:
            waits[i] += 1
            after[made].append(i)
    ready = [i for i, n in enumerate(waits) if not n]
    heapq.heapify(ready)
    out: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        out.append(i)
        for j in after[i]:
            waits[j] -= 1
            if not waits[j]:
                heapq.heappush(ready, j)
    return tuple(out)


def read_instance(source: str | Path | Mapping[str, Any], name: str = "") -> Instance:
    """Read an instance from a JSON file, or from what such a file holds.

    Raises
    ------
    InputError
        With every fault and its place.
    """
    if isinstance(source, Mapping):
        return _ContestInstanceReader(dict(source), Marks(), "").instance(name or "instance")
    path = Path(source)
    data, marks = read(path, json_text=True)
    return _ContestInstanceReader(data, marks, str(path)).instance(name or path.stem)


def _fits_swapped(op: ContestOperation, widths: list[int], heights: list[int]) -> bool:
    if op.kind != MATMUL or len(op.inputs) != 2 or len(op.outputs) != 1:
        return False
    out = op.outputs[0]

    def fits(left: int, right: int) -> bool:
        inner = widths[left] == heights[right]
        return inner and heights[out] == heights[left] and widths[out] == widths[right]

    return not fits(*op.inputs) and fits(*op.inputs[::-1])


class _ContestInstanceReader:
    def __init__(self, data: Any, marks: Marks, file: str) -> None:
        self.data: dict[str, Any] = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        self.marks, self.file = marks, file
        self.faults: list[Fault] = []
        if not isinstance(data, dict):
            self.fault((), "an instance is an object", "the keys " + ", ".join(_LISTS + _NUMBERS))

    def fault(self, path: tuple[str | int, ...], message: str, expected: str = "") -> None:
        line, column = self.marks.at(path)
        shown = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        self.faults.append(Fault(message, shown, self.file, line, column, expected))

    def stop(self) -> None:
        if self.faults:
            raise InputError(self.faults)

    def instance(self, name: str) -> Instance:
        known = (*_LISTS, *_NUMBERS)
        for key in self.data:
            if key not in known:
                meant = nearest(key, known)
                self.fault((key,), f"unknown key '{key}'", f"'{meant}'" if meant else "")
        for key in known:
            if key not in self.data:
                self.fault((), f"'{key}' is missing")
            elif key in _LISTS and not isinstance(self.data[key], list):
                self.fault((key,), f"'{key}' is no list", "a list")
        self.stop()
        self.same_length("heights", "widths")
        for key in ("outputs", "base_costs", "op_types"):
            self.same_length(key, "inputs")
        self.stop()
        widths, heights = self.whole("widths"), self.whole("heights")
        listed = [self.operation(i, len(widths)) for i in range(len(self.data["inputs"]))]
        capacity = self.number("fast_memory_capacity")
        bandwidth = self.number("slow_memory_bandwidth")
        native = self.whole("native_granularity")
        if len(native) not in (2, 3):
            self.fault(("native_granularity",), f"{len(native)} values", "[w, h] or [w, h, k]")
        if not listed:
            self.fault(("inputs",), "no operation")
        self.stop()
        swapped = [i for i, op in enumerate(listed) if _fits_swapped(op, widths, heights)]
        for i in swapped:
            listed[i] = replace(listed[i], inputs=listed[i].inputs[::-1])
        operations = tuple(listed)
        depth = native[2] if len(native) == 3 else max(native)
        found = Instance(
            name,
            tuple(widths),
            tuple(heights),
            operations,
            int(capacity),
            bandwidth,
            native[0],
            native[1],
            depth,
            tuple(swapped),
        )
        self.graph(found)
        self.stop()
        return found

    def same_length(self, key: str, other: str) -> None:
        if len(self.data[key]) != len(self.data[other]):
            self.fault(
                (key,),
                f"{len(self.data[key])} entries, '{other}' has {len(self.data[other])}",
                "one for each",
            )

    def whole(self, key: str) -> list[int]:
        out: list[int] = []
        for i, value in enumerate(self.data[key]):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                self.fault((key, i), f"{value!r}", "a whole number above 0")
                value = 1
            out.append(value)
        return out

    def number(self, key: str) -> float:
        value = self.data[key]
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value <= 0:
            self.fault((key,), f"{value!r}", "a number above 0")
            return 1.0
        return float(value)

    def tensors(self, key: str, i: int, count: int) -> tuple[int, ...]:
        given = self.data[key][i]
        entries = cast("list[Any]", given) if isinstance(given, list) else []
        if not entries:
            self.fault((key, i), f"{given!r}", "a list of at least one tensor")
        out: list[int] = []
        for j, value in enumerate(entries):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
                self.fault((key, i, j), f"no tensor {value!r}", f"0 to {count - 1}")
            else:
                out.append(value)
        return tuple(out)

    def operation(self, i: int, count: int) -> ContestOperation:
        kind, cost = self.data["op_types"][i], self.data["base_costs"][i]
        if kind not in (MATMUL, POINTWISE):
            self.fault(("op_types", i), f"{kind!r}", f"'{MATMUL}' or '{POINTWISE}'")
        good = isinstance(cost, (int, float)) and not isinstance(cost, bool)
        if not good or not math.isfinite(cost) or cost < 0:
            self.fault(("base_costs", i), f"{cost!r}", "a number of at least 0")
            cost = 0.0
        inputs, outputs = self.tensors("inputs", i, count), self.tensors("outputs", i, count)
        return ContestOperation(str(kind), inputs, outputs, float(cost))

    def graph(self, found: Instance) -> None:
        made: dict[int, int] = {}
        for i, op in enumerate(found.operations):
            for j, tensor in enumerate(op.outputs):
                if made.setdefault(tensor, i) != i or op.outputs.count(tensor) > 1:
                    self.fault(("outputs", i, j), f"tensor {tensor} is made twice")
            if op.kind == MATMUL:
                self.product(i, op, found)
            elif len({(found.widths[t], found.heights[t]) for t in op.outputs}) > 1:
                self.fault(("outputs", i), "outputs of different sizes", "one size")
        if not self.faults and len(found.order) < len(found.operations):
            left = sorted(set(range(len(found.operations))) - set(found.order))
            self.fault(("inputs", left[0]), f"a circle through operations {left}", "no circle")

    def product(self, i: int, op: ContestOperation, found: Instance) -> None:
        if len(op.inputs) != 2 or len(op.outputs) != 1:
            self.fault(
                ("inputs", i),
                f"a {MATMUL} of {len(op.inputs)} inputs and {len(op.outputs)} outputs",
                "2 and 1",
            )
            return
        left, right, out = *op.inputs, op.outputs[0]
        shapes = [f"{found.heights[t]} x {found.widths[t]}" for t in (left, right, out)]
        fits = (
            found.widths[left] == found.heights[right]
            and found.heights[out] == found.heights[left]
            and found.widths[out] == found.widths[right]
        )
        if not fits:
            self.fault(
                ("inputs", i),
                f"({shapes[0]}) times ({shapes[1]}) is not ({shapes[2]})",
                "rows x columns that fit",
            )
