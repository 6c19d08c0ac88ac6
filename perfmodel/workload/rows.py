"""Rows of an operator table: what each kernel of a graph is, whatever its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Operator
from perfmodel.workload.symbols import free_parameters


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """What a row of the table is: names and categories; its numbers are in the columns.

    `algorithm` is a runtime's choice for a convolution, empty for the direct one.
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
    #: Which loop of its kind it is (a streaming kernel), or empty.
    loop: str = ""
    axes: int = 0
    """Axes of space that a convolution slides along; 0 where there is none."""
    products: bool = False
    """Whether it multiplies and accumulates, whatever its class."""
    batched: bool = True
    """Whether what it does grows with the batch: not so the texts that images are compared with."""

    @property
    def function(self) -> str:
        """What an elementwise row computes first (relu, gelu_tanh, add ...)."""
        return self.functions[0] if self.functions else ""


def row_of(kernel: FusedKernel, slot_name: Callable[[str], str]) -> OperatorRow:
    """Return the row of a kernel.

    Parameters
    ----------
    slot_name
        Slot -> its name in the table, with or without tags.
    """
    head = kernel.head
    said = dict(head.attributes)
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
        said.get("kernel", "") if stream else "",
        0 if stream else len(said.get("kernel", ())),
        kernel.macs != 0,
        _batched(kernel),
    )


def _class(head: Operator) -> str:
    """Return the class of a kernel: its head's kind, ``grouped`` for a convolution in groups."""
    if head.kind == "conv" and dict(head.attributes).get("groups", 1) != 1:
        return "grouped"
    return head.kind


def algorithm_of(head: Operator) -> str:
    """Return a runtime's choice for a convolution; empty for the direct one."""
    return str(dict(head.attributes).get("algorithm", ""))


def scores_format(operator: Operator) -> str:
    """Return the format that the softmax of an attention falls back on; empty for none."""
    return str(dict(operator.attributes).get("scores_format", ""))


def _batched(kernel: FusedKernel) -> bool:
    moved = (*kernel.reads.values(), *kernel.writes.values())
    return "batch" in free_parameters(kernel.macs, kernel.vector_ops, *moved)


def _functions(kernel: FusedKernel) -> tuple[str, ...]:
    said = (dict(op.attributes).get("function", "") for op in kernel.operators)
    return tuple(str(function) for function in said if function)
