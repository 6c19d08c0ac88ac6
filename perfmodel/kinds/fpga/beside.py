"""Circuits of layers without weights: activations, softmax, poolings."""

from __future__ import annotations

import numpy as np

from perfmodel.kinds.array import NestRun
from perfmodel.kinds.fpga.circuits import Amounts
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.fabric import blocks_18k
from perfmodel.kinds.fpga.layers import CircuitLayers
from perfmodel.kinds.fpga.pipeline import nest_before

#: Entries and bits of the tables that a softmax reads exponentials from (hls4ml's defaults).
TABLE_ENTRIES, TABLE_BITS = 1024.0, 18.0


def beside(run: NestRun, layers: CircuitLayers) -> Amounts:
    """Return the cost of the rows without weights, ``(rows, points)``; zero for the others.

    All numbers of a tensor are processed at once, or in a stream those of one pixel. A softmax
    looks up the exponential of each number in a separate table, adds them in a tree and multiplies.
    """
    access, setting, xp = run.accesses, run.setting, run.xp
    is_softmax = np.array([[row.kind == "softmax"] for row in run.table.rows])
    softmax, plain = run.without_nests * is_softmax, run.without_nests * ~is_softmax
    elements = access.elements[access.starts] / layers.frames
    stream = setting.inside(Dataflow, "design").io == "stream"
    width = elements
    before = nest_before(run)
    if stream:
        # The channels of a pixel are the outputs of the preceding layer.
        width = xp.minimum(elements, layers.circuit.outputs[before])
    # An activation reads the sums of the preceding layer.
    sums = layers.circuit.sum_bits[before]
    e, s = (setting.constants(name, FpgaKernel) for name in ("elementwise", "softmax"))
    in_dsp = layers.circuit.in_dsp
    levels = xp.ceil(xp.log2(xp.maximum(width, 1.0)) - 1e-9)
    period = layers.circuit.period
    depth = s.base_clocks + levels * s.level_delay / period + in_dsp * s.multiplier_clocks
    depth = depth if setting.relaxed else xp.floor(depth + 0.5)
    tables = width * blocks_18k(TABLE_ENTRIES, TABLE_BITS)
    return Amounts(
        clocks=plain * e.base_clocks + softmax * depth,
        interval=(plain + softmax) * elements / xp.maximum(width, 1.0),
        lut=plain * e.output_luts * sums * width
        + softmax * width * (s.output_luts + (1.0 - in_dsp) * s.product_luts),
        ff=plain * e.output_ffs * sums * width + softmax * s.output_ffs * width,
        dsp=softmax * in_dsp * width,
        bram=softmax * tables,
    )
