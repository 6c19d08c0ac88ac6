"""Tiled traffic of attention in closed form: fused in both loop orders, and unfused.

One problem is a key-value head with the `sharing` query heads that read it: ``L = sharing x rows``
query rows attend to `keys` keys. In the fused forms the scores never leave the buffer; a row in
progress holds its query, its unscaled output and the softmax's running maximum and sum:

| outer loop | footprint | traffic |
|---|---|---|
| queries | t rows, e keys, t scores | Q + O + (K + V) L/t |
| keys | t keys, e rows, t scores | K + V + Q n + O + 2 (n - 1) L (accumulators + state) |

(n = keys/t; quotients are rounded up; e = 2 if streamed operands are double-buffered). Under a
causal mask, keys after the last position of a block of queries are not read, nor are queries before
the first key of a block of keys. The first form is that of FlashAttention-2 (Dao,
arXiv:2307.08691), the second that of FlashAttention (Dao et al., arXiv:2205.14135), each with its
best tile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.pointwise import fill_unknown, flat, floor_unless_relaxed, tile_count
from perfmodel.cost.traffic.two_tile import SLACK, TINY

#: Names of the codes in `AttentionTraffic.form`.
FORMS = ("query outer", "key outer", "unfused")
#: Bytes of the softmax state per row: maximum and sum, 32 bits each.
STATE = 8.0
CHUNK = 8192


@dataclass(frozen=True, slots=True)
class AttentionTraffic:
    """Traffic of all heads under the best tile; every field has the shape of the points.

    Attributes
    ----------
    total
        Bytes across the boundary; infinite where one row and one key do not fit.
    query, key, value, output
        Parts of the total; `output` includes accumulators and softmax state written out and read
        back.
    scores
        Bytes of scores and probabilities written and read (unfused only).
    partial_reads
        Bytes of `output` and `scores` that are accumulators, softmax state or partial sums read
        back.
    tile_rows, tile_keys
        Query rows (of all sharing heads together) and keys per tile; 1 for the streamed operand.
        NaN where unfused.
    form
        Loop order, an index into `FORMS`.
    """

    total: Value
    query: Value
    key: Value
    value: Value
    output: Value
    scores: Value
    partial_reads: Value
    tile_rows: Value
    tile_keys: Value
    form: Value


class _Attention(NamedTuple):
    """Sizes, capacity and bytes per element of attention problems, as in `attention_traffic`."""

    rows: Value
    keys: Value
    head: Value
    value_head: Value
    sharing: Value
    capacity: Value
    query: Value
    key: Value
    value: Value
    output: Value
    accumulator: Value
    score: Value


def attention_traffic(
    rows: Value,
    keys: Value,
    head: Value,
    value_head: Value,
    capacity: Value,
    *,
    sharing: Value = 1.0,
    heads: Value = 1.0,
    query: Value = 2.0,
    key: Value = 2.0,
    value: Value = 2.0,
    output: Value = 2.0,
    accumulator: Value = 4.0,
    score: Value = 4.0,
    causal: bool = False,
    fused: bool = True,
    score_passes: Value = 1.0,
    conventions: Conventions | None = None,
    relaxed: bool = False,
) -> AttentionTraffic:
    """Return the traffic of attention across the boundary of a buffer under its best tile.

    Parameters
    ----------
    rows, keys
        Number of query positions, and of the key positions that they attend to; decode has one row.
    head, value_head
        Size of a query or key head, and of a value head.
    capacity
        Bytes of the buffer. Every argument up to `score` may be an array; they broadcast.
    sharing
        Number of query heads that read the same keys and values: 1 for multi-head attention, more
        for grouped-query attention.
    heads
        Number of key-value heads times the batch: independent problems.
    query, key, value, output, accumulator, score
        Bytes per element; `accumulator` of an output partial sum, `score` of a score or a
        probability.
    causal
        Whether row i of the last `rows` positions reads only keys up to itself. Fused forms skip
        masked pairs by whole tiles; the unfused form computes and transfers all scores.
    fused
        If false, two batched GEMMs with the scores crossing the boundary between them.
    score_passes
        Unfused only: number of times the scores are read and rewritten between the two GEMMs; 1
        for a softmax in one kernel.
    conventions
        Buffering; attention has no halo, and its tiles are even.
    relaxed
        Whether tiles and counts are real numbers; differentiable.

    Returns
    -------
    AttentionTraffic
        Traffic of all heads in bytes, and the tile.
    """
    conventions = Conventions() if conventions is None else conventions
    columns = (
        rows,
        keys,
        head,
        value_head,
        sharing,
        capacity,
        query,
        key,
        value,
        output,
        accumulator,
        score,
    )
    xp = namespace(*columns, heads, score_passes)
    arguments, shape = flat(xp, (*columns, heads, score_passes))
    problem = _Attention(*arguments[:-2])
    if fused:
        nowhere = xp.zeros_like(problem.rows) > 0
        best = fill_unknown(
            xp,
            nowhere,
            (*(0.0,) * 9, 0),
            problem,
            lambda *c: _fused(xp, _Attention(*c), conventions.copies, causal, relaxed),
            CHUNK,
        )
    else:
        best = _unfused(xp, problem, arguments[-1], conventions, relaxed)
    *parts, tile_rows, tile_keys, form = best
    parts = [part * arguments[-2] for part in parts]
    return AttentionTraffic(*(c.reshape(shape) for c in (*parts, tile_rows, tile_keys, form)))


def _fused(xp: Any, a: _Attention, copies: float, causal: bool, relaxed: bool) -> tuple[Value, ...]:
    """Return the fields of `AttentionTraffic` under the better loop order."""
    available = a.capacity * (1 + SLACK)
    key_bytes = a.head * a.key + a.value_head * a.value
    query_bytes = a.head * a.query
    state_bytes = a.value_head * a.accumulator + STATE
    row_bytes = query_bytes + a.value_head * a.accumulator + STATE
    rows = a.sharing * a.rows
    # Query outer: as many rows as fit with the streamed keys. A single key does not stream.
    streamed = xp.where(a.keys > 1, copies, 1.0)
    most_rows = (available - streamed * key_bytes) / (row_bytes + a.score)
    most_rows = floor_unless_relaxed(most_rows, relaxed)
    query_outer_fits = xp.where(a.keys > 1, most_rows >= 1, most_rows >= rows)
    most_rows = xp.maximum(1.0, most_rows)
    tile_rows, keys_read = (_causal_blocks if causal else _blocks)(xp, a, most_rows, relaxed)
    # Key outer: as many keys as fit with the streamed rows.
    tile_keys = (available - copies * row_bytes) / (key_bytes + a.score + TINY)
    tile_keys = floor_unless_relaxed(tile_keys, relaxed)
    key_outer_fits = (tile_keys >= 1) & ((rows > 1) | (copies == 1.0))
    tile_keys = xp.minimum(a.keys, xp.maximum(1.0, tile_keys))
    rows_reread = _key_passes(xp, a, tile_keys, causal, relaxed) - rows
    # Traffic of either order in excess of the compulsory traffic.
    more_keys = xp.where(query_outer_fits, (keys_read - a.keys) * key_bytes, xp.inf)
    more_rows = xp.where(key_outer_fits, rows_reread * (query_bytes + 2.0 * state_bytes), xp.inf)
    is_query_outer = more_keys <= more_rows
    keys_read = xp.where(is_query_outer, keys_read, a.keys)
    rows_reread = xp.where(is_query_outer, 0.0, rows_reread)
    query = (rows + rows_reread) * a.head * a.query
    key, value = keys_read * a.head * a.key, keys_read * a.value_head * a.value
    partial_reads = rows_reread * state_bytes
    output = rows * a.value_head * a.output + 2.0 * partial_reads
    total = query + key + value + output
    traffic = (total, query, key, value, output, xp.zeros_like(query), partial_reads)
    fits = query_outer_fits | key_outer_fits
    return (
        *(xp.where(fits, part, xp.inf) for part in traffic),
        xp.where(is_query_outer, tile_rows, 1.0),
        xp.where(is_query_outer, 1.0, tile_keys),
        xp.where(is_query_outer, 0, 1),
    )


def _blocks(xp: Any, a: _Attention, most_rows: Value, relaxed: bool) -> tuple[Value, Value]:
    """Return the rows per block and the total number of keys that all blocks read."""
    rows = a.sharing * a.rows
    tile = xp.minimum(rows, most_rows)
    return tile, a.keys * tile_count(rows, tile, relaxed)


def _causal_blocks(xp: Any, a: _Attention, most: Value, relaxed: bool) -> tuple[Value, Value]:
    """Return the rows per block and the total keys that all blocks read under a causal mask.

    A block consists of p positions of some of the sharing heads. Block i of n reads the keys up to
    its last position, ``n (keys - rows) + p n (n - 1) / 2 + rows`` keys in total. Candidates on a
    leading axis divide the heads into 1 to 4 pieces, or take 1 to 4 heads, or as many as fit.
    """
    few = xp.arange(1.0, 5.0)[:, None]
    most = most + xp.zeros_like(a.sharing)
    if relaxed:
        heads = xp.stack([xp.minimum(a.sharing, most), xp.ones_like(most)])
    else:
        split = xp.ceil(a.sharing / few)
        heads = xp.concatenate([split, few + xp.zeros_like(most), most[None]])
        heads = xp.minimum(xp.minimum(heads, a.sharing), most)
    positions = xp.minimum(a.rows, floor_unless_relaxed(most / heads, relaxed))
    n = tile_count(a.rows, positions, relaxed)
    balanced = a.rows / n if relaxed else xp.ceil(a.rows / n)
    read = n * xp.maximum(a.keys - a.rows, 0.0) + balanced * n * (n - 1.0) / 2.0 + a.rows
    read = read * tile_count(a.sharing, heads, relaxed)
    best = (xp.argmin(read, axis=0), xp.arange(read.shape[1]))
    return (heads * balanced)[best], read[best]


def _key_passes(xp: Any, a: _Attention, tile: Value, causal: bool, relaxed: bool) -> Value:
    """Return the total number of query rows that all blocks of keys read.

    Under a causal mask, a block that starts at key s is read by the positions from
    ``s - (keys - rows)`` onwards.
    """
    n = tile_count(a.keys, tile, relaxed)
    if not causal:
        return a.sharing * a.rows * n
    past = xp.maximum(a.keys - a.rows, 0.0)
    early = xp.minimum(n, floor_unless_relaxed(past / tile, relaxed) + 1.0)
    starts = tile * (n * (n - 1.0) - early * (early - 1.0)) / 2.0
    return a.sharing * (a.rows * early + (n - early) * a.keys - starts)


def _unfused(
    xp: Any, a: _Attention, score_passes: Value, conventions: Conventions, relaxed: bool
) -> tuple[Value, ...]:
    """Return the fields of `AttentionTraffic` for two GEMMs and the softmax passes between them."""
    even = replace(conventions, allocation="even")
    rows = a.sharing * a.rows
    first = gemm_traffic(
        TileNest.product(rows, a.keys, a.head),
        a.capacity,
        Widths(a.query, a.key, a.score, a.accumulator),
        even,
        relaxed=relaxed,
    )
    second = gemm_traffic(
        TileNest.product(rows, a.value_head, a.keys),
        a.capacity,
        Widths(a.score, a.value, a.output, a.accumulator),
        even,
        relaxed=relaxed,
    )
    between = 2.0 * score_passes * rows * a.keys * a.score
    scores = first.output + between + second.input
    total = first.total + between + second.total
    partial = first.partial_reads + second.partial_reads
    nan = xp.full_like(total, xp.nan)
    return (
        total,
        first.input,
        first.weight,
        second.weight,
        second.output,
        scores,
        partial,
        nan,
        nan,
        xp.full(total.shape, 2),
    )
