"""Axis relations of matrix operators.

Each function relates the axes of one kind of operator: those of its tensors (the source, the
weights or other factor, and the output) among each other and with the dimensions of its loop nest,
named in the nest by ``b`` (batch), ``g`` (groups), ``m`` (rows), ``n`` (columns or output
channels), ``k`` (contracted) and ``c`` (input channels). A layout that the relations do not cover
is frozen, with the reason: its extents stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axes import Key, Structure
from perfmodel.workload.rewrite.layers import factors_of
from perfmodel.workload.rewrite.relations import (
    Relations,
    attributes_of,
    nest_name,
    relation_of,
)
from perfmodel.workload.rewrite.relations_moves import generic


def convolution(relations: Relations, operator: Operator) -> None:
    """Relate a convolution: channels are the channels of one group times the groups."""
    attributes = attributes_of(operator)
    source, weights = factors_of(operator)
    output = operator.nests[0].output.tensor
    tensors = relations.graph.tensors
    if (
        any(
            name not in tensors or len(tensors[name].shape) < 3
            for name in (source, weights, output)
        )
        or "groups" not in attributes
    ):
        generic(relations, operator)
        return
    axes = relations.axes
    loops = nest_name(operator, 0)
    loop_dims = [dim for dim, _ in operator.nests[0].dims]
    transposed = bool(attributes.get("transposed"))
    axes.same(axes.structures[source, 1], axes.product([(loops, "g"), (loops, "c")]))
    axes.same(axes.structures[output, 1], axes.product([(loops, "g"), (loops, "n")]))
    if operator.kind == "depthwise":
        axes.freeze_axes([(loops, "n")], "depthwise multiplier")
    else:
        axes.freeze_axes([(loops, "g")], "groups of a convolution")
    output_channels, input_channels = (
        ((source, 1), (loops, "n")) if transposed else ((output, 1), (loops, "c"))
    )
    axes.same_axes((weights, 0), output_channels)
    axes.same_axes((weights, 1), input_channels)
    axes.same_axes((loops, "b"), (source, 0), (output, 0))
    axes.freeze_axes([(loops, "b")])
    windowed = source if transposed else output
    for i, dim in enumerate(name for name in loop_dims if name.startswith("o")):
        axes.same_axes((loops, dim), (windowed, 2 + i))
    for name in (source, weights, output):
        axes.freeze_axes(relations.keys(name)[2:])
    relations.vectors(operator, output, 1)
    for name in relations.activations(operator.reads):
        if name != source and relations.sizes(name) == relations.sizes(output):
            relations.same_tensors(name, output)
        elif name not in (source, weights):
            relations.freeze((name,), "layout of a convolution")
    relations.widths(operator, (output, 1), (source, 1), (weights, 0), (weights, 1))


def matrices(relations: Relations, operator: Operator) -> None:
    """Relate a product ``(..., m, k) x (..., k, n)`` of an activation with weights or another."""
    nest = operator.nests[0] if operator.nests else None
    if nest is None or [d for d, _ in nest.dims] != ["b", "m", "n", "k"] or len(operator.nests) > 1:
        generic(relations, operator)
        return
    source, factor = factors_of(operator)
    output = nest.output.tensor
    has_weights = relations.tensor(factor).role == "weight"
    loops = nest_name(operator, 0)
    rows, columns, inner = (relations.size((loops, d)) for d in "mnk")
    contracted = _axis(relations, source, inner)
    column = _axis(relations, output, columns)
    factor_axes = _sides(relations, operator, factor, columns, inner, has_weights=has_weights)
    if contracted is None or column is None or factor_axes is None:
        relations.give_up(operator, "layout of a product")
        return
    axes = relations.axes
    axes.same_axes((loops, "k"), (source, contracted))
    axes.same_axes((loops, "n"), (output, column))
    factor_column, factor_inner = factor_axes
    if factor_column is not None:
        axes.same_axes((loops, "n"), (factor, factor_column))
    if factor_inner is not None:
        axes.same_axes((loops, "k"), (factor, factor_inner))
    if has_weights:
        _stored_rows(relations, operator, source, output, (contracted, column))
        read = [(factor, i) for i in (factor_column, factor_inner) if i is not None]
        relations.widths(operator, (output, column), (source, contracted), *read)
    else:
        axes.freeze_axes([(loops, "k")], "contracted between two activations")
        _batched(
            relations,
            operator,
            (source, contracted),
            (factor, {factor_column, factor_inner}),
            (output, column),
            rows,
        )
    relations.vectors(operator, output, column)


def _axis(relations: Relations, name: str, size: float) -> int | None:
    """Return which of the last two axes of a product's operand has an extent."""
    sizes = relations.sizes(name)
    return next((axis for axis in reversed(range(len(sizes))[-2:]) if sizes[axis] == size), None)


