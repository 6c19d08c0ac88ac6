"""Table of the axis relations by kind of operator."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite import relations_moves as moves
from perfmodel.workload.rewrite import relations_products as products
from perfmodel.workload.rewrite.relations import Handler, Relations

#: Kind of operator -> function that relates its axes; those of all other kinds are frozen.
HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(("elementwise", "norm", "softmax", "quantise"), moves.elementwise),
    **dict.fromkeys(("conv", "depthwise"), products.convolution),
    "pool": moves.pool,
    "resize": moves.resize,
    "gather": moves.gather,
    "copy": moves.copy,
    "view": Relations.view,
    "scan": moves.scan,
    "gemm": products.matrices,
    "moe": products.experts,
    "attention": products.attention,
    "recurrent": products.recurrent,
}


def relations(graph: Graph) -> Relations:
    """Return the axis relations of a graph's operators."""
    return Relations(graph, HANDLERS)
