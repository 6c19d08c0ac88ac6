"""Slopes of the overlay styles through JAX against finite differences in NumPy."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")

pytestmark = pytest.mark.usefixtures("doubles")


CASES = [
    ("zcu102", "mobilenet_v2", {}, "int8", "memories.dram.bandwidth"),
    ("zcu102", "mobilenet_v2", {}, "int8", "engines.dpu.clock"),
    ("vek280_dpu", "mobilenet_v2", {}, "int8", "engines.dpu.design.weight_port"),
    ("ultra96_codenet", "codenet_a", {"widths": "deployed"}, "w4a8", "engines.codenet.clock"),
    ("fpgaconvnet_zedboard_ic", "mlperf_tiny_ic", {}, "int8", "engines.fabric.clock"),
    ("fpgaconvnet_zedboard_kws", "mlperf_tiny_kws", {}, "int8", "engines.fabric.clock"),
    (
        "u280_flightllm",
        "llama_2_7b",
        {"phase": "decode", "context": 64},
        "w4a8kv8",
        "memories.hbm.bandwidth",
    ),
]


@pytest.mark.parametrize(("board", "net", "settings", "precision", "path"), CASES)
def test_slopes_are_finite_differences(
    board: str, net: str, settings: dict[str, Any], precision: str, path: str
) -> None:
    device, workload = hardware(board), find(net, settings)
    at = 0.93 * float(device.machine()[path])

    def latency(value: Any) -> Any:
        machine = device.machine().vary({path: value})
        return predict(workload, machine, precision=precision, relaxed=True).latency_s

    step = 1e-6 * at
    differences = (float(latency(at + step)) - float(latency(at - step))) / (2 * step)
    slope = float(jax.jit(jax.grad(latency))(at))
    assert slope < 0
    assert slope == pytest.approx(differences, rel=1e-4)


def test_slope_over_images_at_once() -> None:
    """A batch between whole rounds has a slope in the relaxed form."""

    def latency(batch: Any) -> Any:
        net = find("mobilenet_v2", {"batch": batch})
        return predict(net, hardware("zcu102"), precision="int8", relaxed=True).latency_s

    at = 5.3
    differences = (float(latency(at + 1e-5)) - float(latency(at - 1e-5))) / 2e-5
    slope = float(jax.jit(jax.grad(latency))(at))
    assert slope > 0
    assert slope == pytest.approx(differences, rel=1e-4)
