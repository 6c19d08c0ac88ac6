"""Loop nests of a table as products of an array: output channels, summed elements, tokens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests


class BitSerialGemms(NamedTuple):
    """Products ``C[tokens, outer] += A[tokens, inner] B[inner, outer]``, `groups` of each.

    Every number has shape ``(nests, points)`` or ``(nests, 1)``, and is of one group.

    Attributes
    ----------
    groups
        Products alike: KV heads, groups of a convolution, experts.
    outer, inner, tokens
        Extents; `inner` counts the taps of a window.
    weight_bytes, input_bytes, output_bytes
        Bytes of each operand; 0 where it does not leave the kernel.
    serial_bits, input_bits
        Bits of a weight as it meets the array, and of an input.
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


def products(table: OperatorTable, nests: Nests, setting: Setting) -> BitSerialGemms:
    """Return every nest of a table as a product on the engine's array."""
    xp = setting.xp
    slots = [tuple(s[i] for s in nests.slots) for i in range(3)]
    serial = element_bits(slots[1], table.points, setting)
    attention = np.array([kind == "attention" for kind in nests.kind])[:, None]
    limit = setting.fact(f"engines.{setting.engine}.attention_bits")
    bytes_of = [slot_bytes(s, table.points, setting) for s in slots]
    if limit is not None:
        # Keys and values meet the array in fewer bits; a cache holds what the precision says.
        serial = xp.where(attention, xp.minimum(serial, limit), serial)
    there = (nests.access >= 0).astype(float)
    taps = nests.kernel_rows * nests.kernel_columns
    positions = nests.batch * nests.out_rows * nests.out_columns
    inner = nests.in_channels * taps
    found = BitSerialGemms(
        nests.groups, nests.out_channels, inner, positions,
        nests.out_channels * inner * bytes_of[1] * there[:, 1:2],
        nests.batch * nests.in_channels * nests.in_rows * nests.in_columns * bytes_of[0]
        * there[:, :1],
        nests.out_channels * positions * bytes_of[2] * there[:, 2:],
        serial, element_bits(slots[0], table.points, setting),
    )  # fmt: skip
    if setting.choices["joined_heads"] and attention.any():
        return _joined(found, nests, attention, bytes_of)
    return found


def _joined(
    p: BitSerialGemms, nests: Nests, attention: Value, bytes_of: list[Value]
) -> BitSerialGemms:
    """Return products with the heads of attention laid out as one matrix.

    A query of one head is a row as wide as all heads, zero outside of its own; scores are weights
    of all heads at once. Both products leave the array and come back.
    """
    # The second product of an attention has scores for inputs: they have no access of their own.
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
        p.serial_bits, p.input_bits,
    )  # fmt: skip
    return BitSerialGemms(*(where(attention, x, z) for x, z in zip(one, p, strict=True)))
