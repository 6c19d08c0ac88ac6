"""Weight layers of a dataflow design: the circuit that hls4ml makes of each, and its reuse factor.

Layers that no circuit supports are refused. Duarte et al., "Fast inference of deep neural networks
in FPGAs for particle physics", JINST 13 P07027, 2018; `docs/fpga.md` has the equations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.hardware.quantity import Spec
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.distinct_columns import Floats
from perfmodel.kinds.fpga.circuits import Circuit
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow, LayerDesign
from perfmodel.kinds.fpga.digits import multiplier_share
from perfmodel.kinds.fpga.fabric import slices_of_product
from perfmodel.kinds.fpga.reuse import closest, closest_valid_factors, is_valid
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.tracing.array_namespace import NAMESPACE as TRACED
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import ALWAYS_MAIN, WEIGHT

S = TypeVar("S", bound=Spec)

#: Classes of operators that circuits support.
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

#: Layers with at most this many inputs are narrow: more of their weights require a multiplier.
_NARROW_INPUTS = 32.0

#: Bits behind the point at which the shares of weights that need a multiplier were read.
_SHARES_READ_AT = 6.0

#: Bits between packed products, for the carries of sums.
_GUARD_BITS = 2.0

#: Bits that one look-up table delays as a shift register (SRL32).
_SHIFT_REGISTER_BITS = 32.0


@dataclass(frozen=True, slots=True)
class CircuitLayers:
    """Layers with weights, in the order of their rows.

    Attributes
    ----------
    rows
        Maps values of layers to rows of the table.
    circuit
        Circuit of one pixel of each layer, ``(layers, points)``.
    ends
        The same with the fewest and the most non-zero weights and multipliers that there may be;
        empty where both numbers are stated for every layer.
    constants
        Constants of the runtime.
    strategies
        Strategy of each layer.
    frames
        Frames per run.
    positions
        Output pixels of a frame; 1 for a vector.
    pixels
        Input pixels of a frame.
    parallel
        Pixels computed in parallel.
    window
        Pixels that a convolution reads before its first output.
    line_luts
        Look-up tables for the rows of a convolution's window, as shift registers.
    entering_bits
        Bits of a frame of the network's inputs that registers store.
    """

    rows: RowSums
    circuit: Circuit
    ends: Mapping[str, Circuit]
    constants: KernelConstants
    strategies: tuple[str, ...]
    frames: Value
    positions: Value
    pixels: Value
    parallel: Value
    window: Value
    line_luts: Value
    entering_bits: Value


def layers_of(run: NestRun) -> CircuitLayers:
    """Return the circuit of every layer that has weights.

    Raises
    ------
    InputError
        A layer that no circuit supports, or a reuse factor that hls4ml rejects.

    Notes
    -----
    Unless the design states the number for the layer, ``multipliers = min(ceil(share * nonzeros),
    nonzeros)``, where the share is `narrow_share` up to 32 inputs, else `wide_share`, at six bits
    behind the point (`multiplier_share` at others, and none up to four bits, which have at most two
    signed digits); and ``sum_bits = input_bits + weight_bits``. Where the weights are not known,
    neither are the numbers: `CircuitLayers.ends`.

    ``period = (1 - clock_margin) / target_clock``, in seconds; without a target, of the engine's
    clock.

    A convolution reads ``window = (kernel_rows - 1) * in_columns + kernel_columns - 1`` pixels
    before its first output. Its line buffers take ``line_luts = (kernel_rows - 1) * in_channels *
    groups * input_bits * ceil(in_columns / 32)`` look-up tables.
    """
    check_supported(run)
    nests, setting, xp = run.nests, run.setting, run.xp
    design = setting.inside(Dataflow, "design")
    designs = layer_designs(LayerDesign, nests, setting)
    constants = setting.constants("gemm", FpgaKernel)
    strategies = tuple(or_else(layer.strategy, design.strategy) for layer in designs)
    positions = nests.positions / setting.sequences
    parallel = stated_or_default([layer.parallel for layer in designs], design.parallel, xp)
    pixels, window, line_luts = _windows(run, positions)
    circuit, ends = _circuits(run, design, designs, strategies, constants)
    return CircuitLayers(
        rows=run.rows,
        circuit=circuit,
        ends=ends,
        constants=constants,
        strategies=strategies,
        frames=setting.sequences,
        positions=positions,
        pixels=pixels,
        parallel=xp.minimum(parallel, positions),
        window=window,
        line_luts=line_luts,
        entering_bits=_input_bits(run, design),
    )


def _circuits(
    run: NestRun,
    design: Dataflow,
    designs: Sequence[LayerDesign],
    strategies: Sequence[str],
    constants: KernelConstants,
) -> tuple[Circuit, dict[str, Circuit]]:
    """Return the circuit of one pixel of each layer, ``(layers, points)``, and its ends."""
    nests, setting, xp = run.nests, run.setting, run.xp
    inputs, outputs = nests.summed, nests.out_channels * nests.groups
    input_bits, weight_bits = run.bits(0), run.bits(1)
    in_dsp, slices = _implementation(input_bits, weight_bits, design, constants, setting)
    share = xp.where(inputs <= _NARROW_INPUTS, constants.narrow_share, constants.wide_share)
    counts = _weight_counts(
        inputs * outputs, weight_bits, share, design, designs, constants, setting
    )
    full_sum_bits = or_else(design.sum_bits, input_bits + weight_bits)
    nonzeros, multipliers = counts.pop("expected")
    circuit = Circuit(
        inputs=inputs,
        outputs=outputs,
        nonzeros=nonzeros,
        multipliers=multipliers,
        factor=_reuse_factors(run, design, designs, strategies),
        input_bits=input_bits,
        weight_bits=weight_bits,
        sum_bits=stated_or_default([layer.sum_bits for layer in designs], full_sum_bits, xp),
        in_dsp=in_dsp,
        slices=slices,
        period=scheduled_period(design, setting),
    )
    return circuit, {
        end: circuit._replace(nonzeros=present, multipliers=needed)
        for end, (present, needed) in counts.items()
    }


def scheduled_period(design: Dataflow, setting: Setting) -> Value:
    """Return the clock period that the tool schedules for, in seconds, margin deducted."""
    return (1.0 - design.clock_margin) / or_else(design.target_clock, setting.clock)


def _weight_counts(
    weights: Value,
    bits: Value,
    share: Value,
    design: Dataflow,
    designs: Sequence[LayerDesign],
    constants: KernelConstants,
    setting: Setting,
) -> dict[str, tuple[Value, Value]]:
    """Return non-zero weights of each layer, and how many of them require a multiplier.

    Under ``expected``, and where they follow from weights that are not known under ``low`` and
    ``high`` the fewest and the most: weights may be smaller or larger (`spread_bits`), and where
    no zeros are stated either, all but `sparsest` of them may be zero, or none a sum of two shifts.
    """
    xp = setting.xp
    stated_nonzeros = [layer.nonzeros for layer in designs]
    stated_multipliers = [layer.multipliers for layer in designs]
    present = xp.minimum(stated_or_default(stated_nonzeros, design.density * weights, xp), weights)
    fraction = or_else(design.weight_fraction_bits, xp.minimum(bits - 2.0, 10.0))

    def needed(among: Value, larger_bits: Value) -> Value:
        more_bits = fraction - _SHARES_READ_AT + larger_bits
        # Weights of four bits have at most two signed digits.
        count = among * xp.where(bits > 4.0, multiplier_share(share, more_bits, xp), 0.0)
        if not setting.relaxed:
            count = xp.ceil(count - 1e-9)
        return xp.minimum(stated_or_default(stated_multipliers, count, xp), among)

    counts = {"expected": (present, needed(present, 0.0))}
    if not all(count is not None for count in (*stated_nonzeros, *stated_multipliers)):
        spread = constants.spread_bits
        is_known = np.array([[value is not None] for value in stated_nonzeros])
        is_known = is_known | (design.density < 1.0)
        fewest = xp.where(is_known, present, constants.sparsest * weights)
        any_weight = stated_or_default(stated_multipliers, xp.where(bits > 4.0, weights, 0.0), xp)
        most = xp.where(is_known, needed(present, spread), any_weight)
        counts |= {"low": (fewest, needed(fewest, -spread)), "high": (present, most)}
    return counts


def _windows(run: NestRun, positions: Value) -> tuple[Value, Value, Value]:
    """Return input pixels per frame, pixels before the first output, and LUTs of line buffers."""
    nests, xp = run.nests, run.xp
    is_vector = nests.taps * nests.in_rows * nests.in_columns <= 1.0
    in_pixels = nests.batch * nests.in_rows * nests.in_columns / run.setting.sequences
    earlier_rows = nests.kernel_rows - 1.0
    line_bits = earlier_rows * nests.in_channels * nests.groups * run.bits(0)
    return (
        xp.where(is_vector, positions, in_pixels),
        earlier_rows * nests.in_columns + nests.kernel_columns - 1.0,
        line_bits * xp.ceil(nests.in_columns / _SHIFT_REGISTER_BITS),
    )


def layer_designs(model: type[S], nests: Nests, setting: Setting) -> list[S]:
    """Return the design's settings of each layer with weights, as instances of `model`."""
    return [setting.inside(model, "design", "layers", str(place + 1)) for place in nests.place]


