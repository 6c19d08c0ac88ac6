"""Seconds of fused attention kernels on a GPU: prompts (prefill), and new tokens over a KV cache.

Both kernels are FlashAttention (Dao et al., "FlashAttention", NeurIPS 2022; "FlashAttention-2",
arXiv 2307.08691; Shah et al., "FlashAttention-3", arXiv 2407.08608): scores stay on chip, and a
thread block of 128 query rows iterates over blocks of 128 keys. Three resources limit them: the
tensor cores, main memory, and the special function units, as a streaming multiprocessor computes 16
exponentials per clock (CUDA C++ Programming Guide, throughput of native arithmetic instructions), a
rate that did not grow with the tensor cores (Shah et al., section 3.1).

`prefill_parts` and `decode_parts` state the equations; both are pure and accept numbers or arrays
that broadcast. `perfmodel.kinds.tensor_core.attention_rows` calls them for the rows of an operator
table.
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
#: Share of the L2's capacity at which half of a KV cache stays in it; see `resident_share`.
HALF_RESIDENT: Final = 1.13
#: Clock in Hz at which runtimes state `TensorCoreKernel.block_time`.
_BLOCK_TIME_CLOCK: Final = 1.8e9


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


class AttentionExtents(NamedTuple):
    """Extents of one attention; numbers, or arrays that broadcast."""

    batch: Value
    """Number of sequences."""
    queries: Value
    """New tokens of each sequence."""
    keys: Value
    """Tokens to which the last new token attends, including itself."""
    heads: Value
    """Heads of queries."""
    kv_heads: Value
    """Heads of keys and values."""
    head_dim: Value
    """Elements of a head."""


def resident_share(moved_bytes: Value, l2_capacity: Value) -> Value:
    """Return the share of a KV cache still in the L2 when a benchmark repeats one call.

    ``1 / (1 + (moved_bytes / (1.13 capacity))^12)``: nearly 1 below the L2's capacity, nearly 0
    above. Both constants are empirical, fitted to the decode kernels of four GPUs in the data set
    ``gpu_attention``, a benchmark that repeats each call; they do not model a replacement policy.
    """
    return 1.0 / (1.0 + (moved_bytes / (HALF_RESIDENT * l2_capacity)) ** 12)


class PrefillParts(NamedTuple):
    """Seconds of a prefill kernel by cause; `prefill_parts` has the equations."""

    products: Value
    """Products on the tensor cores."""
    exponentials: Value
    """Exponentials on the special function units."""
    longest: Value
    """Arithmetic of the last block, which attends to the most keys."""
    blocks: Value
    """Constant time per block of queries."""
    memory: Value
    """Main memory."""
    launch: Value
    """Launch of the kernel."""
    total: Value
    """The kernel, from launch to end."""


def prefill_parts(
    extents: AttentionExtents,
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
    extents
        Extents of the attention.
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
    With d the head size, n blocks of query rows, and units and clock (Hz) those of the chip, in
    seconds::

        n        = ceil(queries / 128)
        past     = ceil((keys - queries) / 128)          blocks of keys before the prompt
        seen     = past n + n (n + 1) / 2                pairs of blocks; n ceil(keys / 128) if
                                                         not causal
        most     = past + n                              blocks of keys of the last query block
        pair_s   = 128^2 (4 d / (peak_share peak) + exp_cost / (16 units clock))
        products = batch heads seen 128^2 4 d / (peak_share peak) s
        exps     = batch heads seen 128^2 exp_cost / (16 units clock) s
        longest  = most units pair_s s                   the last block, on one unit
        blocks   = max(batch heads n / units, 1) block_time (1.8 GHz / clock) s
        memory   = moved_bytes / (bandwidth_share bandwidth)
        total    = launch + ((max(products + exps, longest) + blocks)^p + memory^p)^(1/p)

    A pair of a query and a key takes 4 d operations, two products of d multiply-accumulates each.
    The slowdown s is `narrow_slowdown` with an 8-bit cache, else 1.
    """
    batch, queries, keys, heads, _, head_dim = extents
    xp = namespace(batch, queries, keys, heads, chip.peak, chip.units, kernel.launch, moved_bytes)
    n = up(queries / BLOCK, xp, relaxed)
    past = (keys - queries) / BLOCK
    past = past if relaxed else xp.ceil(past)
    key_blocks = up(keys / BLOCK, xp, relaxed)
    seen = past * n + n * (n + 1.0) / 2.0 if causal else n * key_blocks
    most = past + n if causal else key_blocks
    block_pairs = BLOCK * BLOCK
    product_rate = kernel.peak_share * chip.peak / (4.0 * head_dim)
    exp_rate = chip.exponentials * chip.units * chip.clock / kernel.exp_cost
    slowdown = xp.where(narrow, kernel.narrow_slowdown, 1.0)
    products = batch * heads * seen * block_pairs / product_rate * slowdown
    exps = batch * heads * seen * block_pairs / exp_rate * slowdown
    longest = most * block_pairs * chip.units * (1.0 / product_rate + 1.0 / exp_rate) * slowdown
    blocks_per_unit = xp.maximum(batch * heads * n / chip.units, 1.0)
    blocks = blocks_per_unit * kernel.block_time * (_BLOCK_TIME_CLOCK / chip.clock) * slowdown
    memory = moved_bytes / (kernel.bandwidth_share * chip.bandwidth)
    busy = xp.maximum(products + exps, longest) + blocks
    p = kernel.pnorm
    total = kernel.launch + (busy**p + memory**p) ** (1.0 / p)
    return PrefillParts(products, exps, longest, blocks, memory, kernel.launch, total)


