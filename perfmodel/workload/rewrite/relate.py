"""What every kind of operator says of the axes of a graph."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.rewrite import relations_moves as moves
from perfmodel.workload.rewrite import relations_products as products
from perfmodel.workload.rewrite.relations import Handler, Relations


def _view(r: Relations, operator: Operator) -> None:
    r.view(operator)


#: Kind of operator -> what relates its axes; all others are frozen.
HANDLERS: Mapping[str, Handler] = {
    "elementwise": moves.elementwise, "norm": moves.elementwise, "softmax": moves.elementwise,
    "quantise": moves.elementwise, "pool": moves.pool, "resize": moves.resize,
    "gather": moves.gather, "copy": moves.copy, "view": _view, "scan": moves.scan,
    "conv": products.convolution, "depthwise": products.convolution, "gemm": products.matrices,
    "moe": products.experts, "attention": products.attention, "recurrent": products.recurrent,
}  # fmt: skip


def relations(graph: Graph) -> Relations:
    """Return what a graph's operators say of its axes."""
    return Relations(graph, HANDLERS)
