"""Collection of the axis relations of a graph, operator by operator.

`HANDLERS` maps each kind of operator to the function that adds the relations between its axes, and
`collect_relations` calls it for every operator. `channel_coupling` reads the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.rewrite import relations_moves as moves
from perfmodel.workload.rewrite import relations_products as products
from perfmodel.workload.rewrite import relations_sequences as sequences
from perfmodel.workload.rewrite.relations import Relations
from perfmodel.workload.unroll import carried

#: Kind of operator -> function that relates its axes; those of all other kinds are frozen.
HANDLERS: Final[Mapping[str, Callable[[Relations, Operator], None]]] = {
    **dict.fromkeys(("elementwise", "norm", "softmax", "quantise"), moves.elementwise),
    **dict.fromkeys(("conv", "depthwise"), products.convolution),
    "pool": moves.pool,
    "resize": moves.resize,
    "gather": moves.gather,
    "copy": moves.copy,
    "view": moves.view,
    "scan": moves.scan,
    "gemm": products.matrices,
    "moe": products.experts,
    "attention": sequences.attention,
    "recurrent": sequences.recurrent,
}


def collect_relations(graph: Graph) -> Relations:
    """Return the axis relations of a graph.

    Inputs and outputs of the network are frozen. In a repeated block, the activation that leaves
    one repetition has the extents of the one that enters the next. An activation that only one
    operator touches, beside operators without a price, has unknown relations and is frozen.
    """
    relations = Relations(graph)
    relations.freeze(list(graph.inputs), "network input")
    for _, operator in graph.walk():
        HANDLERS.get(operator.kind, _freeze_unknown)(relations, operator)
    for block in graph.blocks:
        if block.operators and block.operators[-1].writes and block.count != 1:
            entering, leaving = carried(graph, block)
            if entering:
                relations.unify_tensors(entering, leaving)
    relations.freeze(list(graph.outputs), "network output")
    if graph.not_priced:
        written = {name for _, operator in graph.walk() for name in operator.writes}
        read = {name for _, operator in graph.walk() for name in operator.reads}
        unconnected = relations.activations(sorted((written ^ read) - {*graph.inputs}))
        relations.freeze(unconnected, "an operator without a price")
    return relations


def _freeze_unknown(relations: Relations, operator: Operator) -> None:
    """Freeze all axes of an operator of unknown kind."""
    relations.freeze_operator(operator, f"unknown operator '{operator.kind}'")
