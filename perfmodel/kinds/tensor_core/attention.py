"""Time of attention kernels on a GPU: causal blocks of a prompt, and new tokens over a cache.

Both are the FlashAttention algorithm (Dao et al., "FlashAttention", NeurIPS 2022;
"FlashAttention-2", arXiv 2307.08691; Shah et al., "FlashAttention-3", arXiv 2407.08608): scores
stay on chip, a block of query rows iterates over blocks of keys. Besides tensor cores and memory,
exponentials can be the bottleneck: a streaming multiprocessor computes 16 per clock (CUDA C++
Programming Guide, throughput of native arithmetic instructions), a rate that did not grow with the
tensor cores (Shah et al., section 3.1). All functions are pure and accept numbers or arrays that
broadcast.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.tensor_core.tiles import up

#: Exponentials that a streaming multiprocessor starts per clock.
EXPONENTIALS: Final = 16.0
#: Query rows of a block, and its keys: 128 x 128 for heads of 128 (Dao et al.).
BLOCK: Final = 128.0
#: Effective L2 capacity for repeats of one call, as a share (fitted, see `resident_share`).
REACH: Final = 1.13
_GHZ: Final = 1.8e9


class Chip(NamedTuple):
    """Facts of a device that the attention model reads, in SI units."""

    peak: Value
    """Operations per second of the tensor cores in the queries' format."""
    units: Value
    """Streaming multiprocessors."""
    clock: Value
    """Clocks per second."""
    bandwidth: Value
    """Bytes per second of main memory, theoretical."""
    l2_capacity: Value = 0.0
    """Bytes of the last-level cache; only used where a KV cache may stay in it."""
    l2_bandwidth: Value = float("inf")
    """Bytes per second of the last-level cache."""
    exponentials: Value = EXPONENTIALS
    """Exponentials that a unit starts per clock."""


def resident_share(moved_bytes: Value, l2_capacity: Value) -> Value:
    """Return the share of a KV cache still in the L2 when a benchmark repeats one call.

    ``1 / (1 + (moved / (REACH * capacity))**12)``: nearly 1 below the capacity, nearly 0 above; the
    edge was fitted to decode kernels of four GPUs, in benchmarks that repeat each call.
    """
    return 1.0 / (1.0 + (moved_bytes / (REACH * l2_capacity)) ** 12)


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
    kernel: KernelConstants,
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
        Number of sequences; new tokens of each; tokens that the last one attends to, itself
        included.
    heads, head_dim
        Heads of queries, and their size.
    chip, kernel
        Facts of the device; constants of the backend (`TensorCoreKernel`).
    moved_bytes
        Bytes of queries, keys and values read, outputs and cache written.
    narrow
        Whether the cache is in 8 bits.
    causal
        Whether a token attends to earlier ones only: full blocks above the diagonal are skipped.
    relaxed
        Use continuous forms of ceilings.

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
    key_blocks = up(keys / BLOCK, xp, relaxed)
    seen = past * n + n * (n + 1.0) / 2.0 if causal else n * key_blocks
    most = past + n if causal else key_blocks
    pair = BLOCK * BLOCK
    product_rate = kernel.peak_share * chip.peak / (4.0 * head_dim)
    exp_rate = chip.exponentials * chip.units * chip.clock / kernel.exp_cost
    slower = xp.where(narrow, kernel.narrow_slowdown, 1.0)
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
    kernel: KernelConstants,
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
        Number of sequences; new tokens of each (one); tokens that it attends to, itself included.
    heads, kv_heads, head_dim
        Heads of queries, of keys and values, and their size.
    chip, kernel
        Facts of the device; constants of the backend (`TensorCoreKernel`).
    moved_bytes
        Bytes of the cache, and of the small remainder.
    narrow
        Whether the cache is in 8 bits.
    resident
        Share of the cache that is already in the L2: `resident_share`. 0 in serving; up to 1 in a
        benchmark that repeats one call with a small cache.
    relaxed
        Use continuous forms of ceilings.

    Notes
    -----
    Flash-decoding (Dao et al., "Flash-Decoding for long-context inference", 2023) splits the
    sequence until all units read; the parts are combined afterwards. Heads of a group share their
    keys, in a tile of query rows padded to ``r``::

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
    launch = kernel.launch + xp.where(narrow, kernel.narrow_launch, 0.0)
    p = kernel.pnorm
    total = launch + combine + ((products + exps) ** p + memory**p) ** (1.0 / p)
    return DecodeParts(products, exps, memory, combine, launch, total)
