"""Time of attention kernels on a GPU: a prompt's causal blocks, and one new token over a cache.

Both are the FlashAttention algorithm (Dao et al., "FlashAttention", NeurIPS 2022;
"FlashAttention-2", arXiv 2307.08691; Shah et al., "FlashAttention-3", arXiv 2407.08608): scores
stay on chip, a block of query rows meets blocks of keys. What bounds it, beside tensor cores and
memory, is the exponentials: a streaming multiprocessor computes 16 a clock (CUDA C++ Programming
Guide, throughput of native arithmetic instructions), which did not grow with the tensor cores
(Shah et al., section 3.1).
All functions are pure and take numbers or arrays that broadcast.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.tensor_core.tiles import up

#: Exponentials that a streaming multiprocessor starts in a clock.
EXPONENTIALS: Final = 16.0
#: Rows of queries of a block, and its keys: 128 x 128 for heads of 128 (Dao et al.).
BLOCK: Final = 128.0
#: Of the L2's capacity: what repeats of one call still find in it (fitted, see `resident_share`).
REACH: Final = 1.13
_GHZ: Final = 1.8e9


class Chip(NamedTuple):
    """Facts of a device that attention reads, SI."""

    peak: Value
    """Operations a second of the tensor cores in the queries' format."""
    units: Value
    """Streaming multiprocessors."""
    clock: Value
    """Clocks a second."""
    bandwidth: Value
    """Bytes a second of main memory, theoretical."""
    l2_capacity: Value = 0.0
    """Bytes of the last-level cache; read only where a cache is left in it."""
    l2_bandwidth: Value = float("inf")
    """Bytes a second of it."""
    exponentials: Value = EXPONENTIALS
    """That a unit starts in a clock."""


def resident_share(moved_bytes: Value, l2_capacity: Value) -> Value:
    """Return the share of a cache that an L2 still holds when a benchmark repeats one call.

    Nearly all below the capacity, nearly nothing above; the edge is fitted on decode kernels of
    four GPUs (`REACH` of the capacity), which repeat each call.
    """
    return 1.0 / (1.0 + (moved_bytes / (REACH * l2_capacity)) ** 12)


class PrefillKernel(NamedTuple):
    """Constants of a backend's kernel for prompts."""

    launch: Value
    """Seconds beside its work."""
    peak_share: Value
    """Share of the peak in the two products."""
    exp_cost: Value
    """Seconds of exponentials that do not hide behind the products, by those at the full rate;
    above 1 it stands for the rest of the softmax."""
    block_time: Value
    """Seconds of a block of queries beside its products, at 1.8 GHz."""
    bandwidth_share: Value
    """Share of the memory's bandwidth."""
    pnorm: Value
    """Joins arithmetic and memory."""
    slowdown: Value = 1.0
    """Arithmetic takes so many times as long with a cache in 8 bits."""


class PrefillParts(NamedTuple):
    """Seconds of a prefill kernel by cause."""

    products: Value
    exponentials: Value
    longest: Value
    blocks: Value
    memory: Value
    launch: Value
    total: Value


def prefill_parts(
    batch: Value,
    queries: Value,
    keys: Value,
    heads: Value,
    head_dim: Value,
    chip: Chip,
    kernel: PrefillKernel,
    *,
    moved_bytes: Value,
    narrow: Value = False,
    causal: bool = True,
    relaxed: bool = False,
) -> PrefillParts:
    """Return the seconds of attention over prompts, by cause.

    Parameters
    ----------
    batch, queries, keys
        Sequences; new tokens of each; tokens that the last of them sees (itself included).
    heads, head_dim
        Heads of queries, and their size.
    chip, kernel
        Facts of the device; constants of the backend.
    moved_bytes
        Queries, keys and values read, outputs and cache written.
    narrow
        Whether the cache is in 8 bits.
    causal
        A token sees earlier ones alone: whole blocks above the diagonal are skipped.
    relaxed
        Continuous forms of ceilings.

    Notes
    -----
    With ``n = ceil(queries / 128)`` blocks of query rows over keys in blocks of 128::

        pairs    = 128 * 128 * sum over blocks of the key blocks they see
        products = batch heads pairs 4 d / (share peak)
        exps     = batch heads pairs exp_cost / (16 units clock)
        longest  = the last block alone, on one unit
        blocks   = max(batch heads n / units, 1) block_time
        memory   = moved_bytes / (share bandwidth)
        total    = launch + ((max(products + exps, longest) + blocks)^p + memory^p)^(1/p)
    """
    xp = namespace(batch, queries, keys, heads, chip.peak, chip.units, kernel.launch, moved_bytes)
    n = up(queries / BLOCK, xp, relaxed)
    past = (keys - queries) / BLOCK
    past = past if relaxed else xp.ceil(past)
    whole = up(keys / BLOCK, xp, relaxed)
    seen = past * n + n * (n + 1.0) / 2.0 if causal else n * whole
    most = past + n if causal else whole
    pair = BLOCK * BLOCK
    product_rate = kernel.peak_share * chip.peak / (4.0 * head_dim)
    exp_rate = chip.exponentials * chip.units * chip.clock / kernel.exp_cost
    slower = xp.where(narrow, kernel.slowdown, 1.0)
    products = batch * heads * seen * pair / product_rate * slower
    exps = batch * heads * seen * pair / exp_rate * slower
    longest = most * pair * chip.units * (1.0 / product_rate + 1.0 / exp_rate) * slower
    turns = xp.maximum(batch * heads * n / chip.units, 1.0)
    blocks = turns * kernel.block_time * (_GHZ / chip.clock) * slower
    memory = moved_bytes / (kernel.bandwidth_share * chip.bandwidth)
    busy = xp.maximum(products + exps, longest) + blocks
    p = kernel.pnorm
    total = kernel.launch + (busy**p + memory**p) ** (1.0 / p)
    return PrefillParts(products, exps, longest, blocks, memory, kernel.launch, total)


