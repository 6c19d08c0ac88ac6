"""Layers with weights of a table, as circuits: their sizes, and what the design says of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nests import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.kinds.fpga.circuits import Circuit, CircuitConstants
from perfmodel.kinds.fpga.reuse import closest, is_valid, snapped
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.workload.lower import ALWAYS_MAIN, WEIGHT, OperatorTable
from perfmodel.workload.shapes import Nests

#: Classes of operators that there are circuits for.
SUPPORTED = frozenset({
    "gemm", "conv", "grouped", "depthwise", "elementwise", "norm", "softmax", "pool", "copy",
    "resize", "quantise",
})  # fmt: skip

#: Layers of at most so many inputs are narrow: a larger share of their weights needs a multiplier.
_NARROW = 32.0


@dataclass(frozen=True, slots=True)
class CircuitLayers:
    """Layers with weights, in the order of their rows.

    Attributes
    ----------
    rows
        Values of layers -> of rows of the table.
    circuit
        One pixel of each layer, ``(layers, points)``.
    constants
        Of the runtime.
    strategies
        Of each layer.
    frames
        Frames of a run.
    positions
        Output pixels of a frame; 1 for a vector.
    pixels
        Input pixels of a frame.
    parallel
        Pixels side by side.
    window
        Pixels that a convolution reads before its first output.
    line_luts
        Look-up tables that hold the rows of a convolution's window, as shift registers.
    entering_bits
        Bits of a frame of the network's inputs, ``(points,)``.
    """

    rows: RowSums
    circuit: Circuit
    constants: CircuitConstants
    strategies: tuple[str, ...]
    frames: Value
    positions: Value
    pixels: Value
    parallel: Value
    window: Value
    line_luts: Value
    entering_bits: Value


def layers_of(table: OperatorTable, setting: Setting) -> CircuitLayers:
    """Return the layers of a table.

    Raises
    ------
    InputError
        A layer that there is no circuit for, or a reuse factor that the tool refuses.
    """
    nests, xp = table.nests, setting.xp
    assert nests is not None
    check_kinds(table, nests)
    frames = setting.sequences
    inputs = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    outputs = nests.out_channels * nests.groups
    positions = nests.batch * nests.out_rows * nests.out_columns / frames
    vector = nests.kernel_rows * nests.kernel_columns * nests.in_rows * nests.in_columns <= 1.0
    pixels = xp.where(vector, positions, nests.batch * nests.in_rows * nests.in_columns / frames)
    bits = [element_bits([s[i] for s in nests.slots], table.points, setting) for i in range(2)]
    design = f"engines.{setting.engine}.design."
    constants = constants_of("gemm", setting)
    products = inputs * outputs
    nonzeros = xp.minimum(
        given_or("nonzeros", nests, setting, setting.facts[design + "density"] * products), products
    )
    share = xp.where(inputs <= _NARROW, constants.narrow_share, constants.wide_share) * nonzeros
    share = share if setting.relaxed else xp.ceil(share - 1e-9)
    multipliers = xp.minimum(given_or("multipliers", nests, setting, share), nonzeros)
    strategies = tuple(
        setting.choices.get(f"design.layers.{i + 1}.strategy", setting.choices["design.strategy"])
        for i in range(len(nests))
    )
    factor = _factors(nests, setting, strategies, inputs, outputs)
    period = (1.0 - setting.facts[design + "clock_margin"]) / setting.facts[design + "target_clock"]
    in_dsp = 1.0 if setting.choices["design.multiply_in"] == "dsp" else 0.0
    both = setting.fact(design + "sum_bits")
    sums = given_or("sum_bits", nests, setting, bits[0] + bits[1] if both is None else both)
    circuit = Circuit(
        inputs, outputs, nonzeros, multipliers, factor, bits[0], bits[1], sums, in_dsp,
        _slices(bits[0], bits[1], setting), period,
    )  # fmt: skip
    parallel = xp.minimum(given_or("parallel", nests, setting, setting.facts[design + "parallel"]),
                          positions)  # fmt: skip
    lines = (nests.kernel_rows - 1.0) * nests.in_channels * nests.groups * bits[0]
    line_luts = lines * xp.ceil(nests.in_columns / 32.0)
    return CircuitLayers(
        RowSums(nests.row, len(table.rows), xp), circuit, constants, strategies, frames, positions,
        pixels, parallel,
        (nests.kernel_rows - 1.0) * nests.in_columns + nests.kernel_columns - 1.0, line_luts,
        _entering(table, setting),
    )  # fmt: skip


def constants_of(kind: str, setting: Setting) -> CircuitConstants:
    """Return the constants that the runtime states for a class of kernels."""
    head = f"runtime.kernels.{kind}."
    found = {
        n: setting.facts[head + n] for n in CircuitConstants._fields if head + n in setting.facts
    }
    return CircuitConstants(**found)


def given_or(name: str, nests: Nests, setting: Setting, default: Value) -> Value:
    """Return a number of each layer: what the design says of it, else the default."""
    xp = setting.xp
    head = f"engines.{setting.engine}.design.layers."
    said = {
        i: value for i in range(len(nests))
        if (value := setting.facts.get(f"{head}{i + 1}.{name}")) is not None
    }  # fmt: skip
    if not said:
        return default + xp.zeros((len(nests), 1))
    whole = default + xp.zeros((len(nests), 1))
    rows: list[Any] = [said.get(i, whole[i]) for i in range(len(nests))]
    return xp.stack(xp.broadcast_arrays(*(xp.atleast_1d(xp.asarray(row)) for row in rows)))


def _factors(
    nests: Nests, setting: Setting, strategies: tuple[str, ...], inputs: Value, outputs: Value
) -> Value:
    """Return the reuse factor of each layer, as the tool takes it.

    Under ``resource`` a factor of the whole design becomes the nearest valid one, as hls4ml has it;
    one that a layer states itself must be valid.
    """
    xp, head = setting.xp, f"engines.{setting.engine}.design."
    factor = xp.minimum(
        given_or("reuse_factor", nests, setting, setting.facts[head + "reuse_factor"]),
        inputs * outputs,
    )
    places = [i for i, strategy in enumerate(strategies) if strategy == "resource"]
    if not places or xp is not np or setting.relaxed:
        return factor
    faults: list[Fault] = []
    out = np.array(np.broadcast_arrays(factor, inputs, outputs)[0])
    n, m = (np.broadcast_to(v, out.shape) for v in (inputs, outputs))
    for i in places:
        stated = setting.facts.get(f"{head}layers.{i + 1}.reuse_factor")
        if stated is None:
            out[i] = snapped(n[i], m[i], out[i])
            continue
        stated_here = np.broadcast_to(stated, n[i].shape)
        for a, b, r in np.unique(np.stack([n[i], m[i], stated_here]), axis=1).T:
            if not is_valid(round(a), round(b), round(r)):
                faults.append(_refused(i, nests.name[i], (a, b, r), head))
    if faults:
        raise InputError(faults)
    return out


def _refused(place: int, name: str, numbers: tuple[float, float, float], head: str) -> Fault:
    """Return the fault of a reuse factor that the tool refuses, with the nearest valid one."""
    n, m, factor = numbers
    return Fault(
        f"layer {place + 1} ({name}, {n:g} x {m:g}) cannot have a reuse factor of {factor:g}",
        path=f"{head}layers.{place + 1}.reuse_factor",
        expected=f"{closest(round(n), round(m), factor)}, the nearest that is valid",
    )


def _slices(input_bits: Value, weight_bits: Value, setting: Setting) -> Value:
    """Return DSP slices of a multiplier: operands cut to fit either way round."""
    xp, head = setting.xp, f"engines.{setting.engine}.dsp_"
    wide, narrow = setting.facts[head + "wide_bits"], setting.facts[head + "narrow_bits"]

    def pieces(first: Value, second: Value) -> Value:
        return xp.ceil(first / wide - 1e-9) * xp.ceil(second / narrow - 1e-9)

    return xp.minimum(pieces(input_bits, weight_bits), pieces(weight_bits, input_bits))


def _entering(table: OperatorTable, setting: Setting) -> Value:
    """Return the bits of a frame of the network's inputs, held in registers; ``(points,)``."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    if access is None or not len(nests) or setting.choices["design.io"] == "stream":
        return 0.0
    at = nests.access[:, 0]
    first = ((at >= 0) & (access.tensor[at] == ALWAYS_MAIN))[:, None]
    bits = element_bits([s[0] for s in nests.slots], table.points, setting)
    return (first * access.elements[at] * bits).sum(axis=0) / setting.sequences


def check_kinds(table: OperatorTable, nests: Nests) -> None:
    """Refuse layers that there is no circuit for."""
    faults = [
        Fault(f"no circuit for the {row.kind} '{row.name}'", path="model",
              expected="layers that keep no state: dense, convolutions, poolings, activations")
        for row in table.rows if row.kind not in SUPPORTED
    ]  # fmt: skip
    access = table.accesses
    for i, at in enumerate(nests.access[:, 1]):
        if access is not None and at >= 0 and access.tensor[at] != WEIGHT:
            faults.append(
                Fault(f"'{nests.name[i]}' multiplies two activations", path="model",
                      expected="layers whose weights are known when the circuit is made")
            )  # fmt: skip
    if not len(nests):
        faults.append(Fault("the network multiplies by no weight", path="model",
                            expected="at least one dense layer or convolution"))  # fmt: skip
    if faults:
        raise InputError(faults)
