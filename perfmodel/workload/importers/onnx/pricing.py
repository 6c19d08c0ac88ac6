"""Turn the nodes of a network file into operators of a graph, one table entry per operator type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perfmodel.errors import nearest, printable
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue
from perfmodel.workload.layer_forms import LayerBuilder
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.symbols import Dim, Poly, constant, product, simplify

Pricing = Callable[["Pricer", OnnxNode], None]

#: Operators that make numbers of their own: never folded away.
RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)

#: Domains of the standard's own operators.
STANDARD = frozenset({"", "ai.onnx"})

#: Axes of an image with its channels last, in the order of a graph.
CHANNELS_SECOND = (0, 3, 1, 2)

#: What rules raise on attributes and shapes that the standard does not allow.
MALFORMED = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError)


@dataclass
class Pricer:
    """Collects operators for nodes whose shapes are known.

    Attributes
    ----------
    builder
        Where the operators go.
    notes
        What a reader of the result should know.
    channels_last
        Whether images of the file have their channels last; those of the graph have them second.
    """

    builder: LayerBuilder
    notes: list[str] = field(default_factory=list[str])
    channels_last: bool = False
    _copies: dict[str, int] = field(default_factory=dict[str, int])

    def price(self, node: OnnxNode) -> None:
        """Add the operators of one node; one that has no price is named in ``not_priced``."""
        from perfmodel.workload.importers.onnx.domains import domain_of

        try:
            if self._fold(node):
                return
            pricing = domain_of(node.domain).price(node.op)
            if pricing is None:
                raise NotPricedError(_unknown(node))
            if node.failure:
                raise NotPricedError(node.failure)
            pricing(self, node)
        except NotPricedError as reason:
            self._keep(node, str(reason))
        except MALFORMED as error:
            self._keep(node, f"it is malformed: {error}")

    def dispatch(self, node: OnnxNode, times: Dim = 1) -> None:
        """Add the operators of one node; count it where it runs and is no kernel."""
        kernels, unknown = self.builder.kernels, len(self.builder.not_priced)
        self.price(node)
        none = kernels == self.builder.kernels and unknown == len(self.builder.not_priced)
        if node.runs and none:
            self.builder.views += times

    def _keep(self, node: OnnxNode, reason: str) -> None:
        """Name an operator without a price; what it stores still counts as stored."""
        self.builder.not_priced.append(printable(f"{node.label}: {reason}"))
        stored = [e for e in node.present if e.kind == "weight" and e.shape is not None]
        if stored:
            self.builder.operator(
                node.name or node.op,
                "view",
                [(self.tensor(e), 0) for e in stored],
                [],
                attributes={"op": node.op, "not_priced": reason},
            )

    def _fold(self, node: OnnxNode) -> bool:
        """Fold what depends on weights and constants only, as every runtime does on loading."""
        if node.op in RANDOM or any(e.is_data for e in node.present) or not node.made:
            return False
        if node.present and all(e.kind == "data" for e in node.made):
            return False  # a framework that folds nothing made of weights
        if not node.present and not all(e.kind == "constant" for e in node.made):
            return False
        if any(isinstance(d, Poly) for e in node.made for d in e.shape or ()):
            return False
        weights = [e for e in node.present if e.kind == "weight"]
        for edge in node.made:
            if edge.kind == "data":
                edge.kind = "weight" if weights else "constant"
        if node.op == "Identity" and weights and node.out.tensor is None:
            node.out.tensor = self.tensor(weights[0])
        return True

    # tensors

    def tensor(self, edge: OnnxValue) -> Tensor:
        """Return the tensor of a value, declared at its first use."""
        if edge.tensor is None:
            shape = edge.known
            if self.channels_last and edge.is_data and len(shape) == 4:
                shape = tuple(shape[axis] for axis in CHANNELS_SECOND)
            made = Tensor(self._name(edge.name), shape, *_role(edge), edge.format)
            edge.tensor = self.builder.tensors[made.name] = made
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
        """Declare a tensor that the file does not name (states, scores)."""
        made = Tensor(self._name(name), tuple(shape), role, "", format)
        self.builder.tensors[made.name] = made
        return made

    def weight(self, edge: OnnxValue) -> Tensor:
        """Return the tensor of an operand that holds parameters unless it is computed."""
        if edge.kind == "constant" and edge.tensor is None:
            edge.kind = "weight"
        return self.tensor(edge)

    def vector(self, edge: OnnxValue | None) -> list[Tensor]:
        """Return a bias or a scale as a tensor to read, tagged as the vector it is."""
        if edge is None:
            return []
        if not edge.is_data and edge.tensor is None:
            edge.kind = "weight"
            edge.tag = edge.tag or "vector"
        return [self.tensor(edge)]

    def reads(self, *edges: OnnxValue | None) -> list[Tensor]:
        """Return tensors of what moves: neither absent inputs nor single constants."""
        return [
            self.tensor(e)
            for e in edges
            if e is not None and (e.is_data or constant(e.elements) not in {0, 1})
        ]

    # operators

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
        """Add the operator of a node; it writes the node's outputs unless `writes` is given."""
        if writes is None:
            writes = [self.tensor(e) for e in node.made]
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


def counted(
    kind: str,
    each: float = 0,
    *,
    of: Literal["input", "output"] = "input",
    reads: Literal["all", "first", "nothing"] = "first",
    inplace: bool = False,
    function: str = "",
) -> Pricing:
    """Return the price of an operator whose work is a number of operations per element.

    Parameters
    ----------
    each, of
        Operations an element of the first input, or of the output.
    reads
        Inputs that it reads.
    inplace
        Whether its output may lie where its first input does.
    function
        What it says of itself.
    """

    def pricing(p: Pricer, n: OnnxNode) -> None:
        x = n.out if reads == "nothing" else n.need(0)
        others = n.present if reads == "all" else ()
        tensors = [p.tensor(x)] if reads == "first" else p.reads(*others)
        work = product(each, (x if of == "input" else n.out).elements) if each else 0
        p.add(
            n,
            kind,
            tensors,
            ops=work,
            inplace=x if inplace else None,
            function=function,
        )

    return pricing


def converted(node: OnnxNode) -> Dim:
    """Return operations of conversions that were folded into an operator."""
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


def _unknown(node: OnnxNode) -> str:
    from perfmodel.workload.importers.onnx.domains import domain_of

    found = domain_of(node.domain)
    if found.unpriced:
        return found.unpriced
    meant = nearest(node.op, found.prices, cutoff=0.8)
    spelled = node.domain in STANDARD or node.domain == "ai.onnx.ml"
    hint = f"; did you mean '{meant}'?" if meant and spelled else ""
    return f"unknown operator of domain '{node.domain or 'ai.onnx'}'{hint}"
