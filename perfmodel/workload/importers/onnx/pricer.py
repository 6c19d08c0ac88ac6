"""Pricing of nodes: tensors and operators of a graph are declared while nodes are visited.

`Pricer` is what every ``price_*`` function receives: it declares the tensor of a value on first use
and adds an operator with its reads, writes, loop nests and vector operations. `price_per_element`
prices the many operators that cost a fixed number of operations per element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from perfmodel.errors import printable
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.layer_declarations import LayerBuilder
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS

Pricing = Callable[["Pricer", OnnxNode], None]

#: Operations per element: a number, an entry of `VECTOR_OPS`, or a list of these to be summed.
Operations: TypeAlias = float | str | Sequence[float | str]

#: A value or tensor that is accessed as a whole, or a tensor with the elements accessed in it.
Accessed: TypeAlias = OnnxValue | Tensor | tuple[Tensor, Dim]

#: Domains of the standard operators.
STANDARD = frozenset({"", "ai.onnx"})

#: Axis order that moves the channels of an image from last to second.
CHANNELS_SECOND = (0, 3, 1, 2)

#: Exceptions of rules on attributes and shapes that the standard does not allow.
MALFORMED_NODE_ERRORS = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    ZeroDivisionError,
    OverflowError,
)


@dataclass
class Pricer:
    """Builder of tensors and operators for nodes of known shape.

    Attributes
    ----------
    builder
        Builder of the graph.
    notes
        Notes for the user about the result.
    channels_last
        Whether images of the file have their channels last; in the graph they are second.
    """

    builder: LayerBuilder
    notes: list[str] = field(default_factory=list[str])
    channels_last: bool = False
    _copies: dict[str, int] = field(default_factory=dict[str, int])

    def tensor(self, edge: OnnxValue) -> Tensor:
        """Return the tensor of a value, declaring it on first use."""
        if edge.tensor is None:
            shape = edge.extents
            if self.channels_last and edge.is_data and len(shape) == 4:
                shape = tuple(shape[axis] for axis in CHANNELS_SECOND)
            tensor = Tensor(self._name(edge.name), shape, *_role_and_tag(edge), edge.format)
            edge.tensor = self.builder.tensors[tensor.name] = tensor
        return edge.tensor

    def _name(self, name: str) -> str:
        """Return an unused name of a tensor: the value's, with a suffix if it is taken."""
        name = printable(name)
        declared_names = self.builder.tensors
        if name not in declared_names:
            return name
        n = self._copies.get(name, 2)
        while f"{name}_{n}" in declared_names:
            n += 1
        self._copies[name] = n + 1
        return f"{name}_{n}"

    def scratch(
        self, name: str, shape: Sequence[Dim], *, role: str = "activation", format: str = ""
    ) -> Tensor:
        """Declare a tensor that the file does not contain, such as a state or scores."""
        tensor = Tensor(self._name(name), tuple(shape), role, "", format)
        self.builder.tensors[tensor.name] = tensor
        return tensor

    def weight(self, edge: OnnxValue) -> Tensor:
        """Return the tensor of an operand that holds parameters unless it is computed."""
        if edge.kind == "constant" and edge.tensor is None:
            edge.kind = "weight"
        return self.tensor(edge)

    def vector(self, edge: OnnxValue | None) -> list[Tensor]:
        """Return a bias or scale as a list of at most one tensor, tagged ``vector`` if stored."""
        if edge is None:
            return []
        if not edge.is_data and edge.tensor is None:
            edge.kind = "weight"
            edge.tag = edge.tag or "vector"
        return [self.tensor(edge)]

    def reads(self, *edges: OnnxValue | None) -> list[Tensor]:
        """Return the tensors that cause traffic: without absent inputs and single constants."""
        return [
            self.tensor(e)
            for e in edges
            if e is not None and (e.is_data or constant(e.elements) not in {0, 1})
        ]

    # Operators.

    def add(
        self,
        node: OnnxNode,
        kind: str,
        reads: Sequence[Accessed],
        writes: Sequence[Accessed] | None = None,
        *,
        ops: Dim = 0,
        nests: Sequence[LoopNest] = (),
        pair: tuple[str, str] | None = None,
        inplace: OnnxValue | None = None,
        function: str = "",
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Add the operator of a node; without `writes` it writes all outputs of the node.

        Parameters
        ----------
        kind
            Kind of the operator in the graph: ``gemm``, ``conv``, ``elementwise``, ``copy`` ...
        reads, writes
            Values or tensors, or pairs of a tensor and the elements accessed in it.
        ops
            Vector operations of the whole operator.
        nests
            Loop nests with its multiply-accumulates.
        pair
            Storage slots of both factors of its products: weights, then activations.
        inplace
            Input that the output may overwrite if their shapes agree.
        """
        written = node.present_outputs if writes is None else writes
        read_tensors, written_tensors = (
            [self.tensor(each) if isinstance(each, OnnxValue) else each for each in accessed]
            for accessed in (reads, written)
        )
        ops = simplify(ops + conversion_operations(node))
        overwritten = None
        if inplace is not None and inplace.is_data and inplace.shape == node.first_output.shape:
            overwritten = self.tensor(inplace)
        self.builder.operator(
            node.name or node.op,
            kind,
            read_tensors,
            written_tensors,
            nests=nests,
            vector_ops=ops,
            pair=pair,
            inplace=overwritten,
            attributes={
                "op": node.op,
                **({"function": function} if function else {}),
                **(attributes or {}),
            },
        )


def operations_per_element(count: Operations) -> float:
    """Return the operations per element that a specification amounts to."""
    if isinstance(count, list | tuple):
        return sum(map(operations_per_element, count))
    return VECTOR_OPS[count] if isinstance(count, str) else cast("float", count)


def price_per_element(
    pricer: Pricer,
    node: OnnxNode,
    *,
    kind: str,
    each: Operations = 0,
    of: Literal["input", "output"] = "input",
    reads: Literal["all", "first", "nothing"] = "first",
    inplace: bool = False,
    function: str = "",
) -> None:
    """Price an operator with a fixed number c of operations per element: ``c E`` for E elements.

    Parameters
    ----------
    kind
        Kind of the operator in the graph.
    each, of
        Operations c per element, and whether elements are those of the first input or the output;
        see `operations_per_element`.
    reads
        Inputs that are read.
    inplace
        Whether the output may overwrite the first input.
    function
        Name of its function in the graph.
    """
    x = node.first_output if reads == "nothing" else node.require(0)
    others = node.present_inputs if reads == "all" else ()
    tensors = [pricer.tensor(x)] if reads == "first" else pricer.reads(*others)
    elements = (x if of == "input" else node.first_output).elements
    work = product(operations_per_element(each), elements) if each else 0
    pricer.add(node, kind, tensors, ops=work, inplace=x if inplace else None, function=function)


def conversion_operations(node: OnnxNode) -> Dim:
    """Return the operations of the conversions that were folded into an operator.

    Per output element: one for each folded node, and a requantisation or dequantisation.
    """
    if not node.attributes.get("integer"):
        return 0
    per_output: float = len(node.attributes.get("fused", ()))
    if node.attributes.get("requantised", True):
        to_integers = node.first_output.format.startswith(("int", "uint"))
        per_output += VECTOR_OPS["quantise" if to_integers else "dequantise"]
    return product(per_output, node.first_output.elements)


def _role_and_tag(edge: OnnxValue) -> tuple[str, str]:
    """Return the role and the tag of a value's tensor in the graph."""
    if edge.kind == "constant":
        return "activation", "constant"
    return ("weight", edge.tag) if edge.kind == "weight" else ("activation", "")
