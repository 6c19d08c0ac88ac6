"""Look-ups, tables and bytes of products with few-bit weights, without multiplications.

Wei et al., "T-MAC: CPU Renaissance via Table Lookup for Low-Bit LLM Deployment on Edge", EuroSys
2025 (arXiv 2407.00088), for the shuffles of a CPU; Qiao et al., "TeLLMe v2", FPGA 2026 (arXiv
2510.15926), for tables in fabric. `docs/lookup_table.md` has the equations.
"""

from __future__ import annotations

import math

from perfmodel.arrays import Value, namespace


def passes(bits: Value, *, ternary: bool = False, relaxed: bool = False) -> Value:
    """Return passes over the outputs: one per bit plane, a single one for ternary weights."""
    xp = namespace(bits)
    if ternary:
        return bits * 0.0 + 1.0
    return xp.maximum(bits if relaxed else xp.ceil(bits - 1e-9), 1.0)


def blocks(k: Value, group: Value, *, relaxed: bool = False) -> Value:
    """Return groups of activations, each with one table: ``ceil(k / group)``."""
    xp = namespace(k, group)
    return k / group if relaxed else xp.ceil(k / group - 1e-9)


def index_bits(group: Value, *, ternary: bool = False, relaxed: bool = False) -> Value:
    """Return index bits of a look-up: ``ceil(log2(3**g))`` if ternary, ``g`` of a bit plane."""
    xp = namespace(group)
    if not ternary:
        return group
    bits = group * math.log2(3.0)
    return bits if relaxed else xp.ceil(bits - 1e-9)


def packed_bytes(
    k: Value,
    n: Value,
    *,
    group: Value,
    tables: Value,
    transfer: Value,
    index: Value,
    relaxed: bool = False,
) -> Value:
    """Return bytes of one plane of ``k * n`` weights as transferred from memory.

    The indices of one output for all `tables` form a vector; a transfer contains as many whole
    vectors as fit, and padding (TeLLMe v2: five vectors of 28 x 5 bits in 96 bytes).

    Parameters
    ----------
    k, n
        Summed elements and outputs.
    group, tables
        Activations per table, and parallel tables.
    transfer
        Bytes per transfer.
    index
        Bits per index.
    """
    xp = namespace(k, n, group, tables, transfer, index)
    vectors = blocks(k, group * tables, relaxed=relaxed) * n
    fit = 8.0 * transfer / (tables * index)
    if relaxed:
        return vectors / fit * transfer
    # A vector wider than a transfer requires several.
    per_transfer = xp.floor(fit + 1e-9)
    several = xp.ceil(1.0 / xp.minimum(fit, 1.0) - 1e-9)
    return (
        xp.where(
            per_transfer >= 1.0,
            xp.ceil(vectors / xp.maximum(per_transfer, 1.0) - 1e-9),
            vectors * several,
        )
        * transfer
    )


def engine_clocks(
    m: Value,
    k: Value,
    n: Value,
    planes: Value,
    *,
    group: Value,
    tables: Value,
    reads: Value,
    build: Value = 0.0,
    relaxed: bool = False,
) -> Value:
    """Return clocks of a product on tables in fabric.

    ``m * planes * ceil(k / (tables * group)) * max(ceil(n / reads), build)``: each set of
    activations fills the tables, then every output reads all of them, `reads` outputs per clock,
    while the sums of the next set are built.

    Parameters
    ----------
    m, k, n
        Rows of activations, summed elements, outputs.
    planes
        Passes, as returned by `passes`.
    group, tables, reads
        Activations per table; parallel tables; look-ups per clock in each.
    build
        Least number of clocks from one set of tables to the next.

    Notes
    -----
    ``matrix = 2 * macs / peak``
        products whose weights the tables do not take

    ``look_up = cycles / clock``
        Qiao et al., TeLLMe v2, arXiv 2510.15926

    ``attention = macs / (attention_macs * clock)``
        Qiao et al., TeLLMe v2, arXiv 2510.15926
    """
    xp = namespace(m, k, n, planes, group, tables, reads, build)
    sets = n / reads
    over = xp.maximum(sets, 1.0) if relaxed else xp.ceil(sets - 1e-9)
    inner = blocks(k, group * tables, relaxed=relaxed)
    return m * planes * (xp.maximum(inner, 1.0) if relaxed else inner) * xp.maximum(over, build)


def instructions_per_mac(bits: Value, group: Value, outputs: Value, instructions: Value) -> Value:
    """Return vector instructions per multiply-accumulate by look-ups with shuffles.

    ``bits * instructions / (group * outputs)``: one shuffle (TBL, PSHUFB) looks up `outputs` sums
    of `group` one-bit weights, at a cost of `instructions` including the instructions around it.
    """
    return bits * instructions / (group * outputs)


def uram_columns(tables: Value, index: Value) -> Value:
    """Return parallel UltraRAM blocks for one vector of indices: ``ceil(tables index / 72)``.

    TeLLMe v2 solves it for the tables: ``tables = floor(72 columns / index)``.
    """
    xp = namespace(tables, index)
    return xp.ceil(tables * index / 72.0 - 1e-9)


def uram_blocks(
    x: Value,
    y: Value,
    *,
    group: Value,
    tables: Value,
    reads: Value,
    columns: Value,
    copies: Value = 1.0,
) -> Value:
    """Return UltraRAM blocks for the indices of the largest matrix (TeLLMe v2, equation 5).

    ``ceil(y / reads * ceil(x / (group * tables)) / 4096) * columns * reads / 2``: 4096 words of 72
    bits each, two ports.

    Parameters
    ----------
    x, y
        Larger and smaller extent of the matrix, padded to multiples of ``group * tables``.
    columns
        Parallel blocks for one vector of indices, from `uram_columns`.
    copies
        2 with double buffering.
    """
    xp = namespace(x, y, group, tables, reads, columns)
    depth_blocks = xp.ceil(y / reads * blocks(x, group * tables) / 4096.0 - 1e-9)
    return copies * depth_blocks * columns * reads / 2.0
