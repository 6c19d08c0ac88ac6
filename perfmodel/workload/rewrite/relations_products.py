"""Which axes matrix operators make the same."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axes import Key, Structure
from perfmodel.workload.rewrite.layers import factors_of
from perfmodel.workload.rewrite.relations import (
    Relations,
    attributes_of,
    nest_name,
    output_operand,
)
from perfmodel.workload.rewrite.relations_moves import generic

#: ONNX operators whose weights stand as ``(k, n)``; other layers keep ``(n, k)``.
_UNTURNED = frozenset(
    {
        "MatMul",
        "MatMulInteger",
        "QLinearMatMul",
        "FusedMatMul",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "Attention",
        "QAttention",
    }
)


def convolution(r: Relations, operator: Operator) -> None:
    """Relate a convolution: channels of one group times groups."""
    said = attributes_of(operator)
    x, w = factors_of(operator)
    y = output_operand(operator.nests[0])
    known = r.graph.tensors
    if any(n not in known or len(known[n].shape) < 3 for n in (x, w, y)) or "groups" not in said:
        generic(r, operator)
        return
    axes = r.axes
    head = nest_name(operator, 0)
    names = [dim for dim, _ in operator.nests[0].dims]
    transposed = bool(said.get("transposed"))
    axes.same(axes.structures[x, 1], axes.product([(head, "g"), (head, "c")]))
    axes.same(axes.structures[y, 1], axes.product([(head, "g"), (head, "n")]))
    if operator.kind == "depthwise":
        axes.freeze_axes([(head, "n")], "depthwise multiplier")
    else:
        axes.freeze_axes([(head, "g")], "groups of a convolution")
    first, second = ((x, 1), (head, "n")) if transposed else ((y, 1), (head, "c"))
    axes.same_axes((w, 0), first)
    axes.same_axes((w, 1), second)
    axes.same_axes((head, "b"), (x, 0), (y, 0))
    axes.freeze_axes([(head, "b")])
    over = x if transposed else y
    for i, dim in enumerate(n for n in names if n.startswith("o")):
        axes.same_axes((head, dim), (over, 2 + i))
    for name in (x, w, y):
        axes.freeze_axes(r.keys(name)[2:])
    r.vectors(operator, y, 1)
    for name in r.activations(operator.reads):
        if name != x and r.sizes(name) == r.sizes(y):
            r.same_tensors(name, y)
        elif name not in (x, w):
            r.freeze((name,), "layout of a convolution")
    r.widths(operator, (y, 1), (x, 1), (w, 0), (w, 1))


def matrices(r: Relations, operator: Operator) -> None:
    """Relate a product ``(..., m, k) x (..., k, n)``, of an activation and weights or of two."""
    nest = operator.nests[0] if operator.nests else None
    if nest is None or [d for d, _ in nest.dims] != ["b", "m", "n", "k"] or len(operator.nests) > 1:
        generic(r, operator)
        return
    x, w = factors_of(operator)
    y = output_operand(nest)
    stored = r.tensor(w).role == "weight"
    head = nest_name(operator, 0)
    m, n, k = (r.size((head, d)) for d in "mnk")
    at_x = _axis(r, x, k)
    at_y = _axis(r, y, n)
    sides = _sides(r, operator, w, n, k, stored=stored)
    if at_x is None or at_y is None or sides is None:
        r.give_up(operator, "layout of a product")
        return
    axes = r.axes
    axes.same_axes((head, "k"), (x, at_x))
    axes.same_axes((head, "n"), (y, at_y))
    side_n, side_k = sides
    if side_n is not None:
        axes.same_axes((head, "n"), (w, side_n))
    if side_k is not None:
        axes.same_axes((head, "k"), (w, side_k))
    if stored:
        _stored_rows(r, operator, x, y, (at_x, at_y))
        sides_read = [(w, i) for i in (side_n, side_k) if i is not None]
        r.widths(operator, (y, at_y), (x, at_x), *sides_read)
    else:
        axes.freeze_axes([(head, "k")], "contracted between two activations")
        _batched(r, operator, (x, at_x), (w, {side_n, side_k}), (y, at_y), m)
    r.vectors(operator, y, at_y)


def _axis(r: Relations, name: str, size: float) -> int | None:
    """Return the axis of a product's operand: the last, or the one before."""
    sizes = r.sizes(name)
    return next((axis for axis in reversed(range(len(sizes))[-2:]) if sizes[axis] == size), None)


