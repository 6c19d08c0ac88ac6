"""Loop nests of a table's rows in one uniform form, that of a grouped convolution.

Cost models for arrays and tiles read every product (matrix product, convolution, attention,
experts, recurrence) by the same extents. The role of a loop follows from the operands that it
indexes: a dimension of both factors and the product is a group; one of a single factor and the
product is a position (of the input) or an output channel (of the weight); one of the two factors
only is summed over, as a channel, or as a tap if it shares an axis with a position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim, distinct_experts, product

if TYPE_CHECKING:
    from perfmodel.workload.fuse import FusedKernel
    from perfmodel.workload.graph import Operator

Index = npt.NDArray[np.intp]


@dataclass(slots=True)
class NestKeys:
    """The parts of a table's nests that do not depend on numbers; see `Nests`."""

    row: Index
    place: Index
    kind: tuple[str, ...]
    name: tuple[str, ...]
    slots: tuple[tuple[str, str, str], ...]
    access: Index
    stride: Index
    dilation: Index
    causal: tuple[bool, ...]

    def bind(self, columns: dict[str, Value]) -> Nests:
        """Return the nests with the numbers in a program's columns ``nest NAME``."""
        numbers = {name: columns[f"nest {name}"] for name in COLUMNS}
        # The rows are divided among the experts, which are the groups.
        for rows in ("out_rows", "in_rows"):
            numbers[rows] = numbers[rows] / columns["nest shared"]
        return Nests(*(getattr(self, key.name) for key in fields(NestKeys)), **numbers)