def _sides(
    relations: Relations,
    operator: Operator,
    factor: str,
    columns: float,
    inner: float,
    *,
    has_weights: bool,
) -> tuple[int | None, int | None] | None:
    """Return the axes of the second factor that are the columns and the contracted dimension.

    A vector has one of the two. Stored weights may be transposed, as ``(n, k)``.
    """
    sizes = relations.sizes(factor)
    last = len(sizes) - 1
    if last < 0:
        return None
    if last == 0:
        if sizes[0] not in (columns, inner):
            return None
        return (0, None) if sizes[0] == columns and columns != 1 else (None, 0)
    turned = has_weights and relation_of(operator) != "untransposed"
    orders = [(last, last - 1), (last - 1, last)]
    for column, contracted in reversed(orders) if turned else orders:
        if sizes[column] == columns and sizes[contracted] == inner:
            return column, contracted
    return None


def _stored_rows(
    relations: Relations,
    operator: Operator,
    source: str,
    output: str,
    product_axes: tuple[int, int],
) -> None:
    """Relate the rows of a product with weights: all other axes, in order."""
    axes, loops = relations.axes, nest_name(operator, 0)
    rows: list[Key] = [(loops, "b"), (loops, "m")]
    source_rows = [key for key in relations.keys(source) if key[1] != product_axes[0]]
    output_rows = [key for key in relations.keys(output) if key[1] != product_axes[1]]
    if list(map(relations.size, source_rows)) == list(map(relations.size, output_rows)):
        for source_row, output_row in zip(source_rows, output_rows, strict=True):
            axes.same_axes(source_row, output_row)
    else:
        axes.same(axes.product(source_rows), axes.product(output_rows), "rows of a product")
    axes.same(axes.product(rows), axes.product(output_rows), "rows of a product")


def _batched(
    relations: Relations,
    operator: Operator,
    left: tuple[str, int],
    right: tuple[str, set[int | None]],
    result: tuple[str, int],
    row_count: float,
) -> None:
    """Relate the rows and the batch of a product of two activations."""
    axes, loops = relations.axes, nest_name(operator, 0)
    (source, contracted), (factor, factor_axes), (output, column) = left, right, result
    rows = [key for key in relations.keys(output) if key[1] != column]
    batch: list[Key] = []
    if rows and relations.size(rows[-1]) == row_count:
        axes.same_axes(rows[-1], (loops, "m"))
        batch = rows[:-1]
        axes.same(axes.product([(loops, "b")]), axes.product(batch), "batch of a product")
    else:
        axes.same(
            axes.product([(loops, "b"), (loops, "m")]), axes.product(rows), "rows of a product"
        )
    relations.aligned([key for key in relations.keys(source) if key[1] != contracted], rows)
    relations.aligned([key for key in relations.keys(factor) if key[1] not in factor_axes], batch)
    relations.heads += batch[1:]


def experts(relations: Relations, operator: Operator) -> None:
    """Relate the grouped product of a mixture of experts: widths, but not the experts."""
    source, weights = factors_of(operator)
    output = operator.nests[0].output.tensor
    if len(operator.nests) > 1 or len(relations.keys(weights)) != 3:
        relations.give_up(operator, "layout of experts")
        return
    axes, loops = relations.axes, nest_name(operator, 0)
    source_width, output_width = len(relations.keys(source)) - 1, len(relations.keys(output)) - 1
    axes.same_axes((loops, "k"), (source, source_width), (weights, 1))
    axes.same_axes((loops, "n"), (weights, 2), (output, output_width))
    axes.freeze_axes([(weights, 0)], "experts")
    axes.same(axes.product([(loops, "b"), (loops, "m")]), axes.product(relations.keys(output)[:-1]))
    axes.freeze_axes([(loops, "m"), (loops, "b")])
    if relations.size((source, 0)) == relations.size((output, 0)):
        axes.same_axes((source, 0), (output, 0))
    relations.widths(
        operator, (output, output_width), (source, source_width), (weights, 1), (weights, 2)
    )


def attention(relations: Relations, operator: Operator) -> None:
    """Relate heads, each KV head with the query heads that share it; head sizes do not change.

    Queries, keys, values, cache and result may have any layout whose extents are products of the
    dimensions of the two nests.
    """
    nests = operator.nests
    if len(nests) != 2 or not {"b", "g", "h", "q", "s", "d"} <= {dim for dim, _ in nests[0].dims}:
        relations.give_up(operator, "attention layout")
        return
    axes = relations.axes
    # The first nest multiplies queries by keys, the second the scores by values.
    scores, mixing = nest_name(operator, 0), nest_name(operator, 1)
    for dim in "bghqs":
        axes.same_axes((scores, dim), (mixing, dim))
    axes.freeze_axes([(scores, "b"), (scores, "q"), (scores, "s")])
    axes.freeze_axes([(scores, "d"), (mixing, "d")], "attention layout")
    if relations.size((scores, "g")) != 1:
        axes.freeze_axes([(scores, "h")], "query heads of one key head")
    key_heads, heads_per_key = axes.structures[scores, "g"], axes.structures[scores, "h"]
    head_size, value_size = axes.structures[scores, "d"], axes.structures[mixing, "d"]
    heads = axes.times(key_heads, heads_per_key)
    query = axes.times(heads, head_size)
    key = axes.times(key_heads, head_size)
    value = axes.times(key_heads, value_size)
    result = axes.times(heads, value_size)
    key_value = (*key, *value)
    fused = (*query, *key_value)
    output = nests[1].output.tensor
    source = factors_of(operator)[0]
    factors = {o.tensor for nest in nests for o in nest.operands}
    for name in dict.fromkeys(a.tensor for a in operator.accesses):
        tensor = relations.tensor(name)
        if name == output:
            candidates = [result]
        elif name == source:
            candidates = [query, fused, key_value]
        elif tensor.role == "weight":
            _fit(relations, name, 0, [heads])
            continue
        else:
            candidates = [key, value, key_value, fused, query]
        _layout(
            relations,
            operator,
            name,
            candidates,
            heads=(heads, key_heads),
            in_nests=name in factors,
        )
    relations.heads += [(scores, "g"), (scores, "h")]


