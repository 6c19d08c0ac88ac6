"""Energy of a row-stationary array by component, and run-length coding of feature maps.

``energy = sum over levels of words * joules per word + products * joules per product + clocks *
joules per clock``, with the words of `counts` (Chen, Emer and Sze, ISCA 2016). Feature maps may
cross to main memory in the run-length code of the chip (Chen et al., JSSC 52(1), 2017).
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.counts import RowCounts

#: Names of the components, nearest first.
PARTS = ("multiply-accumulate", "scratchpads", "array wires", "global buffer", "clock network")


class AccessEnergy(NamedTuple):
    """Joules of one product, of a word at each level, and of a clock."""

    mac: Value
    scratchpad: Value
    array: Value
    buffer: Value
    clock: Value


def scratchpad_words(counts: RowCounts, product_share: Value) -> Value:
    """Return words read from and written to scratchpads.

    ``macs * (3 + product_share)``: per product the input, the filter, and the partial sum read and
    written (Chen, Emer and Sze, ISCA 2016). Gating keeps `product_share` of the filter reads; zeros
    are detected by reading the input, and the sum is still passed on.
    """
    return counts.macs * (3.0 + product_share)


def energy_parts(
    counts: RowCounts, each: AccessEnergy, clocks: Value, *, product_share: Value, fill: Value = 0.0
) -> dict[str, Value]:
    """Return component -> joules.

    Parameters
    ----------
    counts
        Counts of one execution.
    each
        Energy of one access.
    clocks
        Clocks of the whole execution, waits included.
    product_share
        Share of the products that are computed: 1 minus the share of zero inputs, where gated.
    fill
        Words between buffer and main memory.
    """
    return {
        "multiply-accumulate": counts.macs * product_share * each.mac,
        "scratchpads": scratchpad_words(counts, product_share) * each.scratchpad,
        "array wires": counts.array_words * each.array,
        "global buffer": (counts.buffer_input + counts.buffer_sum + fill) * each.buffer,
        "clock network": clocks * each.clock,
    }


#: A 64-bit word contains three pairs of a 5-bit run of zeros and a 16-bit value (Chen et al., JSSC
#: 52(1), 2017): four thirds of a 16-bit word per non-zero value.
RLC_WORDS_A_VALUE = 64.0 / 3.0 / 16.0


def compressed_words(words: Value, counted: Value, zeros: Value) -> Value:
    """Return 16-bit words of a run-length coded feature map, or of the plain one if smaller.

    ``min(words, (1 - zeros) * counted * 4 / 3)`` (Chen et al., JSSC 52(1), 2017).

    Parameters
    ----------
    words
        Words of the feature map.
    counted
        Words to which the share of zeros refers: with padding, if that was counted.
    zeros
        Share of zeros. Runs of more than 31 zeros, which require an extra pair, are neglected: at
        90 % zeros, evenly distributed, they add 4 %.
    """
    xp = namespace(words, counted, zeros)
    return xp.minimum(words, (1.0 - zeros) * counted * RLC_WORDS_A_VALUE)