def _sides(
    r: Relations, operator: Operator, w: str, n: float, k: float, *, stored: bool
) -> tuple[int | None, int | None] | None:
    """Return the axes of the second factor that are n and k."""
    sizes = r.sizes(w)
    last = len(sizes) - 1
    if last < 0:
        return None
    if last == 0:
        if sizes[0] not in (n, k):
            return None
        return (0, None) if sizes[0] == n and n != 1 else (None, 0)
    turned = stored and str(attributes_of(operator).get("op", "")) not in _UNTURNED
    orders = [(last, last - 1), (last - 1, last)]
    for at_n, at_k in reversed(orders) if turned else orders:
        if sizes[at_n] == n and sizes[at_k] == k:
            return at_n, at_k
    return None


def _stored_rows(r: Relations, operator: Operator, x: str, y: str, at: tuple[int, int]) -> None:
    """Relate the rows of a product with weights: all other axes, in order."""
    axes, head = r.axes, nest_name(operator, 0)
    rows: list[Key] = [(head, "b"), (head, "m")]
    left = [key for key in r.keys(x) if key[1] != at[0]]
    right = [key for key in r.keys(y) if key[1] != at[1]]
    if list(map(r.size, left)) == list(map(r.size, right)):
        for a, b in zip(left, right, strict=True):
            axes.same_axes(a, b)
    else:
        axes.same(axes.product(left), axes.product(right), "rows of a product")
    axes.same(axes.product(rows), axes.product(right), "rows of a product")


def _batched(
    r: Relations,
    operator: Operator,
    a: tuple[str, int],
    b: tuple[str, set[int | None]],
    out: tuple[str, int],
    m: float,
) -> None:
    """Relate rows and batch of a product of two activations."""
    axes, head = r.axes, nest_name(operator, 0)
    (x, at_x), (w, sides), (y, at_y) = a, b, out
    rows = [key for key in r.keys(y) if key[1] != at_y]
    lead: list[Key] = []
    if rows and r.size(rows[-1]) == m:
        axes.same_axes(rows[-1], (head, "m"))
        lead = rows[:-1]
        axes.same(axes.product([(head, "b")]), axes.product(lead), "batch of a product")
    else:
        axes.same(axes.product([(head, "b"), (head, "m")]), axes.product(rows), "rows of a product")
    r.aligned([key for key in r.keys(x) if key[1] != at_x], rows)
    r.aligned([key for key in r.keys(w) if key[1] not in sides], lead)
    r.heads += lead[1:]


def experts(r: Relations, operator: Operator) -> None:
    """Relate the grouped product of a mixture of experts: widths, not the experts."""
    x, w = factors_of(operator)
    y = output_operand(operator.nests[0])
    if len(operator.nests) > 1 or len(r.keys(w)) != 3:
        r.give_up(operator, "layout of experts")
        return
    axes, head = r.axes, nest_name(operator, 0)
    last_x, last_y = len(r.keys(x)) - 1, len(r.keys(y)) - 1
    axes.same_axes((head, "k"), (x, last_x), (w, 1))
    axes.same_axes((head, "n"), (w, 2), (y, last_y))
    axes.freeze_axes([(w, 0)], "experts")
    axes.same(axes.product([(head, "b"), (head, "m")]), axes.product(r.keys(y)[:-1]))
    axes.freeze_axes([(head, "m"), (head, "b")])
    if r.size((x, 0)) == r.size((y, 0)):
        axes.same_axes((x, 0), (y, 0))
    r.widths(operator, (y, last_y), (x, last_x), (w, 1), (w, 2))


def attention(r: Relations, operator: Operator) -> None:
    """Relate heads: each KV head with the query heads that share it; their sizes stay.

    Queries, keys, values, cache and result may stand in any layout whose extents are products of
    the dimensions of the two nests.
    """
    nests = operator.nests
    if len(nests) != 2 or not {"b", "g", "h", "q", "s", "d"} <= {d for d, _ in nests[0].dims}:
        r.give_up(operator, "attention layout")
        return
    axes = r.axes
    one, two = nest_name(operator, 0), nest_name(operator, 1)
    for dim in "bghqs":
        axes.same_axes((one, dim), (two, dim))
    axes.freeze_axes([(one, "b"), (one, "q"), (one, "s")])
    axes.freeze_axes([(one, "d"), (two, "d")], "attention layout")
    if r.size((one, "g")) != 1:
        axes.freeze_axes([(one, "h")], "query heads of one key head")
    g, h = axes.structures[one, "g"], axes.structures[one, "h"]
    d, v = axes.structures[one, "d"], axes.structures[two, "d"]
    heads = axes.times(g, h)
    query, key, value = axes.times(heads, d), axes.times(g, d), axes.times(g, v)
    result = axes.times(heads, v)
    new: list[Structure] = [key, value, (*key, *value), (*query, *key, *value), query]
    y = output_operand(nests[1])
    source = factors_of(operator)[0]
    factors = {o.tensor for nest in nests for o in nest.operands}
    for name in dict.fromkeys(a.tensor for a in operator.accesses):
        tensor = r.tensor(name)
        if name == y:
            found = [result]
        elif name == source:
            found = [query, new[3], new[2]]
        elif tensor.role == "weight":
            _fit(r, name, 0, [heads])
            continue
        else:
            found = new
        _layout(r, operator, name, found, heads=(heads, g), own=name in factors)
    r.heads += [(one, "g"), (one, "h")]


