"""The oracle says what `predict` says, of every metric, to rounding.

A few members of each space on each kind of hardware here; a thousand of each by
`benchmarks/oracle_equality.py`.
"""

from typing import Any

import pytest

import perfmodel as pm
from tests.search.oracle.equality import CONFIGURATIONS, largest, with_traffic

BOUND = 1e-9

ARCHITECTURES: list[tuple[str, str, dict[str, Any]]] = [
    ("nas_bench_201", "zen4_core", {"warm": True}),
    ("nas_bench_201", "tpu_v1", {"settings": {"batch": 3}}),
    ("nas_bench_201", "a100", {"model": "roofline"}),
    ("fbnet", "zen4_core", {}),
    pytest.param("ofa_mobilenet_v3", "zen4_core", {"warm": True}, marks=pytest.mark.exhaustive),
    ("fbnet", "raspberry_pi_5", {"runtime": "litert", "warm": True, "settings": {"batch": 2}}),
    ("fbnet", "raspberry_pi_5_core", {"runtime": "onnxruntime_arm", "precision": "fp32"}),
    (
        "nas_bench_201",
        "raspberry_pi_5_core",
        {"runtime": "onnxruntime_arm", "precision": "fp32", "warm": True, "settings": {"batch": 3}},
    ),
    ("fbnet", "xeon_silver_4114_core", {"runtime": "torch_1_eager_cpu", "precision": "fp32"}),
    ("fbnet", "rtx_4090", {"runtime": "ideal"}),
    ("fbnet", "eyeriss", {}),
    ("fbnet", "gemmini_16x16", {"settings": {"batch": 4}}),
    ("fbnet", "bit_fusion_apq", {"precision": "w4a8"}),
    ("fbnet", "bitmod", {"precision": "w=int4,a=fp16"}),
    ("fbnet", "cambricon_llm_s", {}),
    ("fbnet", "ufs_4_phone", {"runtime": "generic", "warm": True}),
    ("fbnet", "neurram", {"precision": "int8"}),
    ("fbnet", "cim_colonnade_65nm", {"warm": True, "settings": {"batch": 3}}),
    ("ofa_mobilenet_v3", "raspberry_pi_5", {"runtime": "litert"}),
    ("ofa_mobilenet_v3", "stm32h743", {"settings": {"batch": 2}}),
    ("ofa_mobilenet_v3", "stm32n6", {}),
]

CONFIGURED: list[tuple[str, str, dict[str, Any]]] = [
    ("resnet8 bits, sparsity", "zen4_core", {"warm": True}),
    ("resnet8 bits, sparsity", "eyeriss", {"settings": {"batch": 4}}),
    ("resnet8 bits, sparsity", "bit_fusion_apq", {}),
    ("resnet8 bits, sparsity", "bitmod", {"settings": {"batch": 2}}),
    ("resnet8 bits, sparsity", "nvme_host", {}),
    ("resnet8 weights, activations", "zen4_core", {}),
    ("resnet8 weights, activations", "edge_tpu", {}),
    ("resnet8 weights, activations", "raspberry_pi_5", {"runtime": "tflite_ruy"}),
    ("resnet8 weights, activations", "a100", {"model": "roofline"}),
    ("tiny_cnn channels, bits, batch", "raspberry_pi_5", {"runtime": "tflite_ruy", "warm": True}),
    ("tiny_cnn channels, bits, batch", "jetson_agx_orin", {"runtime": "ideal"}),
    ("tiny_cnn channels, batch", "raspberry_pi_5_core", {"runtime": "onnxruntime_arm"}),
    ("tiny_cnn channels, batch", "tpu_v1", {}),
    ("tiny_cnn channels, batch", "scale_sim_32x32", {"warm": True}),
    ("tiny_cnn channels, batch", "bit_fusion_apq", {}),
    ("kws facts, precision", "stm32h743", {}),
    ("kws facts, precision", "edge_tpu", {}),
    ("resnet18 channels, bits", "zen4_core", {}),
    ("bert blocks", "rtx_4090", {}),
    ("tinyllama decode", "bitmod", {}),
    ("tinyllama decode", "tellme", {}),
    ("tinyllama decode", "cambricon_llm_s", {}),
    ("tinyllama decode", "zen4_core", {"warm": True}),
    ("tinyllama decode", "aif_ssd", {}),
]


