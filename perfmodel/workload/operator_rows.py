"""Rows of an operator table: names and categories of a graph's kernels, without numbers.

Everything here is known from the structure of the graph, so cost models can select rows and
formulas by it once for all points of a sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Operator
from perfmodel.workload.symbols import free_parameters


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """Names and categories of a row; its numbers are in the columns of the table.

    `algorithm` is a runtime's algorithm for a convolution, empty for the direct one.
    """

    name: str
    kind: str
    block: str
    phase: str
    pair: tuple[str, str]
    operators: tuple[str, ...]
    algorithm: str = ""
    functions: tuple[str, ...] = ()
    """Functions of its elementwise operators and normalisations (relu, add, gelu)."""
    #: Streaming kernel of the row, or empty.
    loop: str = ""
    axes: int = 0
    """Spatial axes of a convolution; 0 for other operators."""
    products: bool = False
    """Whether it performs multiply-accumulates, whatever its class."""
    batched: bool = True
    """Whether its work grows with the batch (not for texts with which images are compared)."""
    batched_operations: bool = True
    """Whether its operations do; those on a constant that it adds to every image do not."""

    @property
    def function(self) -> str:
        """First function of an elementwise row (relu, gelu_tanh, add ...)."""
        return self.functions[0] if self.functions else ""


def row_of(kernel: FusedKernel, slot_name: Callable[[str], str]) -> OperatorRow:
    """Return the row of a kernel.

    Parameters
    ----------
    slot_name
        Slot -> name in the table, with or without tags.
    """
    head = kernel.head
    stream = head.kind == "stream"
    batched_operations = "batch" in free_parameters(kernel.macs, kernel.vector_ops)
    elements = (*kernel.reads.values(), *kernel.writes.values())
    return OperatorRow(
        head.name,
        head.kernel_class,
        kernel.block.name,
        kernel.block.phase,
        (slot_name(head.pair[0]), slot_name(head.pair[1])),
        tuple(op.name for op in kernel.operators),
        head.algorithm,
        _functions(kernel),
        head.attribute("kernel", "") if stream else "",
        0 if stream else len(head.attribute("kernel", ())),
        kernel.macs != 0,
        batched_operations or "batch" in free_parameters(*elements),
        batched_operations,
    )


def scores_format(operator: Operator) -> str:
    """Return the fallback format of an attention's softmax; empty if there is none."""
    return str(operator.attribute("scores_format", ""))


def _functions(kernel: FusedKernel) -> tuple[str, ...]:
    return tuple(op.function for op in kernel.operators if op.function)
