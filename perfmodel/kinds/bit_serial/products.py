"""Loop nests of a table as matrix products for an array that processes weights bit by bit.

A nest becomes ``C[tokens, outer] += A[tokens, inner] B[inner, outer]``: tokens are positions, outer
the output channels, inner the channels and taps that are summed. The kind `bit_serial` counts the
clocks of these products (`counts`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.bit_serial.spec import BitSerialArray
from perfmodel.workload.nest_table import Nests


class BitSerialGemms(NamedTuple):
    """Products ``C[tokens, outer] += A[tokens, inner] B[inner, outer]``, `groups` of each.

    Every number has shape ``(nests, points)`` or ``(nests, 1)``, and is that of one group.

    Attributes
    ----------
    groups
        Number of equal products: KV heads, groups of a convolution, experts.
    outer, inner, tokens
        Extents; `inner` counts the taps of a window.
    weight_bytes, input_bytes, output_bytes
        Bytes of each operand; 0 where it stays within the kernel.
    serial_bits, input_bits
        Bits of a weight as processed by the array, and of an input.
    """

    groups: Value
    outer: Value
    inner: Value
    tokens: Value
    weight_bytes: Value
    input_bytes: Value
    output_bytes: Value
    serial_bits: Value
    input_bits: Value


def products(run: NestRun, engine: BitSerialArray) -> BitSerialGemms:
    """Return every nest of a table as a product on the engine's array."""
    nests, (x, w, y), (reads, loads, writes) = run.nests, run.widths, run.there
    serial, attention = run.bits(1), run.is_kind("attention")
    if engine.attention_bits is not None:
        # The array may process fewer bits of keys and values than the cache stores.
        fewer = run.xp.minimum(serial, engine.attention_bits)
        serial = run.xp.where(attention, fewer, serial)
    gemms = BitSerialGemms(
        nests.groups,
        nests.out_channels,
        nests.summed,
        nests.positions,
        nests.out_channels * nests.summed * w * loads,
        nests.inputs * x * reads,
        nests.out_channels * nests.positions * y * writes,
        serial,
        run.bits(0),
    )
    if engine.joined_heads and attention.any():
        return _heads_as_one_matrix(gemms, nests, attention, run.widths)
    return gemms


def _heads_as_one_matrix(
    p: BitSerialGemms, nests: Nests, attention: Value, bytes_of: tuple[Value, Value, Value]
) -> BitSerialGemms:
    """Return products with the heads of attention laid out as one matrix.

    The query of one head is a row as wide as all heads, zero outside its own; the scores act as
    weights of all heads at once. Both products are written to memory and read back.
    """
    # The second product of an attention reads scores, which are no access to memory.
    second = np.array(
        [bool(a) and int(at) < 0 for a, at in zip(attention[:, 0], nests.access[:, 0], strict=True)]
    )[:, None]
    first = attention & ~second
    a, w, y = bytes_of
    heads = p.groups * nests.batch
    queries = p.tokens / nests.batch
    where = namespace(*p, *bytes_of).where
    one = BitSerialGemms(
        p.groups * 0.0 + 1.0,
        where(first, p.outer, where(second, heads * queries, p.outer)),
        where(first, heads * p.inner, p.inner),
        where(first, heads * queries, where(second, p.outer, p.tokens)),
        where(first, p.outer * heads * p.inner * w, heads * queries * p.inner * a),
        where(first, heads * queries * p.groups * p.inner * a, p.inner * p.groups * p.outer * w),
        where(first, heads * queries * p.outer * y, heads * queries * p.outer * y),
        p.serial_bits,
        p.input_bits,
    )
    return BitSerialGemms(*(where(attention, x, z) for x, z in zip(one, p, strict=True)))
