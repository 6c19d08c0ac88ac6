"""Conversion of a network file's nodes to operators of a graph, priced by their domain."""

from __future__ import annotations

from perfmodel.errors import nearest, printable
from perfmodel.workload.importers.onnx.domains import domain_of
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import MALFORMED, STANDARD, Pricer
from perfmodel.workload.importers.onnx.traits import RANDOM
from perfmodel.workload.symbols import Dim, Poly


class NodePricer(Pricer):
    """Pricer that adds the operators of nodes and lists the nodes without a price."""

    def price(self, node: OnnxNode) -> None:
        """Add the operators of one node, or list it in ``not_priced``."""
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
        """Add the operators of one node; if it runs but launches no kernel, count it as a view."""
        kernels, unknown = self.builder.kernels, len(self.builder.not_priced)
        self.price(node)
        none = kernels == self.builder.kernels and unknown == len(self.builder.not_priced)
        if node.runs and none:
            self.builder.views += times

    def _keep(self, node: OnnxNode, reason: str) -> None:
        """List a node without a price; its parameters still count as stored."""
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
        """Fold a node that depends on weights and constants only, as runtimes do on loading."""
        if node.op in RANDOM or any(e.is_data for e in node.present) or not node.written:
            return False
        if node.present and all(e.kind == "data" for e in node.written):
            return False  # this format's framework does not fold nodes that depend on weights
        if not node.present and not all(e.kind == "constant" for e in node.written):
            return False
        if any(isinstance(d, Poly) for e in node.written for d in e.shape or ()):
            return False
        weights = [e for e in node.present if e.kind == "weight"]
        for edge in node.written:
            if edge.kind == "data":
                edge.kind = "weight" if weights else "constant"
        if node.op == "Identity" and weights and node.out.tensor is None:
            node.out.tensor = self.tensor(weights[0])
        return True


def _unknown(node: OnnxNode) -> str:
    domain = domain_of(node.domain)
    if domain.unpriced:
        return domain.unpriced
    meant = nearest(node.op, domain.prices, cutoff=0.8)
    spelled = node.domain in STANDARD or node.domain == "ai.onnx.ml"
    hint = f"; did you mean '{meant}'?" if meant and spelled else ""
    return f"unknown operator of domain '{node.domain or 'ai.onnx'}'{hint}"
