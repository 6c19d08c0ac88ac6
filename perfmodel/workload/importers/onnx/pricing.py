"""Collection of a graph's tensors and operators while pricing the nodes of a network file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from perfmodel.errors import printable
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.layer_forms import LayerBuilder
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.symbols import Dim, constant, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS

Pricing = Callable[["Pricer", OnnxNode], None]

#: Operations per element: a number, an entry of `VECTOR_OPS`, or a list of these to be summed.
Operations: TypeAlias = float | str | Sequence[float | str]

#: Domains of the standard operators.
STANDARD = frozenset({"", "ai.onnx"})

#: Axis order that moves the channels of an image from last to second.
CHANNELS_SECOND = (0, 3, 1, 2)

#: Exceptions of rules on attributes and shapes that the standard does not allow.
MALFORMED = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError)


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
            shape = edge.known
            if self.channels_last and edge.is_data and len(shape) == 4:
                shape = tuple(shape[axis] for axis in CHANNELS_SECOND)
            tensor = Tensor(self._name(edge.name), shape, *_role(edge), edge.format)
            edge.tensor = self.builder.tensors[tensor.name] = tensor
        return edge.tensor

    def _name(self, name: str) -> str:
        name = printable(name)
        taken = self.builder.tensors
        if name not in taken:
            return name
        n = self._copies.get(name, 2)
        while f"{name}_{n}" in taken:
            n += 1
        self._copies[name] = n + 1
        return f"{name}_{n}"

    def scratch(
        self, name: str, shape: Sequence[Dim], *, role: str = "activation", format: str = ""
    ) -> Tensor:
        """Declare a tensor that the file does not contain (a state, scores)."""
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
        """Return the tensors that cause traffic, without absent inputs and single constants."""
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
        reads: Sequence[Tensor | tuple[Tensor, Dim]],
        writes: Sequence[Tensor | tuple[Tensor, Dim]] | None = None,
        *,
        ops: Dim = 0,
        nests: Sequence[LoopNest] = (),
        pair: tuple[str, str] | None = None,
        inplace: OnnxValue | None = None,
        function: str = "",
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Add the operator of a node; without `writes` it writes all outputs of the node."""
        if writes is None:
            writes = [self.tensor(e) for e in node.written]
        ops = simplify(ops + converted(node))
        taken = None
        if inplace is not None and inplace.is_data and inplace.shape == node.out.shape:
            taken = self.tensor(inplace)
        self.builder.operator(
            node.name or node.op,
            kind,
            reads,
            writes,
            nests=nests,
            vector_ops=ops,
            pair=pair,
            inplace=taken,
            attributes={
                "op": node.op,
                **({"function": function} if function else {}),
                **(attributes or {}),
            },
        )


def operations(count: Operations) -> float:
    """Return the operations per element that a specification amounts to."""
    if isinstance(count, list | tuple):
        return sum(map(operations, count))
    return VECTOR_OPS[count] if isinstance(count, str) else cast("float", count)


def counted(
    p: Pricer,
    n: OnnxNode,
    *,
    kind: str,
    each: Operations = 0,
    of: Literal["input", "output"] = "input",
    reads: Literal["all", "first", "nothing"] = "first",
    inplace: bool = False,
    function: str = "",
) -> None:
    """Price an operator with a fixed number of operations per element.

    Parameters
    ----------
    kind
        Kind of the operator in the graph.
    each, of
        Operations per element, and whether elements are those of the first input or the output;
        see `operations`.
    reads
        Inputs that are read.
    inplace
        Whether the output may overwrite the first input.
    function
        Name of its function in the graph.
    """
    x = n.out if reads == "nothing" else n.need(0)
    others = n.present if reads == "all" else ()
    tensors = [p.tensor(x)] if reads == "first" else p.reads(*others)
    elements = (x if of == "input" else n.out).elements
    work = product(operations(each), elements) if each else 0
    p.add(n, kind, tensors, ops=work, inplace=x if inplace else None, function=function)


def converted(node: OnnxNode) -> Dim:
    """Return the operations of conversions that were folded into an operator."""
    if not node.attributes.get("integer"):
        return 0
    per_output: float = len(node.attributes.get("fused", ()))
    if node.attributes.get("requantised", True):
        to_integers = node.out.format.startswith(("int", "uint"))
        per_output += VECTOR_OPS["quantise" if to_integers else "dequantise"]
    return product(per_output, node.out.elements)


def _role(edge: OnnxValue) -> tuple[str, str]:
    if edge.kind == "constant":
        return "activation", "constant"
    return ("weight", edge.tag) if edge.kind == "weight" else ("activation", "")