def _name(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(value) or "cold"
    return str(value)


@pytest.mark.parametrize(("space", "device", "options"), ARCHITECTURES, ids=_name)
def test_members_of_a_space_cost_what_they_are_predicted_to(
    space: str, device: str, options: dict[str, Any]
) -> None:
    machine, members = pm.hardware(device), pm.space(space)
    oracle = with_traffic(machine, members, **options)
    assert oracle.method == "tabled"
    found = largest(oracle, machine, members.sample(6, seed=11).tolist(), **options)
    assert found[0] < BOUND, found


@pytest.mark.parametrize(
    ("device", "precision"),
    [("isaac", "int8"), ("ultra96_codenet", "w4a8")],
)
def test_layers_that_share_what_there_is_cost_what_is_predicted(
    device: str, precision: str
) -> None:
    """Copies of a layer, and windows that overlap, depend on all layers together."""
    machine, members = pm.hardware(device), pm.space("fbnet")
    oracle = with_traffic(machine, members, precision=precision)
    assert oracle.method == ("tabled" if device == "isaac" else "predicted")
    found = largest(oracle, machine, members.sample(4, seed=3).tolist(), precision=precision)
    assert found[0] < BOUND, found


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("zen4_core", {}),
        ("aif_ssd", {"model": "roofline"}),
    ],
    ids=_name,
)
def test_mcunet_members_cost_what_they_are_predicted_to(
    device: str, options: dict[str, Any]
) -> None:
    machine, members = pm.hardware(device), pm.space("mcunet")
    oracle = with_traffic(machine, members, **options)
    found = largest(oracle, machine, members.sample(6, seed=11).tolist(), **options)
    assert oracle.method == "tabled"
    assert found[0] < BOUND, found


@pytest.mark.parametrize(("case", "device", "options"), CONFIGURED, ids=_name)
def test_configurations_cost_what_they_are_predicted_to(
    case: str, device: str, options: dict[str, Any]
) -> None:
    machine = pm.hardware(device)
    space = CONFIGURATIONS[case].space(machine)
    oracle = with_traffic(machine, space, **options)
    assert oracle.method == "tabled", oracle.reason
    found = largest(oracle, machine, space.sample(12, seed=5).tolist(), **options)
    assert found[0] < BOUND, found


@pytest.mark.parametrize(
    "ends",
    [
        (1e6, 2e7),
        *(
            pytest.param(e, marks=pytest.mark.exhaustive)
            for e in ((0.0, 1e9), (2e7, 2.5e7), (1e9, 2e9))
        ),
    ],
)
def test_warm_costs_along_a_ramp_are_those_predicted(ends: tuple[float, float]) -> None:
    start, end = ends
    machine = pm.hardware("zen4_core").vary(
        {"memories.l3.ramp_start": start, "memories.l3.ramp_end": end}
    )
    space = pm.space("fbnet")
    oracle = pm.Oracle(machine, space, ["latency_s", "traffic_bytes.dram"], warm=True)
    assert oracle.method == "tabled"
    for choice in space.sample(4, seed=2).tolist():
        found = pm.predict(space.workload(choice), machine, warm=True)
        assert oracle(choice)["latency_s"] == pytest.approx(found.latency_s, rel=BOUND)
        moved = found.traffic_bytes["dram"]
        assert oracle(choice)["traffic_bytes.dram"] == pytest.approx(moved, rel=BOUND)


def test_a_varied_machine_costs_as_predicted() -> None:
    machine = pm.hardware("zen4_core").vary({"memories.dram.bandwidth": 1e10})
    space = pm.space("fbnet")
    oracle = pm.Oracle(machine, space, ["latency_s"])
    for choice in space.sample(3).tolist():
        found = pm.predict(space.workload(choice), machine).latency_s
        assert oracle(choice)["latency_s"] == pytest.approx(found, rel=BOUND)


def test_a_space_with_conversions_of_layouts_is_predicted_and_says_why() -> None:
    machine, members = pm.hardware("zen4_core"), pm.space("fbnet")
    options = {"runtime": "onnxruntime_cpu_blocks"}
    oracle = with_traffic(machine, members, **options)
    assert oracle.method == "predicted"
    assert "conversions of layouts" in oracle.reason
    found = largest(oracle, machine, members.sample(1, seed=3).tolist(), **options)
    assert found[0] == 0.0


@pytest.mark.parametrize("device", ["edge_tpu", "hailo8"])
def test_weights_that_stay_while_all_fit_are_predicted(device: str) -> None:
    machine, members = pm.hardware(device), pm.space("fbnet")
    oracle = with_traffic(machine, members, warm=True, precision="int8")
    assert oracle.method == "predicted"
    assert "which weights stay" in oracle.reason
    found = largest(
        oracle, machine, members.sample(2, seed=3).tolist(), warm=True, precision="int8"
    )
    assert found[0] == 0.0


def test_what_does_not_fall_apart_is_predicted_and_says_why() -> None:
    machine, why = pm.hardware("aif_ssd"), "several phases"
    # An encoder, then a decoder.
    space = pm.space("whisper_tiny", {"weight_bits": [4, 8]}, share="kind")
    oracle = with_traffic(machine, space)
    assert oracle.method == "predicted"
    assert why in oracle.reason
    assert why in repr(oracle)
    choice = space.sample(1, seed=3).tolist()
    assert largest(oracle, machine, choice)[0] == 0.0
