"""Clocks and resources of one layer that is a circuit of its own, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018, and what the tool writes; `docs/fpga.md` has the equations and their constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.kinds.fpga.blocks import blocks_18k
from perfmodel.kinds.fpga.reuse import multiplier_limit


class CircuitConstants(NamedTuple):
    """What a tool's circuits cost; the defaults are those of perfect logic.

    Fields as in `FpgaKernel`.
    """

    sum_luts: Value = 1.0
    output_luts: Value = 0.0
    product_luts: Value = 1.0
    select_luts: Value = 0.0
    interval_luts: Value = 0.0
    sum_ffs: Value = 1.0
    early_ffs: Value = 0.0
    output_ffs: Value = 0.0
    narrow_share: Value = 1.0
    wide_share: Value = 1.0
    base_clocks: Value = 0.0
    register_clocks: Value = 0.0
    level_delay: Value = 0.0
    adder_delay: Value = 0.0
    chained_beyond: Value = 1e18
    multiplier_delay: Value = 0.0
    multiplier_clocks: Value = 0.0
    shared_clocks: Value = 0.0
    drain_share: Value = 1.0
    drain_levels: Value = 0.0


class Circuit(NamedTuple):
    """A matrix-vector product with weights known when it is made; numbers, or arrays.

    Attributes
    ----------
    inputs, outputs
        Products of one output, and outputs.
    nonzeros
        Weights that are not zero.
    multipliers
        Weights whose product needs a multiplier: others are shifted and added.
    factor
        Reuse factor.
    input_bits, weight_bits, sum_bits
        Bits of the factors, and of their sums.
    in_dsp
        1 where multipliers are DSP slices, 0 where they are look-up tables.
    slices
        DSP slices of one multiplier.
    period
        Seconds of a clock that the tool schedules for, its margin taken off.
    """

    inputs: Value
    outputs: Value
    nonzeros: Value
    multipliers: Value
    factor: Value
    input_bits: Value
    weight_bits: Value
    sum_bits: Value
    in_dsp: Value
    slices: Value
    period: Value


class Amounts(NamedTuple):
    """What a layer costs.

    Attributes
    ----------
    clocks
        From its input to its output.
    interval
        Clocks from one input to the next.
    lut, ff, dsp, bram
        Amounts of each resource.
    """

    clocks: Value
    interval: Value
    lut: Value
    ff: Value
    dsp: Value
    bram: Value


def _rounding(relaxed: bool, xp: object) -> tuple[Callable[[Value], Value], ...]:
    """Return ``round`` and ``ceil``, which leave a number as it is where relaxed."""
    if relaxed:
        return (lambda v: v), (lambda v: v)
    lib: Value = xp
    return (lambda v: lib.floor(v + 0.5)), (lambda v: lib.ceil(v - 1e-9))


def latency_strategy(c: Circuit, k: CircuitConstants, *, relaxed: bool = False) -> Amounts:
    """Return what a layer costs under the strategy ``latency``: all loops unrolled.

    Sums are a tree of ``round(log2(z / m))`` levels, a clock each; beyond `chained_beyond` products
    they are a chain of adders. Multipliers are as few as ``min(N, ceil(n m / R) - floor(zeros /
    R))``; products that share one follow each other.
    """
    xp = namespace(*c, *k)
    whole, ceil = _rounding(relaxed, xp)
    terms = xp.maximum(c.nonzeros / c.outputs, 1.0)
    levels = xp.log2(terms)
    tree = xp.maximum(whole(levels), 1.0)
    chain = xp.maximum(whole(terms * k.adder_delay / c.period), 1.0)
    chained = c.inputs * c.outputs > k.chained_beyond
    limit = multiplier_limit(c.inputs, c.outputs, c.nonzeros, c.factor, relaxed=relaxed)
    made = xp.minimum(c.multipliers, limit)
    shared = c.multipliers > made
    # A multiplier that does not fit a clock is cut in stages; so is one alone, with selectors.
    cut = xp.where(k.multiplier_delay > c.period, k.multiplier_clocks, 0.0)
    alone = xp.where(shared & (made <= 1.0), k.shared_clocks, 0.0)
    sums = xp.where(chained, chain, tree + c.in_dsp * cut)
    drain = xp.maximum(whole(k.drain_share * levels - k.drain_levels), 0.0)
    turns = ceil(c.multipliers / xp.maximum(made, 1e-9))
    serial = turns + drain + c.in_dsp * xp.maximum(cut, alone)
    clocks = xp.maximum(sums, xp.where(shared, serial, 0.0))
    interval = xp.minimum(c.factor, clocks + 1.0)
    bits = c.sum_bits
    lut = (
        bits
        * (
            k.sum_luts * c.nonzeros
            + k.output_luts * c.outputs
            + k.select_luts * (c.multipliers - made)
        )
        + (1.0 - c.in_dsp) * k.product_luts * c.input_bits * c.weight_bits * made
    )
    ff = bits * ((k.sum_ffs + k.early_ffs / interval) * c.nonzeros + k.output_ffs * c.outputs)
    return Amounts(
        clocks + k.base_clocks, interval, lut, ff, c.in_dsp * made * c.slices, 0.0 * made
    )


def registered(made: Amounts, k: CircuitConstants) -> Value:
    """Return clocks of the register behind a circuit of several stages at an interval of 1."""
    xp = namespace(*made, k.register_clocks)
    return xp.where((made.interval <= 1.0) & (made.clocks > 1.0), k.register_clocks, 0.0)


def resource_strategy(c: Circuit, k: CircuitConstants, *, relaxed: bool = False) -> Amounts:
    """Return what a layer costs under the strategy ``resource``: a loop of ``R`` turns.

    Weights are read from memory blocks, ``ceil(n m / R)`` a clock, so that zeros save nothing; the
    loop starts a turn a clock, and the sums of the last one drain.
    """
    xp = namespace(*c, *k)
    _, ceil = _rounding(relaxed, xp)
    made = ceil(c.inputs * c.outputs / c.factor)
    cut = xp.where(k.multiplier_delay > c.period, k.multiplier_clocks, 0.0)
    tree = ceil(xp.log2(xp.maximum(made / c.outputs, 1.0))) + 1.0
    clocks = c.factor + tree + c.in_dsp * cut + k.base_clocks
    bits = c.sum_bits
    lut = (
        bits * (k.sum_luts * made + k.output_luts * c.outputs)
        + (1.0 - c.in_dsp) * k.product_luts * c.input_bits * c.weight_bits * made
    )
    # Each multiplier picks its input among those of its turns.
    lut = lut + k.select_luts * c.input_bits * (xp.minimum(c.factor, c.inputs) - 1.0) * made
    ff = bits * (k.sum_ffs * made + k.output_ffs * c.outputs)
    stored = blocks_18k(c.factor, made * c.weight_bits, relaxed=relaxed)
    bram = xp.where(c.factor > 1.0, stored, 0.0)
    return Amounts(clocks, c.factor + 0.0 * clocks, lut, ff, c.in_dsp * made * c.slices, bram)
