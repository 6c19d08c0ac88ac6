"""Pricing of each node by the price of its domain; nodes without a price are listed.

A node that depends on weights and constants only is folded, as runtimes do on loading. Nothing is
dropped silently: a node without a price goes to ``not_priced``, with the reason.
"""

from __future__ import annotations

from perfmodel.errors import nearest, printable
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.operator_domains import domain_of
from perfmodel.workload.importers.onnx.operator_traits import RANDOM
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS, STANDARD, Pricer
from perfmodel.workload.symbols import Dim, Poly


class NodePricer(Pricer):
    """Pricer that adds the operators of nodes and lists the nodes without a price."""

    def price(self, node: OnnxNode) -> None:
        """Add the operators of one node, or list it in ``not_priced``."""
        try:
            if self._fold_constant(node):
                return
            pricing = domain_of(node.domain).price(node.op)
            if pricing is None:
                raise NotPricedError(_reason_without_price(node))
            if node.failure:
                raise NotPricedError(node.failure)
            pricing(self, node)
        except NotPricedError as reason:
            self._list_unpriced(node, str(reason))
        except MALFORMED_NODE_ERRORS as error:
            self._list_unpriced(node, f"it is malformed: {error}")

    def dispatch(self, node: OnnxNode, times: Dim = 1) -> None:
        """Add the operators of one node; if it runs but launches no kernel, count it as a view."""
        kernels, unpriced = self.builder.kernels, len(self.builder.not_priced)
        self.price(node)
        launched_none = kernels == self.builder.kernels and unpriced == len(self.builder.not_priced)
        if node.is_dispatched and launched_none:
            self.builder.views += times

    def _list_unpriced(self, node: OnnxNode, reason: str) -> None:
        """List a node without a price; its parameters still count as stored."""
        self.builder.not_priced.append(printable(f"{node.label}: {reason}"))
        stored = [e for e in node.present_inputs if e.kind == "weight" and e.shape is not None]
        if stored:
            self.builder.operator(
                node.name or node.op,
                "view",
                [(self.tensor(e), 0) for e in stored],
                [],
                attributes={"op": node.op, "not_priced": reason},
            )

    def _fold_constant(self, node: OnnxNode) -> bool:
        """Return whether a node is folded, because it depends on weights and constants only."""
        if (
            node.op in RANDOM
            or any(e.is_data for e in node.present_inputs)
            or not node.present_outputs
        ):
            return False
        if node.present_inputs and all(e.kind == "data" for e in node.present_outputs):
            return False  # this format's framework does not fold nodes that depend on weights
        if not node.present_inputs and not all(e.kind == "constant" for e in node.present_outputs):
            return False
        if any(isinstance(d, Poly) for e in node.present_outputs for d in e.shape or ()):
            return False
        weights = [e for e in node.present_inputs if e.kind == "weight"]
        for edge in node.present_outputs:
            if edge.kind == "data":
                edge.kind = "weight" if weights else "constant"
        if node.op == "Identity" and weights and node.first_output.tensor is None:
            node.first_output.tensor = self.tensor(weights[0])
        return True


def _reason_without_price(node: OnnxNode) -> str:
    """Return the reason why an operator has no price, with a suggestion for a misspelled name."""
    domain = domain_of(node.domain)
    if domain.unpriced:
        return domain.unpriced
    suggestion = nearest(node.op, domain.prices, cutoff=0.8)
    is_spelled = node.domain in STANDARD or node.domain == "ai.onnx.ml"
    hint = f"; did you mean '{suggestion}'?" if suggestion and is_spelled else ""
    return f"unknown operator of domain '{node.domain or 'ai.onnx'}'{hint}"