@dataclass(slots=True)
class Nests(NestKeys):
    """All loop nests of a table, sorted by row.

    Every number has shape ``(nests, points)`` or ``(nests, 1)``.

    A GEMM ``C[M, N] += A[M, K] B[K, N]`` has ``out_rows = M``, ``out_channels = N``,
    ``in_channels = K`` and 1 elsewhere; the batch of a batched one is its groups. Query heads that
    share a KV head are the batch of its group; the experts touched by the tokens are groups.

    Attributes
    ----------
    row
        Row of the operator table.
    place
        Position among the nests of the network.
    kind
        Class of the operator: ``gemm``, ``conv``, ``grouped``, ``depthwise``, ``attention``,
        ``moe``, ``recurrent``.
    name
        Name of the operator.
    slots
        Slots, which determine the bits, of input, weight (the second factor) and output.
    access
        Positions of input, weight and output in the table's accesses, of shape ``(nests, 3)``; -1
        for a tensor that is internal to the kernel (attention scores).
    stride, dilation
        Strides and dilations of rows and columns, of shape ``(nests, 2)``.
    causal
        Whether a query attends only to keys up to its own (attention without a window).
    groups, batch, out_channels, in_channels, out_rows, out_columns, kernel_rows, kernel_columns
        Extents; channels are per group.
    in_rows, in_columns
        Extents of the input without padding.
    times
        Executions of the nest per execution of its row (the steps of a recurrent cell).
    """

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

    def at(self, places: Index) -> Nests:
        """Return the nests at some positions."""
        columns: dict[str, Any] = {}
        for field in fields(self):
            column: Any = getattr(self, field.name)
            is_tuple = isinstance(column, tuple)
            columns[field.name] = tuple(column[i] for i in places) if is_tuple else column[places]
        return Nests(**columns)

    @property
    def taps(self) -> Value:
        """Number of positions in a window."""
        return self.kernel_rows * self.kernel_columns

    @property
    def positions(self) -> Value:
        """Outputs per channel: M of the equivalent matrix product."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def summed(self) -> Value:
        """Products per output: K of the equivalent matrix product."""
        return self.in_channels * self.kernel_rows * self.kernel_columns

    @property
    def inputs(self) -> Value:
        """Input elements per group, without padding."""
        return self.batch * self.in_channels * self.in_rows * self.in_columns

    @property
    def window_steps(self) -> tuple[Value, Value, Value, Value]:
        """Strides of rows and columns, dilations of rows and columns; ``(nests, 1)`` each."""
        stride, dilation = self.stride.astype(float), self.dilation.astype(float)
        return stride[:, :1], stride[:, 1:], dilation[:, :1], dilation[:, 1:]

    @property
    def macs(self) -> Value:
        """Multiply-accumulates of each nest per execution of its row."""
        return self.times * self.groups * self.positions * self.out_channels * self.summed


#: Numbers of a nest, in the order of `Nests`.
COLUMNS = tuple(field.name for field in fields(Nests)[len(fields(NestKeys)) :])


class _NestShape(NamedTuple):
    """A nest in the form of a grouped convolution."""

    operands: tuple[Operand, Operand, Operand]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    numbers: Mapping[str, Dim]


class _Tap(NamedTuple):
    """An input axis along which a window slides: ``step * position + dilation * tap``."""

    position: str
    step: int
    tap: str
    dilation: int
    limit: Dim | None


def nest_columns(
    kernels: Sequence[FusedKernel],
    kinds: Sequence[str],
    slot: Callable[[str], str],
    access: Callable[[int, str, str], int],
) -> tuple[NestKeys, dict[str, list[Dim]]]:
    """Return the fixed parts of all nests, and the columns of their numbers for a program.

    Parameters
    ----------
    slot
        Tensor name -> slot (``activation`` for a tensor that is not in the graph).
    access
        Function of row, tensor name and mode to a position in the accesses, or -1.
    """
    nests = [
        (row, operator, _nest_shape(nest, operator, slot))
        for row, kernel in enumerate(kernels)
        for operator in kernel.operators
        for nest in operator.nests
    ]
    shapes = [shape for *_, shape in nests]
    shared = [_touched_experts(operator, shape) for _, operator, shape in nests]
    columns: dict[str, list[Dim]] = {
        f"nest {name}": [shape.numbers[name] for shape in shapes] for name in COLUMNS
    }
    groups = zip(columns["nest groups"], shared, strict=True)
    columns |= {"nest shared": shared, "nest groups": [product(*pair) for pair in groups]}
    positions = [_access_positions(row, kernels[row], shape, access) for row, _, shape in nests]
    keys = NestKeys(
        np.array([row for row, *_ in nests], dtype=np.intp),
        np.arange(len(nests), dtype=np.intp),
        tuple(kinds[row] for row, *_ in nests),
        tuple(operator.name for _, operator, _ in nests),
        tuple(
            (slot(x.tensor), slot(w.tensor), slot(y.tensor))
            for x, w, y in (shape.operands for shape in shapes)
        ),
        np.array(positions, dtype=np.intp).reshape(-1, 3),
        np.array([shape.stride for shape in shapes], dtype=np.intp).reshape(-1, 2),
        np.array([shape.dilation for shape in shapes], dtype=np.intp).reshape(-1, 2),
        tuple(_is_causal(operator) for _, operator, _ in nests),
    )
    return keys, columns


def _is_causal(operator: Operator) -> bool:
    return bool(operator.attribute("causal")) and not operator.attribute("window")


def _access_positions(
    row: int,
    kernel: FusedKernel,
    shape: _NestShape,
    access: Callable[[int, str, str], int],
) -> tuple[int, int, int]:
    """Return the positions of input, second factor and output in the accesses, or -1."""
    x, w, y = (operand.tensor for operand in shape.operands)
    written_at = access(row, y, "write")
    written = {name for operator in kernel.operators for name in operator.writes}
    read = {name for operator in kernel.operators for name in operator.reads}
    if written_at < 0 and y not in read - written:
        written_at = _access_after_fusion(row, kernel, y, access)
    return access(row, x, "read"), access(row, w, "read"), written_at


def _access_after_fusion(
    row: int, kernel: FusedKernel, name: str, access: Callable[[int, str, str], int]
) -> int:
    """Return the access to which fused operators write a nest's output, or -1."""
    derived = {name}
    for operator in kernel.operators:
        if not derived.isdisjoint(operator.reads):
            derived.update(operator.writes)
    positions = (access(row, output, "write") for output in kernel.writes if output in derived)
    return next((position for position in positions if position >= 0), -1)


