"""What the rows of a table depend on besides the network: everything of a device but its numbers.

Devices whose kind, runtime and precision agree in this share the graphs, kernels and columns of
their tables. They are compiled once, by equality of `TableStructure`; a further device only costs
the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value
from perfmodel.formats import Precision, fixed_format
from perfmodel.prediction import stages
from perfmodel.search.oracle.kernel_pricing import NotTabledError
from perfmodel.workload.execution_policy import (
    ExecutionPolicy,
    apply_execution_policy,
    supported_formats,
)
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.layout_conversions import (
    PLAIN,
    BlockedChannelLayout,
    TensorLayout,
    part_from_layouts,
    with_conversions,
)
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.symbols import Dim, evaluate

if TYPE_CHECKING:
    from perfmodel.prediction.engine_model import EngineModel


@dataclass(frozen=True, slots=True)
class TableStructure:
    """Rules by which a runtime turns parts of a network into rows, equal for many devices.

    Attributes
    ----------
    fusion, execution
        Rules of the runtime; no changes by the runtime for the bare roofline.
    bare
        Whether the model is the bare roofline, which reads no individual accesses.
    has_nests
        Whether the kind reads loop nests.
    """

    fusion: FusionRules
    execution: ExecutionPolicy
    precision: Precision
    bare: bool
    has_nests: bool

    @classmethod
    def of(cls, model: EngineModel, precision: Precision) -> TableStructure:
        """Return the structure of tables under a model and a precision."""
        execution = None if model.bare else model.execution
        return cls(
            model.fusion,
            ExecutionPolicy() if execution is None else execution,
            precision,
            model.bare,
            model.kind.needs_nests,
        )

    @property
    def layout(self) -> BlockedChannelLayout | None:
        """Block layout that the runtime uses for images; None if it has none."""
        layout = self.execution.layout
        return layout if layout.block else None

    def executed(self, graph: Graph) -> Graph:
        """Return a whole network as the runtime executes it."""
        return apply_execution_policy(graph, self.execution, self.precision.activations.compute)

    def executed_part(self, graph: Graph) -> Graph:
        """Return a part of a network with the algorithms that the runtime takes.

        Raises
        ------
        NotTabledError
            The runtime converts formats, which depends on all readers of a tensor.
        """
        graph = self.with_algorithms(graph)
        if self._with_fallbacks(graph) is not graph:
            raise NotTabledError("conversions of formats are kernels of their own here")
        return graph

    def with_algorithms(self, graph: Graph) -> Graph:
        """Return a graph with the algorithms that the runtime takes, without conversions."""
        local = self.execution._replace(layout=PLAIN, views=False, executes=())
        return apply_execution_policy(graph, local, self.precision.activations.compute)

    def converted_part(
        self, graph: Graph, entering: Mapping[str, TensorLayout], boundary: Container[str]
    ) -> tuple[Graph, Mapping[str, TensorLayout]]:
        """Return a part of a network with all conversions, and the layouts of tensors after it.

        Parameters
        ----------
        entering, boundary
            As those of `perfmodel.workload.layout_conversions.part_from_layouts`.
        """
        graph = self._with_fallbacks(graph)
        if self.layout is None:
            return graph, {}
        return part_from_layouts(graph, self.layout, entering, boundary)

    def falls_back(self, formats: Iterable[str]) -> Callable[[Operator], bool]:
        """Return a function that says whether an operator runs in another format in some case.

        Parameters
        ----------
        formats
            Formats that activations may have besides the precision's.
        """
        executes = dict(self.execution.executes)
        computes = {
            self.precision.activations.compute,
            *(fixed_format(text)[0].compute for text in formats),
        }

        def converts(operator: Operator) -> bool:
            supported = supported_formats(operator, executes)
            if operator.kind == "attention":  # Its softmax has a format of its own.
                supported = supported or executes.get("softmax", ())
            return bool(supported) and not computes.issubset(supported)

        return converts

    def converts_layouts(self, graph: Graph) -> bool:
        """Return whether a network needs conversions of layouts."""
        return self.layout is not None and with_conversions(graph, self.layout) is not graph

    def blocks_channels(self, graph: Graph) -> bool:
        """Return whether some operator of a network reads or writes channels in blocks."""
        kinds = {operator.kind for _, operator in graph.walk()}
        return self.layout is not None and not kinds.isdisjoint({"conv", "depthwise", "pool"})

    def _with_fallbacks(self, graph: Graph) -> Graph:
        """Return a graph with the conversions around operators that fall back."""
        fallbacks = ExecutionPolicy(executes=self.execution.executes)
        return apply_execution_policy(graph, fallbacks, self.precision.activations.compute)

    def lowered(self, graph: Graph) -> Lowered:
        """Lower a graph with the runtime's fusion."""
        return stages.lower(graph, self.fusion, self.precision)

    def bound(
        self, graph: Graph, values: Mapping[str, Value], points: int, *, accesses: bool = False
    ) -> OperatorTable:
        """Return the operator table of a graph with bound dimensions.

        Parameters
        ----------
        accesses
            Whether to list individual accesses even for a bare roofline.
        """
        return self.lowered(graph).bind(
            values, points, accesses=accesses or not self.bare, nests=self.has_nests
        )

    def bits(self, tensor: Tensor) -> float:
        """Return the stored bits per element of a tensor."""
        slot = tensor.slot
        if not self.precision.weights.overrides and slot != "weight:vector":
            slot = slot if "=" in slot else slot.partition(":")[0]
        return float(self.precision.bits(slot))

    def stored(self, copies: Mapping[Tensor, Dim], values: Mapping[str, Value]) -> Value:
        """Return the stored bytes of tensors, each with its number of copies."""
        return sum(
            evaluate(times, values) * evaluate(tensor.elements, values) * (self.bits(tensor) / 8.0)
            for tensor, times in copies.items()
        )


def no_deadline() -> None:
    """Do nothing: there is no deadline."""


@dataclass(frozen=True, slots=True)
class TableKey:
    """Structure and values of free dimensions for which tables are compiled, a key of caches.

    Attributes
    ----------
    content
        The values as bytes, by which keys are compared.
    values
        Free dimension -> value, or array of shape ``(points,)``.
    check
        Function that raises when the time is over.
    """

    structure: TableStructure
    content: Hashable
    values: Mapping[str, Value] = field(compare=False)
    points: int
    check: Callable[[], None] = field(compare=False)

    @classmethod
    def of(
        cls,
        structure: TableStructure,
        values: Mapping[str, Value],
        points: int,
        check: Callable[[], None] = no_deadline,
    ) -> TableKey:
        """Return the key of tables under a structure, for values of free dimensions."""
        content = tuple((name, np.asarray(value).tobytes()) for name, value in values.items())
        return cls(structure, content, values, points, check)