def stated_or_default(stated: Sequence[Value], default: Value, xp: Any) -> Value:
    """Return a number per layer: the one stated for it, else the default."""
    defaults = default + xp.zeros((len(stated), 1))
    if all(value is None for value in stated):
        return defaults
    rows = [or_else(value, defaults[i]) for i, value in enumerate(stated)]
    return xp.stack(xp.broadcast_arrays(*(xp.atleast_1d(xp.asarray(row)) for row in rows)))


def _reuse_factors(
    run: NestRun, design: Dataflow, designs: Sequence[LayerDesign], strategies: Sequence[str]
) -> Value:
    """Return the reuse factor of each layer, as hls4ml applies it.

    Under ``resource`` a factor of the entire design is rounded to the nearest valid one; one
    stated for a layer must be valid.
    """
    nests, setting, xp = run.nests, run.setting, run.xp
    inputs, outputs = nests.summed, nests.out_channels * nests.groups
    stated_factors = [layer.reuse_factor for layer in designs]
    factor = xp.minimum(
        stated_or_default(stated_factors, design.reuse_factor, xp), inputs * outputs
    )
    places = [i for i, strategy in enumerate(strategies) if strategy == "resource"]
    if not places or setting.relaxed:
        return factor
    if xp is TRACED:
        is_stated = np.array([[each is not None] for each in stated_factors], dtype=float)
        valid = xp.by_column(_valid_by_column, (inputs, outputs, factor, is_stated), 1)[0]
        return xp.where(np.isin(np.arange(len(designs)), places)[:, None], valid, factor)
    if xp is not np:
        return factor
    faults: list[Fault] = []
    valid_factors = np.array(np.broadcast_arrays(factor, inputs, outputs)[0])
    fan_in, fan_out = (np.broadcast_to(v, valid_factors.shape) for v in (inputs, outputs))
    for i in places:
        stated = cast("Value", stated_factors[i])
        if stated is None:
            valid_factors[i] = closest_valid_factors(fan_in[i], fan_out[i], valid_factors[i])
            continue
        layer_factor = np.broadcast_to(stated, fan_in[i].shape)
        cases = np.unique(np.stack([fan_in[i], fan_out[i], layer_factor]), axis=1).T
        faults += [
            _invalid_reuse_factor(i, nests.name[i], case, setting.engine_name)
            for case in cases
            if not is_valid(*(round(number) for number in case))
        ]
    if faults:
        raise InputError(faults)
    return valid_factors


