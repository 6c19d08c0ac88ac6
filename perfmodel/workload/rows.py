"""Rows of an operator table: names and categories of a graph's kernels, without numbers."""

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
    attributes = dict(head.attributes)
    stream = head.kind == "stream"
    return OperatorRow(
        head.name,
        _class(head),
        kernel.block.name,
        kernel.block.phase,
        (slot_name(head.pair[0]), slot_name(head.pair[1])),
        tuple(op.name for op in kernel.operators),
        algorithm_of(head),
        _functions(kernel),
        attributes.get("kernel", "") if stream else "",
        0 if stream else len(attributes.get("kernel", ())),
        kernel.macs != 0,
        _batched(kernel),
    )


def _class(head: Operator) -> str:
    """Return the class of a kernel: its head's kind, or ``grouped`` for a grouped convolution."""
    if head.kind == "conv" and dict(head.attributes).get("groups", 1) != 1:
        return "grouped"
    return head.kind


def algorithm_of(head: Operator) -> str:
    """Return a runtime's algorithm for a convolution; empty for the direct one."""
    return str(dict(head.attributes).get("algorithm", ""))


def scores_format(operator: Operator) -> str:
    """Return the fallback format of an attention's softmax; empty if there is none."""
    return str(dict(operator.attributes).get("scores_format", ""))


def _batched(kernel: FusedKernel) -> bool:
    elements = (*kernel.reads.values(), *kernel.writes.values())
    return "batch" in free_parameters(kernel.macs, kernel.vector_ops, *elements)


def _functions(kernel: FusedKernel) -> tuple[str, ...]:
    functions = (dict(op.attributes).get("function", "") for op in kernel.operators)
    return tuple(str(function) for function in functions if function)
