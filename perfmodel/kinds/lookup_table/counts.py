"""Look-ups, tables and their bytes: products of few-bit weights without multiplications.

Wei et al., "T-MAC: CPU Renaissance via Table Lookup for Low-Bit LLM Deployment on Edge", EuroSys
2025 (arXiv 2407.00088), on the shuffles of a CPU; Qiao et al., "TeLLMe v2", FPGA 2026 (arXiv
2510.15926), in fabric. `docs/lookup_table.md` has the equations.
"""

from __future__ import annotations

import math

from perfmodel.arrays import Value, namespace


def passes(bits: Value, *, ternary: bool = False, relaxed: bool = False) -> Value:
    """Return passes over the outputs: one per bit plane, one for ternary weights as a whole."""
    xp = namespace(bits)
    if ternary:
        return bits * 0.0 + 1.0
    return xp.maximum(bits if relaxed else xp.ceil(bits - 1e-9), 1.0)


def blocks(k: Value, group: Value, *, relaxed: bool = False) -> Value:
    """Return groups of activations that a table each is built for: ``ceil(k / group)``."""
    xp = namespace(k, group)
    return k / group if relaxed else xp.ceil(k / group - 1e-9)


def index_bits(group: Value, *, ternary: bool = False, relaxed: bool = False) -> Value:
    """Return bits of the index of one look-up: ``ceil(log2(3**g))``, or g of a bit plane."""
    xp = namespace(group)
    if not ternary:
        return group
    found = group * math.log2(3.0)
    return found if relaxed else xp.ceil(found - 1e-9)


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
    """Return bytes of one plane of ``k * n`` weights as they come from memory.

    Indices of one output for all `tables` make a vector; a transfer takes as many whole vectors as
    fit, the rest of it is empty (TeLLMe v2: five of 28 x 5 bits in 96 bytes).

    Parameters
    ----------
    k, n
        Summed elements and outputs.
    group, tables
        Activations a table, tables side by side.
    transfer
        Bytes of a transfer.
    index
        Bits of an index.
    """
    xp = namespace(k, n, group, tables, transfer, index)
    vectors = blocks(k, group * tables, relaxed=relaxed) * n
    fit = 8.0 * transfer / (tables * index)
    if relaxed:
        return vectors / fit * transfer
    # A vector wider than a transfer takes several.
    whole = xp.floor(fit + 1e-9)
    several = xp.ceil(1.0 / xp.minimum(fit, 1.0) - 1e-9)
    return (
        xp.where(whole >= 1.0, xp.ceil(vectors / xp.maximum(whole, 1.0) - 1e-9), vectors * several)
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
    activations fills the tables, then every output reads all of them, `reads` outputs a clock; the
    next set is summed up behind that.

    Parameters
    ----------
    m, k, n
        Rows of activations, summed elements, outputs.
    planes
        Passes, of `passes`.
    group, tables, reads
        Activations a table; tables side by side; look-ups a clock in each.
    build
        Clocks from one set of tables to the next.

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
    """Return vector instructions a multiply-accumulate of look-ups by shuffles.

    ``bits * instructions / (group * outputs)``: an instruction (TBL, PSHUFB) looks up `outputs`
    sums of `group` weights of one bit; with what it needs around it it is `instructions`.
    """
    return bits * instructions / (group * outputs)


def uram_columns(tables: Value, index: Value) -> Value:
    """Return UltraRAM blocks side by side for one vector of indices: ``ceil(tables index / 72)``.

    TeLLMe v2 has ``tables = floor(72 columns / index)`` the other way round.
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
    """Return UltraRAM blocks that hold the indices of the largest matrix (TeLLMe v2, equation 5).

    ``ceil(y / reads * ceil(x / (group * tables)) / 4096) * columns * reads / 2``: 4096 words of 72
    bits each, two ports.

    Parameters
    ----------
    x, y
        Larger and smaller extent of the matrix, padded to multiples of ``group * tables``.
    columns
        Blocks side by side for one vector of indices, of `uram_columns`.
    copies
        2 where one buffer fills while the other is read.
    """
    xp = namespace(x, y, group, tables, reads, columns)
    deep = xp.ceil(y / reads * blocks(x, group * tables) / 4096.0 - 1e-9)
    return copies * deep * columns * reads / 2.0
