"""The kind `bit_fusion` on networks, against the rows of APQ's table of latencies and energies.

Rows: mit-han-lab/apq, lut/BitFusion_new.b1.dict (Wang et al., CVPR 2020), milliseconds and
millijoules of 512 units at 500 MHz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from perfmodel.errors import InputError
from perfmodel.formats import parse_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestBitFusion(KindConformance):
    def device(self) -> Device:
        return hardware("bit_fusion_apq")

    def precision(self) -> str:
        return "int8"


class TestMixedBits(KindConformance):
    def device(self) -> Device:
        return hardware("bit_fusion_apq")

    def precision(self) -> str:
        return "w=int4,a=int8"

    def workloads(self) -> list[Workload]:
        return [find("mobilenet_v2", {}), find("vit_b_16", {})]


#: Input and output channels, kernel (depthwise where above 1), stride, input rows, bits of weights
#: and inputs; milliseconds, millijoules.
APQ_ROWS: list[tuple[int, int, int, int, int, int, int, float, float]] = [
    (96, 456, 1, 1, 14, 4, 4, 0.062192, 0.106882),
    (96, 504, 1, 1, 14, 4, 4, 0.068656, 0.117884),
    (96, 520, 1, 1, 14, 4, 4, 0.074044, 0.127085),
    (488, 96, 1, 1, 14, 4, 4, 0.018482, 0.0336714),
    (456, 192, 1, 1, 7, 4, 4, 0.010852, 0.0194064),
    (192, 768, 1, 1, 7, 4, 4, 0.031624, 0.0546002),
    (768, 192, 1, 1, 7, 4, 4, 0.01712, 0.0308363),
    (848, 192, 1, 1, 7, 4, 4, 0.01825, 0.0330655),
    (768, 320, 1, 1, 7, 8, 8, 0.054976, 0.104886),
    (784, 320, 1, 1, 7, 8, 8, 0.063376, 0.119208),
    (896, 320, 1, 1, 7, 8, 8, 0.069122, 0.132919),
    (1048, 320, 1, 1, 7, 8, 8, 0.081736, 0.15477),
    (16, 64, 1, 1, 112, 8, 8, 0.552022, 0.931547),
    (64, 24, 1, 1, 56, 8, 8, 0.06703, 0.118419),
    (24, 96, 1, 1, 56, 8, 8, 0.207168, 0.355013),
    (16, 96, 1, 1, 112, 8, 8, 0.81967, 1.38338),
    (768, 320, 1, 1, 7, 8, 4, 0.046616, 0.0843412),
    (776, 320, 1, 1, 7, 8, 4, 0.046992, 0.0861721),
    (872, 320, 1, 1, 7, 8, 4, 0.050306, 0.0926553),
    (1064, 320, 1, 1, 7, 8, 4, 0.061682, 0.112249),
    (160, 40, 1, 1, 28, 8, 4, 0.026668, 0.0486395),
    (40, 168, 1, 1, 28, 8, 4, 0.089676, 0.154487),
    (320, 80, 1, 1, 14, 8, 4, 0.015202, 0.0287862),
    (328, 80, 1, 1, 14, 8, 4, 0.023204, 0.0425935),
    (80, 328, 1, 1, 14, 8, 4, 0.048996, 0.0853507),
    (512, 512, 3, 1, 14, 4, 4, 0.089792, 0.165642),
    (520, 520, 3, 1, 14, 4, 4, 0.095404, 0.175995),
    (512, 512, 3, 2, 14, 4, 4, 0.041824, 0.0531407),
    (768, 768, 3, 1, 7, 4, 4, 0.058128, 0.0720275),
    (488, 488, 5, 1, 14, 4, 4, 0.188544, 0.358873),
    (384, 384, 5, 2, 14, 4, 4, 0.057576, 0.085951),
    (1048, 1048, 7, 1, 7, 8, 8, 0.71264, 0.429261),
    (64, 64, 3, 2, 112, 8, 8, 0.453104, 0.526324),
    (64, 64, 5, 2, 112, 8, 8, 1.25592, 1.07279),
    (64, 64, 7, 2, 112, 8, 8, 2.46133, 1.82526),
    (96, 96, 3, 1, 56, 8, 8, 0.681816, 0.751278),
    (168, 168, 3, 1, 28, 8, 4, 0.161084, 0.230661),
    (160, 160, 5, 1, 28, 8, 4, 0.40204, 0.348984),
    (160, 160, 3, 2, 28, 8, 4, 0.03956, 0.0679363),
    (160, 160, 5, 2, 28, 8, 4, 0.10718, 0.134274),
    (320, 320, 3, 1, 14, 8, 4, 0.07912, 0.135873),
    (880, 880, 5, 1, 7, 8, 4, 0.19734, 0.168454),
]


def one_layer(
    inner: int,
    outer: int,
    kernel: int,
    stride: int,
    rows: int,
    *,
    first: bool = False,
    weights: str = "",
    inputs: str = "",
) -> Workload:
    """A convolution, depthwise where its channels are as many and it has taps."""
    g = GraphBuilder("layer")
    x = g.input("image", (1, inner, rows, rows), format=inputs)
    if not first:
        x = g.elementwise("relu", x)
    groups = inner if inner == outer and kernel > 1 else 1
    weight = g.weight("w", (outer, inner // groups, kernel, kernel), format=weights)
    y = g.conv(
        x,
        outer,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
        weight=weight,
    )
    g.output(y)
    graph = g.build()
    return Workload("layer", lambda _: graph, {})


def layer_of(found: Prediction) -> tuple[float, float]:
    """Seconds and joules of the convolution, static power of its time included."""
    kinds = [str(kind) for kind in found.table["kind"]]
    row = next(i for i, kind in enumerate(kinds) if kind in {"conv", "depthwise"})
    seconds = float(found.table["row_s"][row])
    own = ("array", "input buffer", "weight buffer", "output buffer")
    joule = sum(float(found.table[f"{name} energy_j"][row]) for name in own)
    facts = found.machine.facts
    joule += float(found.table["dram_bytes"][row]) * float(facts["memories.dram.energy_per_byte"])
    return seconds, joule + seconds * float(facts["power.idle"])


def test_rows_of_the_table_of_apq() -> None:
    """Latencies within two clocks a pass, which the table rounds up; energies within 4 %."""
    device = hardware("bit_fusion_apq")
    errors: list[float] = []
    for inner, outer, kernel, stride, rows, w, a, ms, mj in APQ_ROWS:
        found = predict(
            one_layer(inner, outer, kernel, stride, rows), device, precision=f"w=int{w},a=int{a}"
        )
        seconds, joule = layer_of(found)
        passes = inner / (8 * (8 // w) * (8 // a)) if kernel > 1 else 1.0
        clocks = (ms / 1e3 - seconds) * 500e6
        assert -1e-6 <= clocks <= 2.0 * np.ceil(passes)
        assert seconds == pytest.approx(ms / 1e3, rel=1.2e-3)
        errors.append(joule * 1e3 / mj - 1.0)
    assert np.max(np.abs(errors)) < 0.04
    assert np.median(np.abs(errors)) < 0.012


def test_depthwise_rows_are_above_their_bound() -> None:
    """O O K K C / (8 p) clocks at least."""
    device = hardware("bit_fusion_apq")
    for inner, outer, kernel, stride, rows, w, a, _, _ in APQ_ROWS:
        if kernel == 1:
            continue
        found = predict(
            one_layer(inner, outer, kernel, stride, rows), device, precision=f"w=int{w},a=int{a}"
        )
        out, lanes = -(-rows // stride), (8 // w) * (8 // a)
        assert layer_of(found)[0] * 500e6 >= out**2 * kernel**2 * inner / (8 * lanes) * (1 - 1e-9)


def test_ends_of_the_networks_of_apq() -> None:
    """First and last convolution of every network of its space: 0.295904 and 0.081608 ms."""
    device = hardware("bit_fusion_apq")
    head = predict(one_layer(3, 32, 3, 2, 224, first=True), device, precision="int8")
    tail = predict(one_layer(320, 1280, 1, 1, 7), device, precision="int8")
    assert layer_of(head)[0] == pytest.approx(0.295904e-3, rel=1e-4)
    assert layer_of(tail)[0] == pytest.approx(0.081608e-3, rel=1e-4)
    assert layer_of(head)[1] == pytest.approx(0.506184e-3, rel=0.04)
    assert layer_of(tail)[1] == pytest.approx(0.151808e-3, rel=0.04)


def test_formats_of_single_tensors() -> None:
    """A weight and an input that say their format cost what a precision of both does."""
    device = hardware("bit_fusion_apq")
    for w, a in (("int4", "int8"), ("int2", "int4"), ("int8", "int3")):
        said = predict(one_layer(96, 576, 1, 1, 14, weights=w, inputs=a), device, precision="int8")
        asked = predict(one_layer(96, 576, 1, 1, 14), device, precision=f"w={w},a={a}")
        assert layer_of(said) == pytest.approx(layer_of(asked), rel=1e-12)


def test_an_array_of_bits_is_its_numbers() -> None:
    device, net = hardware("bit_fusion_apq"), find("mobilenet_v2", {})
    bits = np.array([2.0, 3.0, 4.0, 6.0, 8.0])
    base = parse_precision("int8")
    found = predict(net, device, precision=base.with_bits(weights=bits, activations=bits))
    alone = [predict(net, device, precision=base.with_bits(weights=b, activations=b)) for b in bits]
    np.testing.assert_allclose(found.latency_s, [p.latency_s for p in alone], rtol=1e-12)
    np.testing.assert_allclose(found.energy_j, [p.energy_j for p in alone], rtol=1e-12)
    assert np.all(np.diff(found.latency_s) > 0)
    same = predict(net, device, precision="int8")
    assert alone[-1].latency_s == pytest.approx(same.latency_s, rel=1e-12)


def test_scales_of_groups_are_moved_but_not_multiplied() -> None:
    """int4g128 stores 4.16 bits a weight and multiplies four."""
    device = hardware("bit_fusion_apq")
    plain = predict(find("resnet18", {}), device, precision="w=int4,a=int4").table
    scaled = predict(find("resnet18", {}), device, precision="w=int4g128,a=int4").table
    np.testing.assert_array_equal(plain["products_per_unit"], scaled["products_per_unit"])
    assert np.sum(scaled["weight_bits"]) > np.sum(plain["weight_bits"])


def test_wider_operands_take_more_clocks_and_floats_are_told() -> None:
    device, net = hardware("bit_fusion_apq"), find("resnet18", {})
    eight = predict(net, device, precision="int8")
    sixteen = predict(net, device, precision="int16")
    np.testing.assert_allclose(
        np.sum(sixteen.table["cycles"] / 4), np.sum(eight.table["cycles"]), rtol=0.05
    )
    assert sixteen.feasible
    half = predict(net, device, precision="fp16")
    assert half.unsupported == ("fp16",)
    assert not half.feasible


def test_utilization_counts_what_a_unit_can_do() -> None:
    """A vector-matrix product large enough runs at its pair's peak where memory is no limit."""
    machine = hardware("bit_fusion_apq").machine().vary({"memories.dram.bandwidth": 1e15})
    for text in ("int8", "int4", "int2", "w=int4,a=int8", "w=int2,a=int4", "w=int8,a=int2"):
        found = predict(one_layer(512, 512, 1, 1, 28, first=True), machine, precision=text)
        assert found.utilization == pytest.approx(1.0, rel=1e-3)