def _touched_experts(operator: Operator, shape: _NestShape) -> Dim:
    """Return how many experts an operator reads; 1 if it has none."""
    experts, per_token = operator.attribute("experts"), operator.attribute("per_token")
    if operator.kind != "moe" or experts is None:
        return 1
    return distinct_experts(experts, per_token, shape.numbers["out_rows"] / per_token)


def _dimensions_of(operand: Operand) -> set[str]:
    return {dim for axis in operand.axes for dim, _ in axis}


def _taps(x: Operand, in_y: set[str]) -> Iterator[_Tap]:
    """Yield the input axes that are indexed by two dimensions."""
    for axis, limit in zip_longest(x.axes, x.limits):
        if len(axis) == 2:
            (a, step_a), (b, step_b) = axis
            if b in in_y and a not in in_y:  # a weight gradient slides over taps
                a, step_a, b, step_b = b, step_b, a, step_a
            yield _Tap(a, step_a, b, step_b, limit)


def _nest_shape(nest: LoopNest, operator: Operator, slot: Callable[[str], str]) -> _NestShape:
    """Return a nest in the form of a grouped convolution."""
    (x, w), y = nest.factors, nest.output
    in_y = _dimensions_of(y)
    taps = list(_taps(x, in_y))
    # With three spatial dimensions, the taps of the first are summed over like channels.
    summed_taps, window = taps[:-2], taps[-2:]
    sizes = dict(nest.dims)
    tap_dims = {tap.position for tap in window} | {tap.tap for tap in taps}
    extents = _extents_by_role(nest, operator, slot, tap_dims)
    group, position, sharing, out, summed, times = (
        product(*sizes_of) for sizes_of in extents.values()
    )
    numbers: dict[str, Dim] = dict.fromkeys(COLUMNS, 1) | {
        "groups": group,
        "out_channels": out,
        "in_channels": product(*(sizes[tap.tap] for tap in summed_taps), summed),
        "times": times,
    }
    for tap, role in zip(window, ("rows", "columns"), strict=False):
        reach = nest.extent(((tap.position, tap.step), (tap.tap, tap.dilation)))
        numbers[f"out_{role}"], numbers[f"kernel_{role}"] = sizes[tap.position], sizes[tap.tap]
        numbers[f"in_{role}"] = reach if tap.limit is None else tap.limit
    if window:
        numbers["batch"] = product(position, sharing)
    else:
        numbers |= {"batch": sharing, "out_rows": position, "in_rows": position}
    ones = (1,) * (2 - len(window))
    stride = (*(tap.step for tap in window), *ones)
    return _NestShape((x, w, y), stride, (*(tap.dilation for tap in window), *ones), numbers)


def _extents_by_role(
    nest: LoopNest, operator: Operator, slot: Callable[[str], str], excluded: set[str]
) -> dict[str, list[Dim]]:
    """Return the extents of the dimensions not yet `excluded`, by the operands that they index."""
    (x, w), y = nest.factors, nest.output
    in_x, in_w, in_y = _dimensions_of(x), _dimensions_of(w), _dimensions_of(y)
    # Steps of a cell are sequential; the product with the input covers all steps at once.
    stateful = len(operator.nests) == 1 or any(slot(o.tensor) == "state" for o in (x, w, y))
    is_sequential = operator.kind == "recurrent" and stateful
    extents: dict[str, list[Dim]] = {
        role: [] for role in ("group", "position", "sharing", "output", "summed", "times")
    }
    for dim, size in nest.dims:
        if dim in excluded:
            continue
        if is_sequential and dim == "t":
            role = "times"
        elif dim not in in_y:
            role = "summed"
        elif dim not in in_x:
            role = "output"
        elif dim in in_w:
            role = "group"
        else:
            role = "sharing" if operator.kind == "attention" and dim == "h" else "position"
        extents[role].append(size)
    return extents