def _layout(
    relations: Relations,
    operator: Operator,
    name: str,
    candidates: Sequence[Structure],
    *,
    heads: tuple[Structure, Structure],
    in_nests: bool,
) -> None:
    """Relate a tensor of an attention, with heads in the last axis or in a separate one."""
    axes, loops = relations.axes, nest_name(operator, 0)
    keys = relations.keys(name)
    if len(keys) <= 3:
        if not _fit(relations, name, len(keys) - 1, candidates) and in_nests:
            # A different head size (as with separate rotary parts): a multiple of the heads.
            group = heads[0]
            size_per_head = relations.size(keys[-1]) / axes.size(group)
            if axes.size(group) > 1 and size_per_head == int(size_per_head):
                size: Structure = ((axes.new(size_per_head, size_per_head),),)
                axes.freeze(size, "attention layout")
                axes.same(axes.structures[keys[-1]], axes.times(group, size))
        axes.freeze_axes(keys[:-1])
        return
    sizes = relations.sizes(name)
    split_heads = [structure for structure in heads if axes.size(structure) > 1]
    for axis in (1, 2):
        matching = [structure for structure in split_heads if axes.size(structure) == sizes[axis]]
        if matching:
            axes.same(axes.structures[name, axis], matching[0])
            axes.freeze_axes([key for key in keys if key[1] != axis])
            return
    if sizes[-1] != relations.size((loops, "s")) or split_heads:
        axes.freeze_axes(keys, "attention layout")


def _fit(relations: Relations, name: str, axis: int, candidates: Sequence[Structure]) -> bool:
    """Identify an axis with the first structure of its extent; freeze it if there is none."""
    size = relations.size((name, axis))
    for structure in candidates:
        if relations.axes.size(structure) == size:
            relations.axes.same(
                relations.axes.structures[name, axis], structure, "attention layout"
            )
            return True
    relations.axes.freeze_axes([(name, axis)], "attention layout")
    return False


def recurrent(relations: Relations, operator: Operator) -> None:
    """Relate a recurrent cell in one nest over ``(batch, steps, features)``; freeze others."""
    states = [a.tensor for a in operator.accesses if relations.tensor(a.tensor).role == "state"]
    source, weights = factors_of(operator) if operator.nests else ("", "")
    dims = [{dim for dim, _ in nest.dims} for nest in operator.nests]
    if dims != [set("tdmnk")] or len(relations.keys(weights)) != 3 or not states:
        relations.give_up(operator, "layout of a recurrent cell")
        return
    axes, loops = relations.axes, nest_name(operator, 0)
    output = operator.nests[0].output.tensor
    directions, features = relations.size((weights, 0)), relations.size((source, 2))
    hidden = relations.size((output, 2)) / directions
    gates = relations.size((weights, 2)) / hidden
    cell: Structure = ((axes.new(hidden, hidden),),)
    if gates not in (1, 3, 4) or features + hidden != relations.size((weights, 1)):
        relations.give_up(operator, "layout of a recurrent cell")
        return
    axes.freeze_axes([(weights, 0), (loops, "d")], "directions")
    axes.same_axes((weights, 0), (loops, "d"))
    all_directions = axes.times(cell, axes.structures[weights, 0])
    axes.same(axes.structures[output, 2], all_directions)
    axes.same(axes.structures[loops, "n"], cell * int(gates))
    axes.same_axes((weights, 2), (loops, "n"))
    axes.same(axes.structures[weights, 1], (*axes.structures[source, 2], *cell))
    axes.same_axes((loops, "k"), (weights, 1))
    for name in states:
        axes.same(
            axes.structures[name, 1],
            all_directions * int(relations.size((name, 1)) / relations.size((output, 2))),
        )
    for name in operator.reads:
        if relations.tensor(name).role == "weight" and name != weights:
            axes.same_axes((name, len(relations.keys(name)) - 1), (loops, "n"))
    for dim, axis in (("m", 0), ("t", 1)):
        axes.same_axes((loops, dim), (source, axis), (output, axis))
        axes.freeze_axes([(loops, dim)])
    relations.widths(operator, (output, 2), (source, 2), (weights, 1), (weights, 2))
