"""The style `finn`: FINN's own network, its foldings, and what two boards measured of it.

Latencies: MLPerf Tiny v0.7, open division, hls4ml-finn: CNV-W1A1 on a Pynq-Z2 and an Arty A7-100T,
both at 100 MHz. Foldings: finn-examples, folding_config/cnv-w1a1_folding_config.json.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from perfmodel_studies.claims.finn import FOLDS, board, cnv

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.fpga.finn import Unit, unit_blocks, unit_cycles, unit_luts
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.workload import Workload

#: Outputs, inputs of an output, output pixels of CNV's layers.
LAYERS = (
    (64, 27, 900),
    (64, 576, 784),
    (128, 576, 144),
    (128, 1152, 100),
    (256, 1152, 9),
    (256, 2304, 1),
    (512, 256, 1),
    (512, 512, 1),
    (10, 512, 1),
)


class TestFinn(KindConformance):
    def device(self) -> Device:
        return board().device

    def precision(self) -> str:
        return "w=int1,a=int1"

    def workloads(self) -> Sequence[Workload]:
        return [cnv()]

    def _machine(self) -> Machine:
        return board()


def test_cycles_of_every_layer() -> None:
    """``(MH / PE) (MW / SIMD) pixels`` (FINN-R), layer by layer."""
    found = predict(cnv(), board(), precision="w=int1,a=int1")
    table = found.table
    rows = [i for i, kind in enumerate(table["kind"]) if kind in {"conv", "gemm"}]
    wanted = [
        mh / pe * (mw / simd) * pixels
        for (mh, mw, pixels), (pe, simd) in zip(LAYERS, FOLDS, strict=True)
    ]
    np.testing.assert_allclose([table["interval"][i] for i in rows], wanted)


def test_frames_a_second_are_the_slowest_layer_s() -> None:
    """32,768 clocks at 100 MHz: 3,051 frames a second."""
    machine = board().vary({"memories.ddr.bandwidth": 1e15})
    one = predict(cnv(), machine, precision="w=int1,a=int1")
    many = predict(cnv().bind({"batch": 1001.0}), machine, precision="w=int1,a=int1")
    assert 1000 / (many.latency_s - one.latency_s) == pytest.approx(100e6 / 32768, rel=1e-9)


@pytest.mark.parametrize("measured_ms", [1.511778, 1.517292])
def test_latency_of_two_boards(measured_ms: float) -> None:
    """14 % short of both: the driver's and the DMA's part is not modelled."""
    found = predict(cnv(), board(), precision="w=int1,a=int1")
    assert 0.8 < found.latency_s * 1e3 / measured_ms < 0.9
    assert found.feasible


def test_estimates_by_hand() -> None:
    """A unit of CNV's second layer: 32 x 32 lanes, binary, 36 words of 1024 bits in logic."""
    unit = Unit(576.0, 64.0, 32.0, 32.0, 1.0, 1.0, 1.0, 0.0)
    assert unit_cycles(unit) == 36
    sums = np.ceil(np.log2(576) + 1 + np.log2(1 + 2.0 ** -(np.log2(576) + 1)) + 1)
    each = 32 * 2 + 2 * 63 + sums + 2 * sums
    assert float(unit_luts(unit)) == pytest.approx(300 + 1.1 * 32 * each + 1024)
    assert unit_blocks(unit) == 0
    # Words of 4 bits, 32,768 deep: 4 bits x 4096 to a block.
    assert unit_blocks(Unit(256.0, 512.0, 1.0, 4.0, 1.0, 1.0, 1.0, 0.0)) == 32768 / 4096


def test_a_folding_must_divide() -> None:
    path = "engines.fabric.design.layers.2.pe"
    with pytest.raises(InputError, match="not a multiple of 24") as caught:
        predict(cnv(), board().vary({path: 24}), precision="w=int1,a=int1")
    assert "16, the nearest below" in str(caught.value)
