"""Circuits of layers without weights: activations, softmax, poolings."""

from __future__ import annotations

import numpy as np

from perfmodel.cost.setting import Setting
from perfmodel.kinds.fpga.blocks import blocks_18k
from perfmodel.kinds.fpga.circuits import Amounts
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.layers import CircuitLayers, constants_of
from perfmodel.workload.lower import OperatorTable

#: Entries and bits of the tables that a softmax reads exponentials from (hls4ml's defaults).
TABLE_ENTRIES, TABLE_BITS = 1024.0, 18.0


def beside(table: OperatorTable, setting: Setting, layers: CircuitLayers) -> Amounts:
    """Return what the rows without weights cost, ``(rows, points)``; nothing for the others.

    All numbers of a tensor are taken at once, or in a stream those of a pixel. A softmax reads an
    exponential for each number from a table of its own, adds them in a tree and multiplies.
    """
    nests, access, xp = table.nests, table.accesses, setting.xp
    assert nests is not None
    rows = len(table.rows)
    if access is None:
        nothing = xp.zeros((rows, 1))
        return Amounts(*[nothing] * 6)
    kinds = np.array([row.kind for row in table.rows], dtype=object)
    alone = np.ones(rows, dtype=bool)
    alone[nests.row] = False
    starts = access.starts
    elements = access.elements[starts] / layers.frames
    stream = setting.inside(Dataflow, "design").io == "stream"
    width = elements
    before = np.clip(np.searchsorted(nests.row, np.arange(rows)) - 1, 0, None)
    if stream:
        # The channels of a pixel are those of the layer before.
        width = xp.minimum(elements, layers.circuit.outputs[before])
    # What an activation reads are the sums of the layer before.
    sums = layers.circuit.sum_bits[before] if len(nests) else 0.0
    of = {name: constants_of(name, setting) for name in ("elementwise", "softmax")}
    softmax = (alone & (kinds == "softmax"))[:, None] * 1.0
    plain = (alone & (kinds != "softmax"))[:, None] * 1.0
    e, s = of["elementwise"], of["softmax"]
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
