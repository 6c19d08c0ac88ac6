"""Clocks and resources of the circuits of layers without weights: activations, softmax, poolings.

hls4ml (Duarte et al., JINST 13 P07027, 2018) gives such a layer a circuit of its own between those
of `layers`: look-up tables for an activation; for a softmax of N numbers a table of exponentials
each, a tree of ``ceil(log2 N)`` adders and a multiplier each. The constants are those of the
runtime's kernels; docs/fpga.md lists them. The design style `dataflow` adds both sorts of circuits.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.fpga.circuits import Amounts
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.fabric import blocks_18k
from perfmodel.kinds.fpga.layers import scheduled_period
from perfmodel.kinds.fpga.pipeline import of_layer_before

#: Entries and bits of the tables that a softmax reads exponentials from (hls4ml's defaults).
TABLE_ENTRIES, TABLE_BITS = 1024.0, 18.0


def weightless_circuits(columns: Mapping[str, Value], setting: Setting) -> Amounts:
    """Return the cost of the rows without weights, ``(rows, points)``; zero for the others.

    All numbers of a tensor are processed at once, or in a stream those of one pixel.

    Activations: ``clocks = base_clocks``, ``LUTs = output_luts * sum_bits * numbers``. Softmax:
    ``clocks = base_clocks + ceil(log2 numbers) * level_delay / period + multiplier_clocks``.
    """
    xp, design = setting.xp, setting.inside(Dataflow, "design")
    softmax, plain, layer = columns["softmax"], columns["activation"], columns["layer"]
    width = elements = columns["numbers"]
    if design.io == "stream":
        # The channels of a pixel are the outputs of the preceding layer.
        width = xp.minimum(elements, of_layer_before(columns["outputs"], layer))
    # An activation reads the sums of the preceding layer.
    sums = of_layer_before(columns["sum_bits"], layer)
    activation, exponential = (
        setting.constants(name, FpgaKernel) for name in ("elementwise", "softmax")
    )
    # The products are of 18 bits, which no tool puts into look-up tables by itself.
    in_dsp = 0.0 if design.multiply_in == "lut" else 1.0
    levels = xp.ceil(xp.log2(xp.maximum(width, 1.0)) - 1e-9)
    period = scheduled_period(design, setting)
    depth = (
        exponential.base_clocks
        + levels * exponential.level_delay / period
        + in_dsp * exponential.multiplier_clocks
    )
    depth = depth if setting.relaxed else xp.floor(depth + 0.5)
    tables = width * blocks_18k(TABLE_ENTRIES, TABLE_BITS)
    return Amounts(
        clocks=plain * activation.base_clocks + softmax * depth,
        interval=(plain + softmax) * elements / xp.maximum(width, 1.0),
        lut=plain * activation.output_luts * sums * width
        + softmax * width * (exponential.output_luts + (1.0 - in_dsp) * exponential.product_luts),
        ff=plain * activation.output_ffs * sums * width + softmax * exponential.output_ffs * width,
        dsp=softmax * in_dsp * width,
        bram=softmax * tables,
    )