class DecodeParts(NamedTuple):
    """Seconds of a decode kernel by cause; `decode_parts` has the equations."""

    products: Value
    """Products on the tensor cores."""
    exponentials: Value
    """Exponentials on the special function units."""
    memory: Value
    """Main memory and L2."""
    combine: Value
    """Combination of the parts of a sequence that were computed separately."""
    launch: Value
    """Launch of the kernel."""
    total: Value
    """The kernel, from launch to end."""


def decode_parts(
    extents: AttentionExtents,
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
    extents
        Extents of the attention.
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
    keys, in a tile of query rows padded to a multiple of `query_rows`. With d the head size, in
    seconds::

        rows     = query_rows ceil(queries heads / kv_heads / query_rows)
        pairs    = batch kv_heads rows keys
        products = pairs 4 d / (peak_share peak)
        exps     = pairs exp_cost / (16 units clock)
        near     = moved_bytes / (l2_share l2_bandwidth)
        far      = moved_bytes / (bandwidth_share bandwidth)
        start    = ramp moved_bytes / (moved_bytes + ramp bandwidth)
        memory   = resident near + (1 - resident) far + start
        combine  = combine_time log2(max(keys / 128, 1))
        launch   = kernel_launch + (narrow_launch with an 8-bit cache, else 0)
        total    = launch + combine + ((products + exps)^p + memory^p)^(1/p)

    Few bytes do not reach the full bandwidth: `start` grows with their number from 0 to `ramp`
    seconds. `combine_time` and `kernel_launch` are the constants `combine` and `launch` of the
    backend.
    """
    batch, queries, keys, heads, kv_heads, head_dim = extents
    xp = namespace(batch, queries, keys, heads, chip.peak, chip.units, kernel.launch, moved_bytes)
    tile = kernel.query_rows
    rows = tile * up(queries * heads / kv_heads / tile, xp, relaxed)
    pairs = batch * kv_heads * rows * keys
    products = pairs * 4.0 * head_dim / (kernel.peak_share * chip.peak)
    exps = pairs * kernel.exp_cost / (chip.exponentials * chip.units * chip.clock)
    start = kernel.ramp * moved_bytes / (moved_bytes + kernel.ramp * chip.bandwidth)
    near = moved_bytes / (kernel.l2_share * chip.l2_bandwidth)
    far = moved_bytes / (kernel.bandwidth_share * chip.bandwidth)
    memory = resident * near + (1.0 - resident) * far + start
    combine = kernel.combine * xp.log2(xp.maximum(keys / BLOCK, 1.0))
    launch = kernel.launch + xp.where(narrow, kernel.narrow_launch, 0.0)
    p = kernel.pnorm
    total = launch + combine + ((products + exps) ** p + memory**p) ** (1.0 / p)
    return DecodeParts(products, exps, memory, combine, launch, total)