class DecodeKernel(NamedTuple):
    """Constants of a backend's kernel for one new token."""

    launch: Value
    """Seconds beside its work."""
    combine: Value
    """Seconds of joining the parts of a split sequence, for each doubling of its blocks."""
    query_rows: Value
    """Rows of its query tile: the heads that share keys are padded to a multiple."""
    peak_share: Value
    """Share of the peak in the products of a padded tile."""
    exp_cost: Value
    """As of `PrefillKernel`."""
    bandwidth_share: Value
    """Share of the memory's bandwidth with all units reading."""
    ramp: Value
    """Seconds until the memory delivers at that rate."""
    pnorm: Value
    """Joins arithmetic and memory."""
    l2_share: Value = 0.9
    """Share of the L2's bandwidth; read only where a cache is left in it."""
    convert: Value = 0.0
    """Further seconds with a cache in 8 bits: queries are converted first."""


class DecodeParts(NamedTuple):
    """Seconds of a decode kernel by cause."""

    products: Value
    exponentials: Value
    memory: Value
    combine: Value
    launch: Value
    total: Value


def decode_parts(
    batch: Value,
    queries: Value,
    keys: Value,
    heads: Value,
    kv_heads: Value,
    head_dim: Value,
    chip: Chip,
    kernel: DecodeKernel,
    *,
    moved_bytes: Value,
    narrow: Value = False,
    resident: Value = 0.0,
    relaxed: bool = False,
) -> DecodeParts:
    """Return the seconds of attention of new tokens over a cache, by cause.

    Parameters
    ----------
    batch, queries, keys
        Sequences; new tokens of each (one); tokens that it sees, itself included.
    heads, kv_heads, head_dim
        Heads of queries, of keys and values, and their size.
    chip, kernel
        Facts of the device; constants of the backend.
    moved_bytes
        Of the cache, and the little beside it.
    narrow
        Whether the cache is in 8 bits.
    resident
        Share of the cache that the L2 still holds from before: `resident_share`. Nothing in
        serving; a benchmark that repeats one call may leave all of a small one.
    relaxed
        Continuous forms of ceilings.

    Notes
    -----
    Flash-decoding (Dao et al., "Flash-Decoding for long-context inference", 2023) splits the
    sequence until all units read; the parts are joined after. Heads of a group share their keys, in
    a tile of query rows that is padded to ``r``::

        r        = query_rows ceil(queries heads / kv_heads / query_rows)
        products = batch kv_heads r keys 4 d / (share peak)
        exps     = batch kv_heads r keys exp_cost / (16 units clock)
        memory   = bytes / (share bandwidth) + ramp bytes / (bytes + ramp bandwidth)
        total    = launch + combine log2(blocks) + ((products + exps)^p + memory^p)^(1/p)
    """
    xp = namespace(batch, queries, keys, heads, chip.peak, chip.units, kernel.launch, moved_bytes)
    tile = kernel.query_rows
    rows = tile * up(queries * heads / kv_heads / tile, xp, relaxed)
    pairs = batch * kv_heads * rows * keys
    products = pairs * 4.0 * head_dim / (kernel.peak_share * chip.peak)
    exps = pairs * kernel.exp_cost / (chip.exponentials * chip.units * chip.clock)
    ramp = kernel.ramp * moved_bytes / (moved_bytes + kernel.ramp * chip.bandwidth)
    near = moved_bytes / (kernel.l2_share * chip.l2_bandwidth)
    far = moved_bytes / (kernel.bandwidth_share * chip.bandwidth)
    memory = resident * near + (1.0 - resident) * far + ramp
    combine = kernel.combine * xp.log2(xp.maximum(keys / BLOCK, 1.0))
    launch = kernel.launch + xp.where(narrow, kernel.convert, 0.0)
    p = kernel.pnorm
    total = launch + combine + ((products + exps) ** p + memory**p) ** (1.0 / p)
    return DecodeParts(products, exps, memory, combine, launch, total)
