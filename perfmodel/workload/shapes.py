"""Loop nests of a table's rows, all in one form: a grouped convolution of positions and channels.

A dimension that indexes both factors and the product is a group; one that indexes a factor and the
product is a position (of the input) or an output channel (of the weight); one that indexes both
factors alone is summed over: a channel, or a tap where it shares an axis with a position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim, distinct_experts, product

if TYPE_CHECKING:
    from perfmodel.workload.fuse import FusedKernel
    from perfmodel.workload.graph import Operator

Index = npt.NDArray[np.intp]

#: Numbers of a nest, in the order of `Nests`.
COLUMNS = (
    "groups",
    "batch",
    "out_channels",
    "in_channels",
    "out_rows",
    "out_columns",
    "kernel_rows",
    "kernel_columns",
    "in_rows",
    "in_columns",
    "times",
)


@dataclass(slots=True)
class Nests:
    """Every loop nest of a table, sorted by row.

    Every number has shape ``(nests, points)`` or ``(nests, 1)``.

    A GEMM ``C[M, N] += A[M, K] B[K, N]`` has ``out_rows = M``, ``out_channels = N``,
    ``in_channels = K`` and 1 elsewhere; a batched one has its batch as groups. Query heads that
    share a KV head are the batch of its group; experts are groups, as many as the tokens touch.

    Attributes
    ----------
    row
        Row of the operator table.
    kind
        Class of the operator: ``gemm``, ``conv``, ``grouped``, ``depthwise``, ``attention``,
        ``moe``, ``recurrent``.
    name
        Name of the operator.
    slots
        What decides the bits of input, weight (the second factor) and output.
    access
        Where input, weight and output stand in the table's accesses, shape ``(nests, 3)``; -1 for
        one that does not leave the kernel (attention scores).
    stride, dilation
        Of rows and columns, shape ``(nests, 2)``.
    causal
        Whether a query sees only the keys up to its own (attention without a window).
    groups, batch, out_channels, in_channels, out_rows, out_columns, kernel_rows, kernel_columns
        Extents; channels are those of one group.
    in_rows, in_columns
        Real extents of the input, without padding.
    times
        Executions of the nest in one execution of its row (the steps of a recurrent cell).
    """

    row: Index
    kind: tuple[str, ...]
    name: tuple[str, ...]
    slots: tuple[tuple[str, str, str], ...]
    access: Index
    stride: Index
    dilation: Index
    causal: tuple[bool, ...]
    groups: Value
    batch: Value
    out_channels: Value
    in_channels: Value
    out_rows: Value
    out_columns: Value
    kernel_rows: Value
    kernel_columns: Value
    in_rows: Value
    in_columns: Value
    times: Value

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def taps(self) -> Value:
        """Positions of a window."""
        return self.kernel_rows * self.kernel_columns

    @property
    def positions(self) -> Value:
        """Outputs of a channel: M of the product that a convolution is."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def summed(self) -> Value:
        """Products of an output: K of the product that a convolution is."""
        return self.in_channels * self.kernel_rows * self.kernel_columns

    @property
    def inputs(self) -> Value:
        """Elements of the input of a group, without padding."""
        return self.batch * self.in_channels * self.in_rows * self.in_columns

    @property
    def window_steps(self) -> tuple[Value, Value, Value, Value]:
        """Strides of rows and columns, dilations of rows and columns; ``(nests, 1)`` each."""
        stride, dilation = self.stride.astype(float), self.dilation.astype(float)
        return stride[:, :1], stride[:, 1:], dilation[:, :1], dilation[:, 1:]

    @property
    def macs(self) -> Value:
        """Multiply-accumulates of each nest in one execution of its row."""
        return (
            self.times
            * self.groups
            * self.batch
            * self.out_channels
            * self.in_channels
            * self.out_rows
            * self.out_columns
            * self.kernel_rows
            * self.kernel_columns
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    slots: tuple[str, str, str]
    tensors: tuple[str, str, str]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    numbers: dict[str, Dim]


@dataclass(frozen=True, slots=True)
class NestKeys:
    """The part of `Nests` that no number changes."""

    row: Index
    kind: tuple[str, ...]
    name: tuple[str, ...]
    slots: tuple[tuple[str, str, str], ...]
    access: Index
    stride: Index
    dilation: Index
    causal: tuple[bool, ...]

    def bind(self, columns: dict[str, Value]) -> Nests:
        """Return the nests with the numbers of a program's columns ``nest NAME``."""
        numbers = {name: columns[f"nest {name}"] for name in COLUMNS}
        # Experts share the rows between them: as many a group as there are tokens for it.
        numbers["out_rows"] = numbers["out_rows"] / columns["nest shared"]
        numbers["in_rows"] = numbers["in_rows"] / columns["nest shared"]
        return Nests(
            self.row,
            self.kind,
            self.name,
            self.slots,
            self.access,
            self.stride,
            self.dilation,
            self.causal,
            **numbers,
        )


def nest_columns(
    kernels: Sequence[FusedKernel],
    kinds: Sequence[str],
    slot: Callable[[str], str],
    access: Callable[[int, str, str], int],
) -> tuple[NestKeys, dict[str, list[Dim]]]:
    """Return what is fixed of every nest, and columns of its numbers for a program.

    Parameters
    ----------
    slot
        Tensor name -> slot (``activation`` for one that the graph does not hold).
    access
        Row, tensor name and mode -> its place in the accesses, or -1.
    """
    rows: list[int] = []
    names: list[str] = []
    shapes: list[_Shape] = []
    shared: list[Dim] = []
    causal: list[bool] = []
    places: list[tuple[int, int, int]] = []
    for i, kernel in enumerate(kernels):
        for operator in kernel.operators:
            for nest in operator.nests:
                shape = _shape(nest, operator, slot)
                rows.append(i)
                names.append(operator.name)
                shapes.append(shape)
                shared.append(_experts(operator, shape))
                said = dict(operator.attributes)
                causal.append(bool(said.get("causal")) and not said.get("window"))
                x, w, y = shape.tensors
                out = access(i, y, "write")
                if out < 0 and y not in {n for o in kernel.operators for n in o.reads} - {
                    n for o in kernel.operators for n in o.writes
                }:
                    out = _finished(i, kernel, y, access)
                places.append((access(i, x, "read"), access(i, w, "read"), out))
    columns: dict[str, list[Dim]] = {
        f"nest {name}": [shape.numbers[name] for shape in shapes] for name in COLUMNS
    }
    columns["nest shared"] = shared
    for i, experts in enumerate(shared):
        columns["nest groups"][i] = product(columns["nest groups"][i], experts)
    keys = NestKeys(
        np.array(rows, dtype=np.intp),
        tuple(kinds[i] for i in rows),
        tuple(names),
        tuple(s.slots for s in shapes),
        np.array(places, dtype=np.intp).reshape(-1, 3),
        np.array([s.stride for s in shapes], dtype=np.intp).reshape(-1, 2),
        np.array([s.dilation for s in shapes], dtype=np.intp).reshape(-1, 2),
        tuple(causal),
    )
    return keys, columns


def _finished(
    row: int, kernel: FusedKernel, name: str, access: Callable[[int, str, str], int]
) -> int:
    """Return the access that writes what riders make of a nest's output, or -1."""
    reached = {name}
    for operator in kernel.operators:
        if reached & set(operator.reads):
            reached |= set(operator.writes)
    for out in kernel.writes:
        if out in reached and (place := access(row, out, "write")) >= 0:
            return place
    return -1


def _experts(operator: Operator, shape: _Shape) -> Dim:
    attributes = dict(operator.attributes)
    if operator.kind != "moe" or "experts" not in attributes:
        return 1
    each = attributes["per_token"]
    return distinct_experts(attributes["experts"], each, shape.numbers["out_rows"] / each)


def _dims(operand: Operand) -> set[str]:
    return {dim for axis in operand.axes for dim, _ in axis}


def _shape(nest: LoopNest, operator: Operator, slot: Callable[[str], str]) -> _Shape:
    factors = [o for o in nest.operands if o.role != "output"]
    if len(factors) == 2 and factors[0].role == "weight" and factors[1].role == "input":
        factors = factors[::-1]
    x, w = factors[0], factors[-1]
    y = next(o for o in nest.operands if o.role == "output")
    in_x, in_w, in_y = _dims(x), _dims(w), _dims(y)
    taps: list[tuple[str, int, str, int, Dim | None]] = []
    for i, axis in enumerate(x.axes):
        if len(axis) == 2:
            (a, step_a), (b, step_b) = axis
            if b in in_y and a not in in_y:  # a weight gradient slides over its taps
                a, step_a, b, step_b = b, step_b, a, step_a
            limit = x.limits[i] if i < len(x.limits) else None
            taps.append((a, step_a, b, step_b, limit))
    # Three dimensions of space: the taps of the first are summed over like channels.
    folded, slid = taps[:-2], taps[-2:]
    spatial = {t[0] for t in slid} | {t[2] for t in slid}
    sizes = dict(nest.dims)
    group: list[Dim] = []
    position: list[Dim] = []
    out: list[Dim] = []
    summed: list[Dim] = [sizes[t[2]] for t in folded]
    times: list[Dim] = []
    sharing: list[Dim] = []
    apart = {t[2] for t in folded}
    # Steps of a cell wait for its state; the product with the input is one over all of them.
    stateful = len(operator.nests) == 1 or any(slot(o.tensor) == "state" for o in (x, w, y))
    waits = operator.kind == "recurrent" and stateful
    for dim, size in nest.dims:
        if dim in spatial or dim in apart:
            continue
        if waits and dim == "t":
            times.append(size)
        elif dim in in_y and dim in in_x:
            shares = operator.kind == "attention" and dim == "h"
            (group if dim in in_w else sharing if shares else position).append(size)
        elif dim in in_y:
            out.append(size)
        else:
            summed.append(size)
    numbers: dict[str, Dim] = {
        "groups": product(*group),
        "out_channels": product(*out),
        "in_channels": product(*summed),
        "times": product(*times),
        "batch": product(*position, *(sharing if slid else ())),
        "out_rows": 1,
        "out_columns": 1,
        "kernel_rows": 1,
        "kernel_columns": 1,
        "in_rows": 1,
        "in_columns": 1,
    }
    stride, dilation = [1, 1], [1, 1]
    for i, (a, step_a, b, step_b, limit) in enumerate(slid):
        side = ("rows", "columns")[i]
        numbers[f"out_{side}"] = sizes[a]
        numbers[f"kernel_{side}"] = sizes[b]
        reach = nest.extent(((a, step_a), (b, step_b)))
        numbers[f"in_{side}"] = reach if limit is None else limit
        stride[i], dilation[i] = step_a, step_b
    if not slid:
        numbers["out_rows"], numbers["batch"] = numbers["batch"], product(*sharing)
        numbers["in_rows"] = numbers["out_rows"]
    return _Shape(
        (slot(x.tensor), slot(w.tensor), slot(y.tensor)),
        (x.tensor, w.tensor, y.tensor),
        (stride[0], stride[1]),
        (dilation[0], dilation[1]),
        numbers,
    )