def test_several_arrays_share_passes_and_bandwidth() -> None:
    """Traffic and energy of arithmetic stay; time falls at most to its share."""
    machine, net = hardware("bit_fusion_apq").machine(), find("mobilenet_v2", {})
    wide = machine.vary({"memories.dram.bandwidth": 1e15})
    for base in (machine, wide):
        one, four = (
            predict(net, base.vary({"engines.array.units": u}), precision="int8")
            for u in (1.0, 4.0)
        )
        assert one.latency_s / 4 <= four.latency_s * (1 + 1e-9) <= one.latency_s * (1 + 1e-9)
    assert four.latency_s < one.latency_s / 3
    assert four.traffic_bytes["dram"] == pytest.approx(one.traffic_bytes["dram"], rel=1e-9)
    assert four.energy.parts["array"] == pytest.approx(one.energy.parts["array"], rel=1e-9)


def test_an_engine_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="engine 'gpu' is no bit-composable array"):
        predict(find("resnet18", {}), hardware("h100"), model="bit_fusion")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clock": None}, "without a clock"),
        ({"height": 8}, "as the first peak"),
        ({"lowest_bits": 16}, "smallest multiplier"),
        ({"weight_buffer": "8 B"}, "weight_buffer"),
    ],
)
def test_faults_of_a_spec(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    data = yaml.safe_load(hardware("bit_fusion_apq").to_yaml())
    engine = data["engines"][0]
    for name, value in changed.items():
        engine[name] = value
        if value is None:
            del engine[name]
    path = tmp_path / "array.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(InputError, match=said):
        hardware(path)


def test_without_prices_the_energy_is_unknown(tmp_path: Path) -> None:
    data = yaml.safe_load(hardware("bit_fusion_apq").to_yaml())
    engine = data["engines"][0]
    for name in [n for n in engine if n.endswith("_energy")]:
        del engine[name]
    path = tmp_path / "array.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    found = predict(find("resnet18", {}), hardware(path), precision="int8")
    assert "array energy_j" not in found.table.columns
