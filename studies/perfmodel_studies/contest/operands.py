"""Transfers of operands that no schedule avoids, operation by operation.

A product can stand in three places of a subgraph: its result is on the way to an output and it is
summed tile by tile; it hands over strips, step by step, to a product that is summed so; or it makes
whole strips for a product further in. Each place has its loads. What a product loads at least, in
the cheapest place that the capacity allows, adds up over products as far as no two of them load the
same slice.
"""

from __future__ import annotations

import math

from perfmodel_studies.contest.instance import MATMUL, Instance

__all__ = ["operand_bound", "reaches", "read_outside"]


def operand_bound(instance: Instance) -> float:
    """Return a number of elements that every schedule moves.

    Operands of products, in the cheapest place, inputs of the graph that no product reads, outputs
    of the graph, and tensors that must be handed over in slow memory.
    """
    written = set(instance.graph_outputs)
    written.update(
        t
        for op in instance.operations
        if op.kind == MATMUL
        for side, t in enumerate(op.inputs)
        if instance.elements(t) > instance.capacity and handed_over(instance, t, side)
    )
    elements_moved = float(sum(instance.elements(t) for t in written))
    operands: set[int] = set()
    for i, op in enumerate(instance.operations):
        if op.kind == MATMUL:
            operands.update(op.inputs)
            elements_moved += min(
                _at_output(instance, i), _handing_over(instance, i), _inside(instance, i)
            )
    elements_moved += sum(
        instance.elements(t)
        for t, producer in enumerate(instance.producer)
        if producer < 0 and instance.consumers[t] and t not in operands
    )
    return elements_moved


def _at_output(x: Instance, i: int) -> float:
    """Summed tile by tile: each operand again for every tile along the other side."""
    op = x.operations[i]
    if x.depth(i) <= x.native_depth:  # one step, whose slices may stay from tile to tile
        return 0.0
    out = op.outputs[0]
    times = x.native_tiles(out)
    total = 0.0
    for side, tensor in enumerate(op.inputs):
        if _never_there(x, i, side):
            total += x.elements(tensor) * times[side] / _sharing(x, i, side)
    return total


def _handing_over(x: Instance, i: int) -> float:
    """Strips for a product summed tile by tile: one operand stays, the other passes for each tile.

    Where s products share the passing operand, their staying strips are in fast memory together:
    of h rows each at most capacity / (s K), so that it passes at least rows s K / capacity times,
    which is s times what is counted for each of them.
    """
    op = x.operations[i]
    after = [j for j in x.consumers[op.outputs[0]] if x.operations[j].kind == MATMUL]
    if not after:
        return float("inf") if not reaches(x, i) else 0.0
    best = float("inf")
    for j in after:
        for side, tensor in enumerate(x.operations[j].inputs):
            if tensor == op.outputs[0]:
                best = min(best, _passing(x, i, j, side))
    return best if not reaches(x, i) else 0.0


def _passing(x: Instance, i: int, j: int, side: int) -> float:
    """The operand of `i` that passes where its result is an operand (`side`) of `j`."""
    op = x.operations[i]
    passing, staying = op.inputs[1 - side], op.inputs[side]
    if x.depth(j) <= x.native_depth or not _never_there(x, i, 1 - side):
        return 0.0
    out = x.operations[j].outputs[0]
    tiles = math.prod(x.native_tiles(out))
    readers = [k for k in x.consumers[passing] if x.operations[k].kind == MATMUL]
    times = tiles / len(readers)
    if all(_stays(x, k, passing, side) for k in readers):
        times = max(times, x.elements(staying) / x.capacity)
    return x.elements(passing) * times


def _stays(x: Instance, i: int, passing: int, side: int) -> bool:
    """Tell whether a reader keeps a strip of its own, that is not made in the subgraph."""
    op = x.operations[i]
    if op.inputs[1 - side] != passing:
        return True  # reads it from the other side: another slice, not shared
    staying = op.inputs[side]
    return len(x.consumers[staying]) == 1 and staying != passing and _outside(x, staying, side)


