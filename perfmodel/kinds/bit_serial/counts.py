"""Clocks and bytes of a product on an array that processes few bits of each weight per clock.

Chen et al., "BitMoD: Bit-serial Mixture-of-Datatype LLM Acceleration", HPCA 2025, and the simulator
published with it (bitmod_sim); term skipping after Albericio et al., "Bit-Pragmatic Deep Neural
Network Computing", MICRO 2017. `docs/bit_serial.md` has the equations.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace

#: Terms of the widest operand: 64 bits, one per clock.
_MOST_TERMS = 64


class Fetches(NamedTuple):
    """Number of times that a product's operands are fetched from main memory.

    Attributes
    ----------
    weights, inputs
        Fetches of all weights, and of all inputs.
    total_bytes
        Bytes of both.
    """

    weights: Value
    inputs: Value
    total_bytes: Value


def terms(bits: Value, bits_a_clock: Value, *, relaxed: bool = False) -> Value:
    """Return terms per weight: ``ceil(floor(bits) / bits_a_clock)``, at least 1.

    Parameters
    ----------
    bits
        Bits of a weight.
    bits_a_clock
        Bits processed per clock: 2 for Booth's recoding, 1 for plain bits, 16 or more for arrays
        that decode a word at once.
    relaxed
        Omit the rounding.
    """
    xp = namespace(bits, bits_a_clock)
    if relaxed:
        return xp.maximum(bits / bits_a_clock, 1.0)
    return xp.maximum(xp.ceil(xp.floor(bits + 1e-9) / bits_a_clock - 1e-9), 1.0)


def most_terms(count: Value, density: Value, together: Value) -> Value:
    """Return the expected maximum of non-zero terms among weights that advance in lock step.

    Each of `count` terms is non-zero with probability `density`; `together` weights wait for the
    one with the most: ``sum over t < count of 1 - P(at most t terms)**together``, at least 1.

    Parameters
    ----------
    count
        Terms of a weight; a number or an array, not necessarily integral.
    density
        Probability that a term is non-zero, above 0 and at most 1.
    together
        Weights in lock step.

    Notes
    -----
    The maximum of independent binomial variables; at a density of 1 it is `count`.
    """
    xp = namespace(count, density, together)
    # Cumulative probability of at most 0, 1, 2 ... terms, by the recurrence of binomials.
    absent = xp.maximum(1.0 - density, 1e-12)
    chance = absent**count
    below: Value = 0.0
    mean: Value = 0.0
    for t in range(_MOST_TERMS):
        below = below + chance
        left = xp.clip(count - t, 0.0, 1.0)
        mean = mean + left * (1.0 - xp.clip(below, 0.0, 1.0) ** together)
        chance = chance * xp.maximum(count - t, 0.0) / (t + 1.0) * density / absent
    return xp.clip(mean, 1.0, xp.maximum(count, 1.0))


def clocks_a_step(term_clocks: Value, lanes: Value, group: Value, dequantise: Value) -> Value:
    """Return clocks for an element to process `lanes` weights, dequantisation included.

    ``max(terms, dequantise * lanes / group)``: the scale of one group is applied bit by bit while
    the next group is multiplied, which costs time only for short groups.
    """
    xp = namespace(term_clocks, lanes, group, dequantise)
    return xp.maximum(term_clocks, dequantise * lanes / group)


def array_steps(
    outer: Value,
    inner: Value,
    tokens: Value,
    rows: Value,
    columns: Value,
    lanes: Value,
    *,
    folds: Value = 1.0,
    relaxed: bool = False,
) -> Value:
    """Return steps of the array for one product, in its best shape.

    ``ceil(inner / lanes) * ceil(outer / (rows / f)) * ceil(tokens / (columns * f))``, the minimum
    over f = 1, 2, 4 ... up to `folds`, where folded rows become further columns.

    Parameters
    ----------
    outer, inner, tokens
        Output channels, summed elements, rows of the input matrix.
    rows, columns, lanes
        Elements along output channels and along tokens; parallel products in an element.
    folds
        Largest number of parts that the rows may be split into.
    relaxed
        Omit ceilings, and keep the shape as stated.

    Notes
    -----
    ``matrix = cycles / clock``
        Chen et al., BitMoD, HPCA 2025
    """
    xp = namespace(outer, inner, tokens, rows, columns, lanes, folds)
    if relaxed:
        # A dimension that is not filled still costs one step.
        return (
            xp.maximum(inner / lanes, 1.0)
            * xp.maximum(outer / rows, 1.0)
            * xp.maximum(tokens / columns, 1.0)
        )
    best: Value = None
    for power in range(5):
        f = 2.0**power
        folded_rows = xp.maximum(xp.floor(rows / f + 1e-9), 1.0)
        steps = xp.ceil(outer / folded_rows - 1e-9) * xp.ceil(tokens / (columns * f) - 1e-9)
        best = steps if best is None else xp.where(f <= folds, xp.minimum(best, steps), best)
    return xp.ceil(inner / lanes - 1e-9) * best


def fetches(
    weight_bytes: Value,
    input_bytes: Value,
    weight_room: Value,
    input_room: Value,
    *,
    relaxed: bool = False,
) -> Fetches:
    """Return the number of fetches of each operand, also where neither fits its buffer.

    Either all weights once per part of the inputs that fits, or all inputs once per part of the
    weights; the cheaper one: ``min(ceil(I / room_I) * W + I, ceil(W / room_W) * I + W)`` bytes.
    """
    xp = namespace(weight_bytes, input_bytes, weight_room, input_room)

    def parts(size: Value, room: Value) -> Value:
        ratio = size / room
        return xp.maximum(ratio if relaxed else xp.ceil(ratio - 1e-9), 1.0)

    again_weights = parts(input_bytes, input_room)
    again_inputs = parts(weight_bytes, weight_room)
    first = again_weights * weight_bytes + input_bytes
    second = again_inputs * input_bytes + weight_bytes
    cheaper = first < second
    return Fetches(
        xp.where(cheaper, again_weights, 1.0),
        xp.where(cheaper, 1.0, again_inputs),
        xp.minimum(first, second),
    )
