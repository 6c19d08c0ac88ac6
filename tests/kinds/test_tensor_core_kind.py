"""The kind `tensor_core`: conformance with kernels, a roofline without them, terms of rows."""

from collections.abc import Sequence

import numpy as np
import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

DELAYS = ("launch", "tile_fill", "step_clocks", "split_launch", "per_group", "host_floor")


class _Kernels(KindConformance):
    def device(self) -> Device:
        return hardware("h100")

    def _machine(self) -> Machine:
        return self.device().machine("torch_cuda")

    def batch_slack(self) -> float:
        """One more row of tiles keeps more of main memory busy: from 16 to 17 tokens a product of
        few columns is quicker."""
        return 0.005

    def rates(self) -> Sequence[str]:
        return ["power.busy"]

    def delays(self) -> Sequence[str]:
        return [
            path
            for path in self._machine().facts
            if path.startswith("runtime.kernels.") and path.endswith(DELAYS)
        ]


class TestDense(_Kernels):
    """A convolutional network, and a language model's token."""


class TestExperts(_Kernels):
    """A mixture of experts in fp8, on a device with a power ceiling in another format."""

    def precision(self) -> str:
        return "fp8"

    def workloads(self) -> Sequence[Workload]:
        return [find("mixtral_8x7b", {"phase": "decode", "batch": 4, "context": 128})]


class TestWithoutL2(_Kernels):
    """A GPU whose spec states no bandwidth of its cache: the L2 costs nothing."""

    def device(self) -> Device:
        return hardware("arc_pro_b60")

    def workloads(self) -> Sequence[Workload]:
        return [find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 64})]


@pytest.mark.parametrize("model", ["resnet18", "llama_3_8b"])
@pytest.mark.parametrize("name", ["h100", "jetson_agx_orin", "l40s"])
def test_without_kernels_it_is_a_roofline(model: str, name: str) -> None:
    device = hardware(name)
    plain = [
        Engine.model_construct(**{f: getattr(e, f) for f in Engine.model_fields if f != "kind"})
        for e in device.engines
    ]
    for runtime in ("generic", "ideal"):
        found = predict(find(model, {}), device, runtime=runtime)
        same = device.model_copy(update={"engines": tuple(plain)})
        assert found.latency_s == pytest.approx(
            predict(find(model, {}), same, runtime=runtime).latency_s, rel=1e-12
        )
        assert set(found.table.columns).isdisjoint({"kernel_s", "overlap_s", "tile_rows"})


def test_products_alone_take_kernels() -> None:
    found = predict(
        find("llama_3_8b", {"phase": "decode", "batch": 8, "context": 512}),
        hardware("h100"),
        runtime="torch_cuda",
    )
    table = found.table
    products = np.array([kind == "gemm" for kind in table["kind"]])
    launch = found.machine.facts["runtime.kernels.gemm.launch"]
    np.testing.assert_allclose(table["kernel_s"][products], launch, rtol=1e-12)
    assert np.all(table["kernel_s"][~products] == 0)
    assert np.all(table["tile_rows"][products] >= 16)
    assert np.all(table["overlap_s"] >= 0)


def test_a_row_is_its_terms() -> None:
    found = predict(
        find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 300}),
        hardware("a100"),
        runtime="torch_cuda",
    )
    t = found.table
    bound = np.maximum(t["matrix_s"] + t["vector_s"], np.maximum(t["l2_s"], t["hbm_s"]))
    np.testing.assert_allclose(t["row_s"], bound + t["kernel_s"] + t["overlap_s"], rtol=1e-12)


def test_a_sweep_with_many_equal_points_equals_its_points() -> None:
    """Equal products are computed once: each point is what it is by itself."""
    device = hardware("h200")
    batches, contexts = np.arange(1.0, 41.0), np.array([64.0, 512.0, 4096.0])
    workload = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    grid = predict(
        workload.bind({"batch": batches[:, None], "context": contexts}),
        device,
        runtime="torch_cuda",
    )
    for i, j in ((0, 0), (7, 2), (39, 1)):
        one = predict(
            workload.bind({"batch": float(batches[i]), "context": float(contexts[j])}),
            device,
            runtime="torch_cuda",
        )
        np.testing.assert_allclose(grid.latency_s[i, j], one.latency_s, rtol=1e-12)


def test_a_host_floor_is_a_floor() -> None:
    machine = hardware("h100").machine("torch_cuda")
    workload = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    floor = "runtime.kernels.gemm.host_floor"
    stated = machine.runtime.model_copy(
        update={
            "kernels": {
                name: kernel.model_copy(update={"host_floor": kernel.launch})
                for name, kernel in machine.runtime.kernels.items()
            }
        }
    )
    floored = Machine(machine.device, stated)
    plain = predict(workload, machine)
    assert predict(workload, floored.vary({floor: 0.0})).latency_s == pytest.approx(
        plain.latency_s, rel=1e-12
    )
    slow = predict(workload, floored.vary({floor: 1e-3}))
    products = np.array([kind == "gemm" for kind in slow.table["kind"]])
    np.testing.assert_allclose(slow.table["row_s"][products], 1e-3, rtol=1e-12)
    np.testing.assert_allclose(
        slow.table["row_s"][~products], plain.table["row_s"][~products], rtol=1e-12
    )


def test_power_caps_large_products_alone() -> None:
    """Half the power: as slow as that where arithmetic is long, no slower where it is short."""
    machine = hardware("h100").machine("torch_cuda")
    weak = machine.vary({"power.busy": 350.0})
    long = find("llama_3_8b", {"phase": "prefill", "batch": 4, "prompt": 4096})
    short = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    assert predict(long, weak).latency_s > 1.3 * predict(long, machine).latency_s
    np.testing.assert_allclose(
        predict(short, weak).latency_s, predict(short, machine).latency_s, rtol=1e-3
    )
