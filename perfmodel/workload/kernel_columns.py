"""Work and data movement of each kernel, as columns of polynomials over free dimensions.

`perfmodel.workload.lower` compiles these columns to a program that is evaluated for any batch,
context or resolution. Units and shapes are those of `OperatorTable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from perfmodel.workload.convolution_algorithms import (
    column_elements,
    executed_macs,
    launches,
    transform_ops,
)
from perfmodel.workload.convolution_panels import is_narrow, padded_macs, panel_extents, uses_panels
from perfmodel.workload.format_slots import SlotNames
from perfmodel.workload.fuse import FusedKernel, FusionRules
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.operator_rows import scores_format
from perfmodel.workload.symbols import Dim
from perfmodel.workload.vector_functions import VECTOR_OPS

#: Kernels of an attention that writes its scores: product of queries and keys, softmax, and product
#: of probabilities and values.
_ATTENTION_LAUNCHES: Final = 3
#: Conversions around a softmax that runs in a wider format: of its input and of its output.
_CONVERSION_LAUNCHES: Final = 2


class KernelColumns:
    """Columns of an operator table with one entry per kernel; see `OperatorTable` for units."""

    def __init__(
        self, graph: Graph, kernels: Sequence[FusedKernel], fusion: FusionRules, slots: SlotNames
    ) -> None:
        self.graph, self.kernels, self.fusion, self.slots = graph, kernels, fusion, slots

    def counts(self) -> dict[str, list[Dim]]:
        """Return the columns of work: executions, operations, launches and shares of layers."""
        kernels = self.kernels
        columns: dict[str, list[Dim]] = {
            "count": [k.block.count for k in kernels],
            "macs": [k.macs for k in kernels],
            "masked_macs": [sum((o.masked_macs for o in k.operators), 0) for k in kernels],
            "vector_ops": [k.vector_ops + self._algorithm_ops(k) for k in kernels],
            "scores": [sum((o.scores for o in k.operators), 0) for k in kernels],
            "kernels": [self._launches(k) for k in kernels],
            "layers": self._layer_shares(),
        }
        if any(uses_panels(k.head, self.fusion.panels) or k.head.algorithm for k in kernels):
            columns["executed_macs"] = [
                k.macs - k.head.macs + self._executed_macs(k.head) for k in kernels
            ]
        return columns

    def extents(self) -> dict[str, list[Dim]]:
        """Return the extents stated by operators (streams, tree walks), and those of panels."""
        extents: list[dict[str, Dim]] = [
            panel_extents(k.head, self.fusion.panels)
            if uses_panels(k.head, self.fusion.panels)
            else dict(k.head.attribute("extents", ()))
            for k in self.kernels
        ]
        for each, kernel in zip(extents, self.kernels, strict=True):
            if is_narrow(kernel.head, self.fusion.narrow):
                each["narrow"] = 1
        names = sorted({name for each in extents for name in each})
        return {name: [each.get(name, 0) for each in extents] for name in names}

    def transfers(self) -> dict[str, dict[int, Dim]]:
        """Return slot -> row -> elements that the row reads and writes."""
        transfers: dict[str, dict[int, Dim]] = {}
        for i, kernel in enumerate(self.kernels):
            accesses = [
                (self.slots.with_role(self.graph.tensors[name]), elements)
                for side in (kernel.reads, kernel.writes)
                for name, elements in side.items()
            ]
            for slot, elements in accesses + self.internal_traffic[i]:
                by_row = transfers.setdefault(slot, {})
                by_row[i] = by_row.get(i, 0) + elements
        return transfers

    @cached_property
    def internal_traffic(self) -> list[list[tuple[str, Dim]]]:
        """Slot and elements of data that each kernel writes and reads back.

        Without flash attention, n scores are transferred four times (4 n elements): written, read
        and written by the softmax, and read again; with a fallback to a wider format, its elements
        and the conversions transfer another 4 n in that format. Columns of a convolution are
        written and read once.
        """
        return [self._internal_traffic(kernel) for kernel in self.kernels]

    def _internal_traffic(self, kernel: FusedKernel) -> list[tuple[str, Dim]]:
        traffic: list[tuple[str, Dim]] = []
        for operator in kernel.operators if not self.fusion.flash_attention else ():
            if operator.scores != 0:
                scores = 4 * operator.scores
                traffic.append((self.slots.of_name(operator.scores_tensor), scores))
                if wide := scores_format(operator):
                    traffic.append((f"={wide}", scores))
        columns = column_elements(kernel.head, kernel.head.algorithm)
        if columns != 0:
            source = kernel.head.nests[0].operands[0].tensor
            traffic.append((self.slots.of_name(source), 2 * columns))
        return traffic

    def _executed_macs(self, head: Operator) -> Dim:
        if uses_panels(head, self.fusion.panels):
            return padded_macs(head, self.fusion.panels)
        return executed_macs(head, head.algorithm)

    def _launches(self, kernel: FusedKernel) -> Dim:
        if kernel.head.kind == "attention" and not self.fusion.flash_attention:
            conversions = _CONVERSION_LAUNCHES if scores_format(kernel.head) else 0
            return _ATTENTION_LAUNCHES + conversions
        return launches(kernel.head, kernel.head.algorithm)

    def _algorithm_ops(self, kernel: FusedKernel) -> Dim:
        """Return vector operations of the kernel's algorithm and of its internal conversions."""
        total = transform_ops(kernel.head, kernel.head.algorithm)
        for operator in kernel.operators if not self.fusion.flash_attention else ():
            if operator.scores != 0 and scores_format(operator):
                per_score = VECTOR_OPS["dequantise"] + VECTOR_OPS["quantise"]
                total = total + per_score * operator.scores
        return total

    def _layer_shares(self) -> list[Dim]:
        """Return each kernel's share of a layer's cost: one over the kernels of its block."""
        sizes = Counter(id(kernel.block) for kernel in self.kernels)
        return [
            1.0 / sizes[id(kernel.block)] if kernel.block.layer else 0 for kernel in self.kernels
        ]
