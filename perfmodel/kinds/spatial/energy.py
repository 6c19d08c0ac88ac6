"""Energy of a row-stationary array by part, from the energy of one access at each level."""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.kinds.spatial.counts import RowCounts

#: Names of the parts, nearest first.
PARTS = ("multiply-accumulate", "scratchpads", "array wires", "global buffer", "clock network")


class AccessEnergy(NamedTuple):
    """Joule of one product, of a word at each level, and of a clock."""

    mac: Value
    scratchpad: Value
    array: Value
    buffer: Value
    clock: Value


def scratchpad_words(counts: RowCounts, kept: Value) -> Value:
    """Return words read from and written to scratchpads.

    Four a product: input, filter, and the partial sum read and written (Chen, Emer and Sze, ISCA
    2016). Gating keeps `kept` of the filter reads; a zero is found by reading the input, and its
    sum still passes.
    """
    return counts.macs * (3.0 + kept)


def energy_parts(
    counts: RowCounts, each: AccessEnergy, clocks: Value, *, kept: Value, fill: Value = 0.0
) -> dict[str, Value]:
    """Return part -> joule.

    Parameters
    ----------
    counts
        Of one execution.
    each
        Energy of one access.
    clocks
        Clocks of the whole execution, waiting included.
    kept
        Share of the products that are made: 1 less the share of zero inputs, where those are gated.
    fill
        Words between buffer and main memory.
    """
    return {
        "multiply-accumulate": counts.macs * kept * each.mac,
        "scratchpads": scratchpad_words(counts, kept) * each.scratchpad,
        "array wires": counts.array_words * each.array,
        "global buffer": (counts.buffer_input + counts.buffer_sum + fill) * each.buffer,
        "clock network": clocks * each.clock,
    }