def _valid_by_column(columns: Floats) -> Floats:
    """Return the nearest valid factor; NaN, which is no answer, where an invalid one is stated.

    Parameters
    ----------
    columns
        Inputs, outputs, factor, and whether it is stated for the layer, ``(4, columns)``.
    """
    *numbers, is_stated = columns
    nearest = closest_valid_factors(*numbers)
    return np.where((is_stated > 0.0) & (nearest != numbers[2]), np.nan, nearest)[None]


def _invalid_reuse_factor(place: int, name: str, case: Iterable[float], engine: str) -> Fault:
    """Return the fault for a reuse factor that hls4ml rejects, with the nearest valid one."""
    fan_in, fan_out, reuse = case
    return Fault(
        f"layer {place + 1} ({name}, {fan_in:g} x {fan_out:g}) cannot have a reuse factor of "
        f"{reuse:g}",
        path=f"engines.{engine}.design.layers.{place + 1}.reuse_factor",
        expected=f"{closest(round(fan_in), round(fan_out), reuse)}, the nearest that is valid",
    )


def _implementation(
    input_bits: Value,
    weight_bits: Value,
    design: Dataflow,
    constants: KernelConstants,
    setting: Setting,
) -> tuple[Value, Value]:
    """Return whether multipliers are DSP slices (1 or 0), and the slices of each.

    Packed products share an input ``a``: ``n`` weights of ``b`` bits lie ``a + b + 2`` bits apart
    in the wider port (AMD WP486: two of 8 bits in 27, 18 bits apart).
    """
    if design.multiply_in == "lut":
        return 0.0, 1.0
    xp, engine = setting.xp, setting.engine_as(FpgaSpec, "fpga")
    wide, narrow = engine.dsp_wide_bits, engine.dsp_narrow_bits
    slices = slices_of_product(input_bits, weight_bits, engine)
    if design.multiply_in == "packed":
        apart = input_bits + weight_bits + _GUARD_BITS
        together = 1.0 + xp.floor(xp.maximum(wide - weight_bits, 0.0) / apart + 1e-9)
        slices = xp.where(input_bits <= narrow, slices / together, slices)
    if design.multiply_in != "auto":
        return 1.0, slices
    wider = xp.maximum(input_bits, weight_bits)
    return xp.where(wider >= constants.slice_bits, 1.0, 0.0), slices


def _input_bits(run: NestRun, design: Dataflow) -> Value:
    """Return bits of a frame of the network's inputs that registers store."""
    if design.io == "stream":
        return 0.0
    access, at = run.accesses, run.nests.access[:, 0]
    first = ((at >= 0) & (access.tensor[at] == ALWAYS_MAIN))[:, None]
    return first * access.elements[at] * run.bits(0) / run.setting.sequences


def check_supported(run: NestRun) -> None:
    """Raise for layers that no circuit supports."""
    faults = [
        Fault(
            f"no circuit for the {row.kind} '{row.name}'",
            path="model",
            expected="layers that keep no state: dense, convolutions, poolings, activations",
        )
        for row in run.table.rows
        if row.kind not in SUPPORTED
    ]
    nests = run.nests
    for i, at in enumerate(nests.access[:, 1]):
        if at >= 0 and run.accesses.tensor[at] != WEIGHT:
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
                "the network has no layer with weights",
                path="model",
                expected="at least one dense layer or convolution",
            )
        )
    if faults:
        raise InputError(faults)
