"""Run-length compression of feature maps on their way to and from main memory."""

from __future__ import annotations

from perfmodel.arrays import Value, namespace

#: A 64-bit word holds three pairs of a 5-bit run of zeros and a 16-bit value (Chen et al., JSSC
#: 52(1), 2017): four thirds of a 16-bit word for each value that is not zero.
RLC_WORDS_A_VALUE = 64.0 / 3.0 / 16.0


def compressed_words(words: Value, counted: Value, zeros: Value) -> Value:
    """Return 16-bit words of a run-length coded feature map, or of the plain one if that is less.

    Parameters
    ----------
    words
        Words of the feature map.
    counted
        Words that the share of zeros refers to: with padding, where that was counted.
    zeros
        Share of zeros. Runs beyond 31 zeros, which need a pair of their own, are left out: at 90 %
        zeros, spread evenly, they add 4 %.
    """
    xp = namespace(words, counted, zeros)
    return xp.minimum(words, (1.0 - zeros) * counted * RLC_WORDS_A_VALUE)
