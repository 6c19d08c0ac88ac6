"""Dead-code elimination: removal of operators on whose results no output depends.

One backward pass over the blocks marks the tensors that are needed; operators that write none of
them are dropped, unless the runtime executes them.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.workload.graph import Block, Graph, Operator


def without_dead_operators(graph: Graph) -> Graph:
    """Return the graph without the operators that no output depends on.

    If any operator of a repeated layer is live, so is its last one: its output is the input of the
    next repetition.
    """
    needed = set(graph.outputs)
    read = {a.tensor for _, o in graph.walk() for a in o.accesses if a.mode == "read"} | needed
    if all(any(a.tensor in read for a in o.accesses if a.mode != "read") for _, o in graph.walk()):
        return graph  # any dead chain would end in an operator without readers
    blocks: list[Block] = []
    for block in reversed(graph.blocks):
        operators = _live_operators(block, needed)
        if operators and block.layer and operators[-1] is not block.operators[-1]:
            needed.update(block.operators[-1].writes)
            operators = _live_operators(block, needed)
        if len(operators) == len(block.operators):
            blocks.append(block)
        elif operators:
            blocks.append(replace(block, operators=operators))
    blocks.reverse()
    touched = {name for block in blocks for o in block.operators for name in (*o.reads, *o.writes)}
    touched |= {*graph.inputs, *graph.outputs}
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name in touched}
    return replace(graph, blocks=tuple(blocks), tensors=tensors)


def _live_operators(block: Block, needed: set[str]) -> tuple[Operator, ...]:
    """Return the operators of a block with needed outputs, and add their inputs to `needed`."""
    operators: list[Operator] = []
    for operator in reversed(block.operators):
        if not needed.isdisjoint(operator.writes):
            needed.update(operator.reads)
            operators.append(operator)
    return tuple(operators[::-1])
