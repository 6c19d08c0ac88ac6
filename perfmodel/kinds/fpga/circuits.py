"""Clocks and resources of one layer implemented as a dedicated circuit, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018, and the tool's generated code; `docs/fpga.md` has the equations and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.fpga.fabric import blocks_18k
from perfmodel.kinds.fpga.reuse import multiplier_limit


class Circuit(NamedTuple):
    """A matrix-vector product with weights known at synthesis; numbers, or arrays.

    Attributes
    ----------
    inputs, outputs
        Inputs (products per output), and outputs.
    nonzeros
        Non-zero weights.
    multipliers
        Weights whose product requires a multiplier; the others are shifted and added.
    factor
        Reuse factor: products per multiplier and input vector.
    input_bits, weight_bits, sum_bits
        Bits of the factors and of their sums.
    in_dsp
        1 where multipliers are DSP slices, 0 where they are look-up tables.
    slices
        DSP slices per multiplier.
    period
        Clock period that the tool schedules for, in seconds, margin deducted.
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
    """Latency, interval and resources of a layer.

    Attributes
    ----------
    clocks
        Latency from input to output, clocks.
    interval
        Initiation interval: clocks from one input to the next.
    lut, ff, dsp, bram
        Amount of each resource.
    """

    clocks: Value
    interval: Value
    lut: Value
    ff: Value
    dsp: Value
    bram: Value


def _rounding_functions(relaxed: bool, xp: object) -> tuple[Callable[[Value], Value], ...]:
    """Return ``round`` and ``ceil``, or identities if relaxed."""
    if relaxed:
        return (lambda v: v), (lambda v: v)
    lib: Value = xp
    return (lambda v: lib.floor(v + 0.5)), (lambda v: lib.ceil(v - 1e-9))


def latency_strategy(c: Circuit, k: KernelConstants, *, relaxed: bool = False) -> Amounts:
    """Return the cost of a layer under the strategy ``latency``: all loops unrolled.

    With ``n`` inputs, ``m`` outputs, ``z`` non-zero weights, ``N`` of which require a multiplier,
    and the reuse factor ``R``: sums are a tree of ``round(log2(z / m))`` levels of one clock each,
    or above `chained_beyond` products a chain of adders. There are at most
    ``min(N, ceil(n m / R) - floor((n m - z) / R))`` multipliers; products that share one run in
    sequence.
    """
    xp = namespace(*c, *k.stated.values())
    nearest, ceil = _rounding_functions(relaxed, xp)
    terms = xp.maximum(c.nonzeros / c.outputs, 1.0)
    levels = xp.log2(terms)
    tree = xp.maximum(nearest(levels), 1.0)
    chain = xp.maximum(nearest(terms * k.adder_delay / c.period), 1.0)
    chained = c.inputs * c.outputs > k.chained_beyond
    limit = multiplier_limit(c.inputs, c.outputs, c.nonzeros, c.factor, relaxed=relaxed)
    multipliers = xp.minimum(c.multipliers, limit)
    shared = c.multipliers > multipliers
    # A multiplier slower than a clock is pipelined; so is a single shared one, with selectors.
    cut = xp.where(k.multiplier_delay > c.period, k.multiplier_clocks, 0.0)
    single = xp.where(shared & (multipliers <= 1.0), k.shared_clocks, 0.0)
    sums = xp.where(chained, chain, tree + c.in_dsp * cut)
    drain = xp.maximum(nearest(k.drain_share * levels - k.drain_levels), 0.0)
    turns = ceil(c.multipliers / xp.maximum(multipliers, 1e-9))
    serial = turns + drain + c.in_dsp * xp.maximum(cut, single)
    clocks = xp.maximum(sums, xp.where(shared, serial, 0.0))
    interval = xp.minimum(c.factor, clocks + 1.0)
    bits = c.sum_bits
    lut = (
        bits
        * (
            k.sum_luts * c.nonzeros
            + k.output_luts * c.outputs
            + k.select_luts * (c.multipliers - multipliers)
        )
        + (1.0 - c.in_dsp) * k.product_luts * c.input_bits * c.weight_bits * multipliers
    )
    ff = bits * ((k.sum_ffs + k.early_ffs / interval) * c.nonzeros + k.output_ffs * c.outputs)
    return Amounts(
        clocks + k.base_clocks,
        interval,
        lut,
        ff,
        c.in_dsp * multipliers * c.slices,
        0.0 * multipliers,
    )


def output_register_clocks(amounts: Amounts, k: KernelConstants) -> Value:
    """Return clocks of the output register of a multi-stage circuit at an interval of 1."""
    xp = namespace(*amounts, k.register_clocks)
    return xp.where((amounts.interval <= 1.0) & (amounts.clocks > 1.0), k.register_clocks, 0.0)


def resource_strategy(c: Circuit, k: KernelConstants, *, relaxed: bool = False) -> Amounts:
    """Return the cost of a layer under the strategy ``resource``: a loop of ``R`` iterations.

    Weights are read from memory blocks, ``ceil(n m / R)`` per clock, so that zeros save nothing;
    the loop starts one iteration per clock, and the sums of the last one drain through the adder
    tree.
    """
    xp = namespace(*c, *k.stated.values())
    _, ceil = _rounding_functions(relaxed, xp)
    multipliers = ceil(c.inputs * c.outputs / c.factor)
    cut = xp.where(k.multiplier_delay > c.period, k.multiplier_clocks, 0.0)
    tree = ceil(xp.log2(xp.maximum(multipliers / c.outputs, 1.0))) + 1.0
    clocks = c.factor + tree + c.in_dsp * cut + k.base_clocks
    bits = c.sum_bits
    lut = (
        bits * (k.sum_luts * multipliers + k.output_luts * c.outputs)
        + (1.0 - c.in_dsp) * k.product_luts * c.input_bits * c.weight_bits * multipliers
    )
    # Multipliers of an iteration that take the same input share its selection (the index runs
    # over the inputs in steps of the reuse factor, for each output alike).
    turns = xp.minimum(c.factor, c.inputs)
    lut = lut + k.select_luts * c.input_bits * (turns - 1.0) * ceil(c.inputs / turns)
    ff = bits * (k.sum_ffs * multipliers + k.output_ffs * c.outputs)
    stored = blocks_18k(c.factor, multipliers * c.weight_bits, relaxed=relaxed)
    bram = xp.where(c.factor > 1.0, stored, 0.0)
    return Amounts(
        clocks, c.factor + 0.0 * clocks, lut, ff, c.in_dsp * multipliers * c.slices, bram
    )
