"""FINN's CNV, one bit a weight and activation, folded as its examples fold it."""

from __future__ import annotations

from functools import cache

import perfmodel as pm
from perfmodel.hardware import Quantity
from perfmodel.kinds.fpga.finn import Finn, FoldedLayer
from perfmodel.workload import GraphBuilder, symbol

#: Processing elements and lanes of each layer: cnv-w1a1_folding_config.json of finn-examples.
FOLDS = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (5, 1))
#: Channels of its convolutions, and whether a pooling follows.
_CONVOLUTIONS = ((64, False), (64, True), (128, False), (128, True), (256, False), (256, False))
PRECISION = "w=int1,a=int1"
CLOCK_HZ = 100e6


def cnv() -> pm.Workload:
    """Return CNV on 32 x 32 images of 8 bits, with a free batch."""
    return _cnv()


@cache
def _cnv() -> pm.Workload:
    g = GraphBuilder("cnv")
    x = g.input("image", (symbol("batch"), 3, 32, 32), format="int8")
    for i, (channels, pooled) in enumerate(_CONVOLUTIONS, start=1):
        x = g.conv(x, channels, 3, bias=False, name=f"conv{i}")
        if pooled:
            x = g.pool(x, 2, stride=2, name=f"pool{i}")
    x = g.view(x, (symbol("batch"), 256))
    for i, outputs in enumerate((512, 512, 10), start=1):
        x = g.linear(x, outputs, name=f"fc{i}", bias=False)
    g.output(x)
    graph = g.build({"batch": 1.0})
    return pm.Workload("cnv", lambda _: graph, {"batch": 1.0})


@cache
def board(part: str = "xc7z020") -> pm.Machine:
    """Return a part with CNV's units in it, at 100 MHz."""
    device = pm.hardware(part)
    folds = {
        str(i): FoldedLayer(pe=Quantity(value=float(pe)), simd=Quantity(value=float(simd)))
        for i, (pe, simd) in enumerate(FOLDS, start=1)
    }
    engine = device.engines[0].model_copy(update={"design": Finn(style="finn", layers=folds)})
    board_device = device.model_copy(update={"engines": (engine,)})
    return board_device.machine("finn").vary({"engines.fabric.clock": CLOCK_HZ})


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    one = pm.predict(cnv(), board(), precision=PRECISION)
    # Many images as fast as the units take them, whatever the memory.
    fed = board().vary({"memories.ddr.bandwidth": 1e15})
    few, many = (
        pm.predict(cnv().bind({"batch": batch}), fed, precision=PRECISION).latency_s
        for batch in (1.0, 1001.0)
    )
    milliseconds = 1e3 * float(one.latency_s)
    return {
        "cnv_w1a1_pynq_z2_ms": milliseconds,
        "cnv_w1a1_arty_a7_ms": milliseconds,
        "cnv_w1a1_pynq_z2_w": float(one.power_w),
        "cnv_w1a1_interval_clocks": (float(many) - float(few)) / 1e3 * CLOCK_HZ,
    }
