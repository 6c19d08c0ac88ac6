"""Axis relations of attention and of recurrent cells.

Each function relates the axes of an operator's tensors with each other and with the dimensions of
its loop nests, one letter each, as listed in its docstring. Axes of a layout that is not covered
are frozen with the reason, so that their extents cannot change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axis_unification import Structure
from perfmodel.workload.rewrite.compressible_layers import factors_of
from perfmodel.workload.rewrite.relations import Relations, nest_name


class _Heads(NamedTuple):
    """Extents of the query heads (``g h``) and of the key and value heads (``g``)."""

    query: Structure
    key: Structure


def attention(relations: Relations, operator: Operator) -> None:
    """Relate the heads of an attention; the sizes of heads are frozen.

    The first nest multiplies queries by keys, the second the scores by values. Their dimensions are
    ``b`` (batch), ``g`` (key and value heads), ``h`` (query heads per key head), ``q`` (queries),
    ``s`` (keys, the second sequence) and ``d`` (size of a head: of keys in the first nest, of
    values in the second). The features of a token, as the last axis of a tensor, are then

        query = g h d1,  key = g d1,  value = g d2,  result = g h d2,

    and a tensor may also hold keys and values, or queries, keys and values, one after the other.
    With ``g`` above 1 the query heads of one key head, ``h``, are frozen too (grouped queries).
    """
    nests = operator.nests
    if len(nests) != 2 or not {"b", "g", "h", "q", "s", "d"} <= {dim for dim, _ in nests[0].dims}:
        relations.freeze_operator(operator, "attention layout")
        return
    axes = relations.axes
    scores, mixing = nest_name(operator, 0), nest_name(operator, 1)
    for dim in "bghqs":
        axes.unify_axes((scores, dim), (mixing, dim))
    axes.freeze_axes([(scores, "b"), (scores, "q"), (scores, "s")])
    axes.freeze_axes([(scores, "d"), (mixing, "d")], "attention layout")
    if relations.size((scores, "g")) != 1:
        axes.freeze_axes([(scores, "h")], "query heads of one key head")
    key_heads, heads_per_key = axes.structures[scores, "g"], axes.structures[scores, "h"]
    head_size, value_size = axes.structures[scores, "d"], axes.structures[mixing, "d"]
    heads = _Heads(axes.multiplied(key_heads, heads_per_key), key_heads)
    query = axes.multiplied(heads.query, head_size)
    key = axes.multiplied(key_heads, head_size)
    value = axes.multiplied(key_heads, value_size)
    result = axes.multiplied(heads.query, value_size)
    key_value = (*key, *value)
    fused = (*query, *key_value)
    output = nests[1].output.tensor
    source = factors_of(operator)[0]
    factors = {operand.tensor for nest in nests for operand in nest.operands}
    for name in dict.fromkeys(a.tensor for a in operator.accesses):
        tensor = relations.tensor(name)
        if name == output:
            candidates = [result]
        elif name == source:
            candidates = [query, fused, key_value]
        elif tensor.role == "weight":
            _unify_with_first(relations, name, 0, [heads.query])
            continue
        else:
            candidates = [key, value, key_value, fused, query]
        _relate_heads(relations, operator, name, candidates, heads, is_factor=name in factors)
    relations.heads += [(scores, "g"), (scores, "h")]


def _relate_heads(
    relations: Relations,
    operator: Operator,
    name: str,
    candidates: Sequence[Structure],
    heads: _Heads,
    *,
    is_factor: bool,
) -> None:
    """Relate a tensor of an attention, with heads in the last axis or in a separate one.

    Up to three axes are ``(batch, tokens, features)``, and the features are the first of the
    candidates with their extent. With four, the heads are the second or the third axis.
    """
    axes, loops = relations.axes, nest_name(operator, 0)
    keys = relations.keys(name)
    if len(keys) <= 3:
        if not _unify_with_first(relations, name, len(keys) - 1, candidates) and is_factor:
            # A different head size (as with separate rotary parts): a multiple of the heads.
            size_per_head = relations.size(keys[-1]) / axes.size(heads.query)
            if axes.size(heads.query) > 1 and size_per_head == int(size_per_head):
                size: Structure = ((axes.new(size_per_head, size_per_head),),)
                axes.freeze(size, "attention layout")
                axes.unify(axes.structures[keys[-1]], axes.multiplied(heads.query, size))
        axes.freeze_axes(keys[:-1])
        return
    sizes = relations.sizes(name)
    split_heads = [structure for structure in heads if axes.size(structure) > 1]
    for axis in (1, 2):
        matching = [structure for structure in split_heads if axes.size(structure) == sizes[axis]]
        if matching:
            axes.unify(axes.structures[name, axis], matching[0])
            axes.freeze_axes([key for key in keys if key[1] != axis])
            return
    if sizes[-1] != relations.size((loops, "s")) or split_heads:
        axes.freeze_axes(keys, "attention layout")


def _unify_with_first(
    relations: Relations, name: str, axis: int, candidates: Sequence[Structure]
) -> bool:
    """Unify an axis with the first structure of its extent; freeze it if there is none."""
    size = relations.size((name, axis))
    for structure in candidates:
        if relations.axes.size(structure) == size:
            relations.axes.unify(
                relations.axes.structures[name, axis], structure, "attention layout"
            )
            return True
    relations.axes.freeze_axes([(name, axis)], "attention layout")
    return False


def recurrent(relations: Relations, operator: Operator) -> None:
    """Relate a recurrent cell (plain, GRU or LSTM) in one nest; freeze other layouts.

    Dimensions of the nest: ``t`` (steps), ``d`` (directions), ``m`` (sequences), ``n`` (outputs of
    the gates) and ``k`` (inputs of the gates). With ``f`` features and ``c`` hidden units, a cell
    of one, three or four gates has

        source (m, t, f),  weights (d, k, n),  output (m, t, d c),  k = f + c,  n = gates c,

    and each state is as wide as the output or a multiple of it. ``f`` and ``c`` may change.
    """
    states = [
        access.tensor
        for access in operator.accesses
        if relations.tensor(access.tensor).role == "state"
    ]
    source, weights = factors_of(operator) if operator.nests else ("", "")
    dims = [{dim for dim, _ in nest.dims} for nest in operator.nests]
    if dims != [set("tdmnk")] or len(relations.keys(weights)) != 3 or not states:
        relations.freeze_operator(operator, "layout of a recurrent cell")
        return
    axes, loops = relations.axes, nest_name(operator, 0)
    output = operator.nests[0].output.tensor
    features = relations.size((source, 2))
    hidden = relations.size((output, 2)) / relations.size((weights, 0))
    gates = relations.size((weights, 2)) / hidden
    cell: Structure = ((axes.new(hidden, hidden),),)
    if gates not in (1, 3, 4) or features + hidden != relations.size((weights, 1)):
        relations.freeze_operator(operator, "layout of a recurrent cell")
        return
    axes.freeze_axes([(weights, 0), (loops, "d")], "directions")
    axes.unify_axes((weights, 0), (loops, "d"))
    all_directions = axes.multiplied(cell, axes.structures[weights, 0])
    axes.unify(axes.structures[output, 2], all_directions)
    axes.unify(axes.structures[loops, "n"], cell * int(gates))
    axes.unify_axes((weights, 2), (loops, "n"))
    axes.unify(axes.structures[weights, 1], (*axes.structures[source, 2], *cell))
    axes.unify_axes((loops, "k"), (weights, 1))
    for name in states:
        axes.unify(
            axes.structures[name, 1],
            all_directions * int(relations.size((name, 1)) / relations.size((output, 2))),
        )
    for name in operator.reads:
        if relations.tensor(name).role == "weight" and name != weights:
            axes.unify_axes((name, len(relations.keys(name)) - 1), (loops, "n"))
    for dim, axis in (("m", 0), ("t", 1)):
        axes.unify_axes((loops, dim), (source, axis), (output, axis))
        axes.freeze_axes([(loops, dim)])
    relations.mark_widths(operator, (output, 2), (source, 2), (weights, 1), (weights, 2))