def _layout(
    r: Relations,
    operator: Operator,
    name: str,
    found: Sequence[Structure],
    *,
    heads: tuple[Structure, Structure],
    own: bool,
) -> None:
    """Relate a tensor of an attention, features last, or heads on an axis of their own."""
    axes, head = r.axes, nest_name(operator, 0)
    keys = r.keys(name)
    if len(keys) <= 3:
        if not _fit(r, name, len(keys) - 1, found) and own:
            # A head of another size (rotary parts ride apart): as many as there are heads.
            group = heads[0]
            each = r.size(keys[-1]) / axes.size(group)
            if axes.size(group) > 1 and each == int(each):
                size: Structure = ((axes.new(each, each),),)
                axes.freeze(size, "attention layout")
                axes.same(axes.structures[keys[-1]], axes.times(group, size))
        axes.freeze_axes(keys[:-1])
        return
    sizes = r.sizes(name)
    wanted = [s for s in heads if axes.size(s) > 1]
    for axis in (1, 2):
        match = [s for s in wanted if axes.size(s) == sizes[axis]]
        if match:
            axes.same(axes.structures[name, axis], match[0])
            axes.freeze_axes([k for k in keys if k[1] != axis])
            return
    if sizes[-1] != r.size((head, "s")) or wanted:
        axes.freeze_axes(keys, "attention layout")


def _fit(r: Relations, name: str, axis: int, found: Sequence[Structure]) -> bool:
    """Make an axis the first structure of its extent; freeze it where there is none."""
    size = r.size((name, axis))
    for structure in found:
        if r.axes.size(structure) == size:
            r.axes.same(r.axes.structures[name, axis], structure, "attention layout")
            return True
    r.axes.freeze_axes([(name, axis)], "attention layout")
    return False


def recurrent(r: Relations, operator: Operator) -> None:
    """Relate a recurrent cell in one nest over ``(batch, steps, features)``; freeze others."""
    states = [a.tensor for a in operator.accesses if r.tensor(a.tensor).role == "state"]
    x, w = factors_of(operator) if operator.nests else ("", "")
    dims = [{dim for dim, _ in nest.dims} for nest in operator.nests]
    if dims != [set("tdmnk")] or len(r.keys(w)) != 3 or not states:
        r.give_up(operator, "layout of a recurrent cell")
        return
    axes, head = r.axes, nest_name(operator, 0)
    y = output_operand(operator.nests[0])
    directions, features = r.size((w, 0)), r.size((x, 2))
    hidden = r.size((y, 2)) / directions
    gates = r.size((w, 2)) / hidden
    cell: Structure = ((axes.new(hidden, hidden),),)
    if gates not in (1, 3, 4) or features + hidden != r.size((w, 1)):
        r.give_up(operator, "layout of a recurrent cell")
        return
    axes.freeze_axes([(w, 0), (head, "d")], "directions")
    axes.same_axes((w, 0), (head, "d"))
    out = axes.times(cell, axes.structures[w, 0])
    axes.same(axes.structures[y, 2], out)
    axes.same(axes.structures[head, "n"], cell * int(gates))
    axes.same_axes((w, 2), (head, "n"))
    axes.same(axes.structures[w, 1], (*axes.structures[x, 2], *cell))
    axes.same_axes((head, "k"), (w, 1))
    for name in states:
        axes.same(axes.structures[name, 1], out * int(r.size((name, 1)) / r.size((y, 2))))
    for name in operator.reads:
        if r.tensor(name).role == "weight" and name != w:
            axes.same_axes((name, len(r.keys(name)) - 1), (head, "n"))
    for dim, axis in (("m", 0), ("t", 1)):
        axes.same_axes((head, dim), (x, axis), (y, axis))
        axes.freeze_axes([(head, dim)])
    r.widths(operator, (y, 2), (x, 2), (w, 1), (w, 2))