def _outside(x: Instance, tensor: int, side: int) -> bool:
    """Tell whether whole strips of a tensor can never be made inside a subgraph."""
    producer = x.producer[tensor]
    if producer < 0:
        return True
    op = x.operations[producer]
    if op.kind == MATMUL:  # the operand along the strip would be needed whole
        other = op.inputs[1 - side]
        return x.producer[other] < 0 and x.elements(other) > x.capacity
    return handed_over(x, tensor, side)


def _inside(x: Instance, i: int) -> float:
    """Whole strips for a product further in: one operand whole; infinite where it does not fit."""
    out = x.operations[i].outputs[0]
    if reaches(x, i):
        return 0.0
    for j in x.consumers[out]:
        if x.operations[j].kind == MATMUL:
            for side, tensor in enumerate(x.operations[j].inputs):
                other = x.operations[i].inputs[1 - side]
                fits = x.producer[other] >= 0 or x.elements(other) <= x.capacity
                if tensor == out and fits:
                    return 0.0
    return float("inf")


def handed_over(x: Instance, tensor: int, side: int) -> bool:
    """Tell whether a product reads a pointwise result that no subgraph with both can hold.

    The strips of its left operand (`side` 0) are rows of the tensor, those of its right one
    columns; neither may be longer than a native tile.
    """
    producer = x.producer[tensor]
    if producer < 0 or x.operations[producer].kind == MATMUL:
        return False
    return x.native_tiles(tensor)[side] > 1


def read_outside(x: Instance, tensor: int, reader: int) -> bool:
    """Tell whether a reader can never be in one subgraph with the producer of the tensor."""
    op = x.operations[reader]
    return x.producer[tensor] < 0 or (
        op.kind == MATMUL
        and any(handed_over(x, t, side) for side, t in enumerate(op.inputs) if t == tensor)
    )


def reaches(x: Instance, i: int) -> bool:
    """Tell whether a result can reach a product, or another size, through pointwise operations."""
    seen: set[int] = set()
    left = [(i, t) for t in x.operations[i].outputs]
    while left:
        operation, tensor = left.pop()
        for j in x.consumers[tensor]:
            op = x.operations[j]
            if op.kind == MATMUL:
                # A product next to it is seen to by the places.
                if operation != i and not read_outside(x, tensor, j):
                    return True
            elif x.shape(tensor) != x.shape(op.outputs[0]):
                return True
            elif j not in seen:
                seen.add(j)
                left += [(j, t) for t in op.outputs]
    return False


def _never_there(x: Instance, i: int, side: int) -> bool:
    """Tell whether an operand always comes from slow memory, and never as a whole.

    A whole tensor serves every slice, so where it fits nothing may read all of it at once: neither
    another operation, nor this one for another reader of its result.
    """
    tensor = x.operations[i].inputs[side]
    if x.elements(tensor) > x.capacity:
        return x.producer[tensor] < 0 or handed_over(x, tensor, side)
    return x.producer[tensor] < 0 and len(x.consumers[tensor]) == 1 and _single_line(x, i)


def _single_line(x: Instance, i: int) -> bool:
    """Tell whether what is made of a result has one reader each all the way."""
    while True:
        outputs = x.operations[i].outputs
        readers = {j for t in outputs for j in x.consumers[t]}
        if len(outputs) > 1 or len(readers) > 1:
            return False
        if not readers:
            return True
        (i,) = readers


def _sharing(x: Instance, i: int, side: int) -> int:
    """How many products may load the slices of an operand together with `i`, itself among them."""
    tensor = x.operations[i].inputs[side]
    readers = {
        j
        for j in x.consumers[tensor]
        if x.operations[j].kind == MATMUL and x.operations[j].inputs[side] == tensor
    }
    op = x.operations[i]
    left = [x.producer[t] for t in op.inputs if x.producer[t] >= 0]
    after = list(x.consumers[op.outputs[0]])
    if any(x.operations[j].kind != MATMUL for j in after):
        left += after  # with products alone behind it, none of them is in its subgraph
    seen = {i}
    while left:
        j = left.pop()
        if j not in seen:
            seen.add(j)
            near = x.operations[j]
            left += [x.producer[t] for t in near.inputs if x.producer[t] >= 0]
            left += [k for t in near.outputs for k in x.consumers[t]]
    return len(readers & seen)
