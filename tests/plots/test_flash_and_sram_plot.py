"""What fits where: flash and SRAM of networks beside those of parts."""

from __future__ import annotations

import pytest

from perfmodel.charts.flash_and_sram import flash_and_sram, memory_demand
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find


def test_bars_are_weights_code_and_activations() -> None:
    """MobileNetV2 0.35 at 224: with CMSIS-NN's code its flash is near full, its SRAM overflows."""
    size = {"width_multiplier": 0.35, "height": 224, "width": 224}
    small = predict(find("mlperf_tiny_vww", {}), hardware("stm32l4r5"), precision="int8")
    large = predict(
        find("mobilenet_v2", size), hardware("stm32h743"), precision="int8", runtime="cmsis_nn"
    )
    assert memory_demand(small).fits
    demand = memory_demand(large)
    assert not demand.fits
    assert demand.flash == {"weights": float(large.weight_bytes), "code": 346e3}
    assert demand.sram == {"activations": float(large.activation_bytes)}
    drawn = small.plot.flash_and_sram(large)
    bars = {(t.meta["memory"], t.meta["part"]): t.x for t in drawn.data}
    assert bars["flash", "code"][1] == pytest.approx(100 * 346e3 / demand.flash_capacity)
    assert bars["sram", "activations"][1] > 100.0
    live = memory_demand(small).sram["activations"]
    assert bars["sram", "activations"][0] == pytest.approx(100 * live / (640 * 1024))
    assert "too much" in str(drawn.layout.annotations)
    assert "does not fit" in drawn.layout.meta["alt"]


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError):
        flash_and_sram()
