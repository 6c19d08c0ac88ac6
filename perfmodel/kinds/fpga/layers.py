"""Layers with weights of a table, as circuits: their sizes, and what the design says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nests import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.view import or_else
from perfmodel.kinds.fpga.circuits import Circuit, CircuitConstants
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow, LayerDesign
from perfmodel.kinds.fpga.reuse import closest, is_valid, snapped
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.workload.lower import ALWAYS_MAIN, WEIGHT, OperatorTable
from perfmodel.workload.shapes import Nests

S = TypeVar("S", bound=Spec)

#: Classes of operators that there are circuits for.
SUPPORTED = frozenset(
    {
        "gemm",
        "conv",
        "grouped",
        "depthwise",
        "elementwise",
        "norm",
        "softmax",
        "pool",
        "copy",
        "resize",
        "quantise",
    }
)

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
    design = setting.inside(Dataflow, "design")
    each = layer_designs(LayerDesign, nests, setting)
    frames = setting.sequences
    inputs, outputs = nests.summed, nests.out_channels * nests.groups
    positions = nests.positions / frames
    vector = nests.taps * nests.in_rows * nests.in_columns <= 1.0
    pixels = xp.where(vector, positions, nests.batch * nests.in_rows * nests.in_columns / frames)
    bits = [element_bits([s[i] for s in nests.slots], table.points, setting) for i in range(2)]
    constants = constants_of("gemm", setting)
    products = inputs * outputs
    stated = [layer.nonzeros for layer in each]
    nonzeros = xp.minimum(stated_or(stated, design.density * products, xp), products)
    share = xp.where(inputs <= _NARROW, constants.narrow_share, constants.wide_share) * nonzeros
    share = share if setting.relaxed else xp.ceil(share - 1e-9)
    multipliers = stated_or([layer.multipliers for layer in each], share, xp)
    multipliers = xp.minimum(multipliers, nonzeros)
    strategies = tuple(or_else(layer.strategy, design.strategy) for layer in each)
    factor = _factors(nests, setting, design, each, strategies, inputs, outputs)
    period = (1.0 - design.clock_margin) / or_else(design.target_clock, setting.clock)
    in_dsp = 1.0 if design.multiply_in == "dsp" else 0.0
    both = or_else(design.sum_bits, bits[0] + bits[1])
    sums = stated_or([layer.sum_bits for layer in each], both, xp)
    circuit = Circuit(
        inputs,
        outputs,
        nonzeros,
        multipliers,
        factor,
        bits[0],
        bits[1],
        sums,
        in_dsp,
        _slices(bits[0], bits[1], setting),
        period,
    )
    parallel = stated_or([layer.parallel for layer in each], design.parallel, xp)
    parallel = xp.minimum(parallel, positions)
    lines = (nests.kernel_rows - 1.0) * nests.in_channels * nests.groups * bits[0]
    line_luts = lines * xp.ceil(nests.in_columns / 32.0)
    return CircuitLayers(
        RowSums(nests.row, len(table.rows), xp),
        circuit,
        constants,
        strategies,
        frames,
        positions,
        pixels,
        parallel,
        (nests.kernel_rows - 1.0) * nests.in_columns + nests.kernel_columns - 1.0,
        line_luts,
        _entering(table, setting, design),
    )


def constants_of(kind: str, setting: Setting) -> CircuitConstants:
    """Return the constants that the runtime states for a class of kernels."""
    kernel = setting.kernel(kind, FpgaKernel)
    stated = {name: getattr(kernel, name) for name in CircuitConstants._fields}
    return CircuitConstants(**{name: value for name, value in stated.items() if value is not None})


def layer_designs(model: type[S], nests: Nests, setting: Setting) -> list[S]:
    """Return what the design says of each layer with weights, by the class that declares it."""
    return [setting.inside(model, "design", "layers", str(i + 1)) for i in range(len(nests))]


def stated_or(stated: Sequence[Value], default: Value, xp: Any) -> Value:
    """Return a number of each layer: what the design says of it, else the default."""
    whole = default + xp.zeros((len(stated), 1))
    if all(value is None for value in stated):
        return whole
    rows = [or_else(value, whole[i]) for i, value in enumerate(stated)]
    return xp.stack(xp.broadcast_arrays(*(xp.atleast_1d(xp.asarray(row)) for row in rows)))


def _factors(
    nests: Nests,
    setting: Setting,
    design: Dataflow,
    each: Sequence[LayerDesign],
    strategies: tuple[str, ...],
    inputs: Value,
    outputs: Value,
) -> Value:
    """Return the reuse factor of each layer, as the tool takes it.

    Under ``resource`` a factor of the whole design becomes the nearest valid one, as hls4ml has it;
    one that a layer states itself must be valid.
    """
    xp = setting.xp
    factors = [layer.reuse_factor for layer in each]
    factor = xp.minimum(stated_or(factors, design.reuse_factor, xp), inputs * outputs)
    places = [i for i, strategy in enumerate(strategies) if strategy == "resource"]
    if not places or xp is not np or setting.relaxed:
        return factor
    faults: list[Fault] = []
    out = np.array(np.broadcast_arrays(factor, inputs, outputs)[0])
    n, m = (np.broadcast_to(v, out.shape) for v in (inputs, outputs))
    for i in places:
        stated = cast("Value", factors[i])
        if stated is None:
            out[i] = snapped(n[i], m[i], out[i])
            continue
        stated_here = np.broadcast_to(stated, n[i].shape)
        for a, b, r in np.unique(np.stack([n[i], m[i], stated_here]), axis=1).T:
            if not is_valid(round(a), round(b), round(r)):
                faults.append(_refused(i, nests.name[i], (a, b, r), setting.engine_name))
    if faults:
        raise InputError(faults)
    return out


def _refused(place: int, name: str, numbers: tuple[float, float, float], engine: str) -> Fault:
    """Return the fault of a reuse factor that the tool refuses, with the nearest valid one."""
    n, m, factor = numbers
    return Fault(
        f"layer {place + 1} ({name}, {n:g} x {m:g}) cannot have a reuse factor of {factor:g}",
        path=f"engines.{engine}.design.layers.{place + 1}.reuse_factor",
        expected=f"{closest(round(n), round(m), factor)}, the nearest that is valid",
    )


def _slices(input_bits: Value, weight_bits: Value, setting: Setting) -> Value:
    """Return DSP slices of a multiplier: operands cut to fit either way round."""
    xp, engine = setting.xp, setting.engine_as(FpgaSpec, "fpga")
    wide, narrow = engine.dsp_wide_bits, engine.dsp_narrow_bits

    def pieces(first: Value, second: Value) -> Value:
        return xp.ceil(first / wide - 1e-9) * xp.ceil(second / narrow - 1e-9)

    return xp.minimum(pieces(input_bits, weight_bits), pieces(weight_bits, input_bits))


def _entering(table: OperatorTable, setting: Setting, design: Dataflow) -> Value:
    """Return the bits of a frame of the network's inputs, held in registers; ``(points,)``."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    if access is None or not len(nests) or design.io == "stream":
        return 0.0
    at = nests.access[:, 0]
    first = ((at >= 0) & (access.tensor[at] == ALWAYS_MAIN))[:, None]
    bits = element_bits([s[0] for s in nests.slots], table.points, setting)
    return (first * access.elements[at] * bits).sum(axis=0) / setting.sequences


def check_kinds(table: OperatorTable, nests: Nests) -> None:
    """Refuse layers that there is no circuit for."""
    faults = [
        Fault(
            f"no circuit for the {row.kind} '{row.name}'",
            path="model",
            expected="layers that keep no state: dense, convolutions, poolings, activations",
        )
        for row in table.rows
        if row.kind not in SUPPORTED
    ]
    access = table.accesses
    for i, at in enumerate(nests.access[:, 1]):
        if access is not None and at >= 0 and access.tensor[at] != WEIGHT:
            faults.append(
                Fault(
                    f"'{nests.name[i]}' multiplies two activations",
                    path="model",
                    expected="layers whose weights are known when the circuit is made",
                )
            )
    if not len(nests):
        faults.append(
            Fault(
                "the network multiplies by no weight",
                path="model",
                expected="at least one dense layer or convolution",
            )
        )
    if faults:
        raise InputError(faults)
