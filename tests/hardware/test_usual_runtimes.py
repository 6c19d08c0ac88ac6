"""The runtimes that devices name: they exist, suit, drive an engine; which one a workload takes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware, names, runtime
from perfmodel.resolve import usual_runtime
from tests.offenders import each

ROOT = Path(__file__).resolve().parents[2]

#: Devices that price images with the mean of their kind of engine: nothing of their own, of their
#: family or of their software is known.
PLAIN = {
    "rdk_x5",
    "tpu_v5e",
    "u280_accllm",
    "u280_flightllm",
    "vhk158_flightllm",
}


@each("name", names("devices"))
def test_usual_runtimes_suit_their_device(name: str) -> None:
    device = hardware(name)
    for each_name in (device.default_runtime, *device.runtimes):
        named = runtime(each_name)
        assert named.suits(device), each_name
        assert any(named.drives(device, engine.name) for engine in device.engines), each_name


@each("name", names("devices"))
def test_images_take_the_mean_of_a_kind_where_nothing_is_known(name: str) -> None:
    device = hardware(name)
    taken = usual_runtime(device, pm.workload("resnet50")).name
    if taken.startswith("generic"):
        graphics = {"amd", "apple"}.intersection(device.tags) and "gpu" in device.tags
        plain = device.default_runtime.startswith("generic")  # as the spec itself says
        assert graphics or name in PLAIN or plain
    assert taken != "ideal" or device.default_runtime == "ideal"


@pytest.mark.parametrize(
    ("network", "device", "precision", "engine", "taken"),
    [
        ("llama_3_8b", "rtx_4090", None, None, "llama_cpp_cuda"),
        ("llama_3_8b", "rtx_4090", "q4_0", None, "llama_cpp_cuda"),
        ("llama_3_8b", "rtx_4090", "w4g128a16", None, "vllm"),
        ("llama_3_8b", "h100", "bf16", None, "vllm"),
        ("llama_3_8b", "h100", "q4_k", None, "llama_cpp_cuda"),
        ("resnet50", "h100", "fp16", None, "tensorrt"),
        ("resnet50", "gtx_1080_ti", "fp32", None, "torch_1_eager_pascal"),
        ("gemm", "h100", "fp16", None, "torch_cuda"),
        ("whisper_small", "apple_m2_ultra", "q5_0", None, "whisper_cpp_metal"),
        # A family that people run with software of its own takes it where it suits the engine.
        ("whisper_small", "raspberry_pi_5", None, None, "whisper_cpp_cpu"),
        ("whisper_small", "steam_deck", None, None, "whisper_cpp_cpu"),
        ("whisper_small", "steam_deck", "fp16", "gpu", "whisper_cpp_vulkan"),
        ("whisper_small", "radeon_rx_7800_xt", None, None, "whisper_cpp_vulkan"),
        ("whisper_small", "rtx_3060", None, None, "whisper_cpp_cuda"),
        ("whisper_small", "rtx_3060", "int8", None, "tensorrt"),
        ("whisper_small", "snapdragon_8_gen_3", None, None, "qnn_htp"),
        ("stable_diffusion_1_5", "rtx_3060", "fp16", None, "torch_2_eager"),
        ("stable_diffusion_1_5", "apple_m1_max", "fp16", None, "coreml_gpu"),
        ("gpt_oss_20b", "rtx_4090", None, None, "llama_cpp_cuda"),
        ("llama_3_8b", "apple_m2_max", "q4_0", "cpu", "llama_cpp_cpu_neon"),
        ("resnet50", "snapdragon_8_gen_3", "int8", None, "qnn_htp"),
        ("llama_3_8b", "snapdragon_8_gen_3", "w4a16", None, "genie"),
        ("resnet50", "snapdragon_8_gen_3", "fp32", "cpu", "ncnn"),
        ("resnet50", "snapdragon_8_gen_3", "fp16", "gpu", "generic_gpu"),
        ("stream_triad", "epyc_7452_core", None, None, "compiled_loops"),
        ("resnet50", "epyc_7452_core", "fp32", None, "onnxruntime_cpu"),
    ],
)
def test_a_workload_takes_the_first_that_runs_it(
    network: str, device: str, precision: str | None, engine: str | None, taken: str
) -> None:
    found = usual_runtime(hardware(device), pm.workload(network), precision, engine)
    assert found.name == taken
    asked = pm.predict(network, device, precision=precision, engine=engine)
    assert asked.machine.runtime.name == taken


def test_generic_stands_for_the_engine_that_is_named() -> None:
    found = {
        engine: pm.predict("resnet18", "snapdragon_8_gen_3", runtime="generic", engine=engine)
        for engine in ("npu", "gpu", "cpu")
    }
    assert {e: p.machine.runtime.name for e, p in found.items()} == {
        "npu": "generic_npu",
        "gpu": "generic_gpu",
        "cpu": "generic_cpu",
    }
    assert hardware("stm32h743").machine("generic").runtime.name == "mcu_library"
    assert hardware("eyeriss").machine("generic").runtime.name == "generic"


@pytest.mark.parametrize("kind", ["cpu", "gpu", "npu"])
def test_constants_of_generic_are_the_means_of_the_library(kind: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "pool_generic", ROOT / "benchmarks" / "pool_generic.py"
    )
    assert spec
    assert spec.loader
    pool = importlib.util.module_from_spec(spec)
    sys.modules["pool_generic"] = pool
    spec.loader.exec_module(pool)
    stated = runtime(f"generic_{kind}")
    for constant, (mean, _, _) in pool.pooled(kind).items():
        head, _, key = constant.partition(".")
        found = getattr(stated, head)
        assert (found[key] if key else found).value == pytest.approx(mean, rel=5e-3), constant


def test_a_varied_machine_takes_the_usual_runtime_of_its_workload() -> None:
    spec = pm.hardware("rtx_4090")
    faster = spec.vary({"memories.main.bandwidth": 2e12})
    for model in ("resnet50", "llama_3_8b"):
        usual = pm.predict(model, spec).machine.runtime
        assert pm.predict(model, faster).machine.runtime == usual
    named = spec.machine("torch_2_eager").vary({"memories.main.bandwidth": 2e12})
    assert pm.predict("resnet50", named).machine.runtime.name == "torch_2_eager"
