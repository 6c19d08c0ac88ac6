"""Every class of operators is costed at a rate that a spec states, or refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.kinds import names
from perfmodel.kinds.protocol import Kind
from perfmodel.kinds.roofline import Roofline
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find

#: Devices of every kind; the last three have a runtime of their own terms.
DEVICES = {
    "ant": "bit_serial",
    "bit_fusion_apq": "bit_fusion",
    "cim_jia_65nm": "in_memory",
    "aif_ssd": "nand",
    "hnlpu": "hardwired",
    "eyeriss": "spatial",
    "tpu_v1": "systolic",
    "tellme": "lookup_table",
    "kv260": "fpga",
    "hls4ml_ad08": "fpga",
    "zen4_core": "simd",
    "stm32h743": "mcu",
    "edge_tpu": "npu",
    "a100": "tensor_core",
    "apple_m2_max": "roofline",
    "a40": "tensor_core",
    "xeon_gold_6226_core": "roofline",
    "stm32g0b1": "mcu",
}

#: Networks that together have every class that the graph's documentation lists.
NETWORKS = (
    "falcon_h1_0_5b",
    "mamba2_2_7b",
    "mamba_130m",
    "rwkv_7_0_1b",
    "lmu_psmnist",
    "l2mu_braille",
    "random_forest_breast_cancer",
    "k_means_digits_training",
    "stream_copy",
    "jacobi_2d_5pt",
    "deformable_detr",
    "gpt_oss_120b",
    "mobilenet_v2",
    "alexnet",
    "codenet_a",
)

#: A kernel may reach this small a part of its engine's peak; a rate that nothing states is nine
#: orders of magnitude off.
_SLOWEST = 1e5


def test_devices_are_of_every_kind() -> None:
    found = {name: hardware(name) for name in DEVICES}
    assert {name: d.engine(d.machine().engine).kind for name, d in found.items()} == DEVICES
    assert {*DEVICES.values()} == {*names()}


def _by_peaks(found: Prediction) -> float:
    """Seconds of all operations at the lowest peak, and all bytes at the lowest bandwidth."""
    facts, engine = found.machine.facts, found.machine.engine
    heads = (f"engines.{engine}.peaks.", f"engines.{engine}.vector_peaks.")
    peaks = [v for p, v in facts.items() if p.startswith(heads)]
    rates = [v for p, v in facts.items() if p.startswith("memories.") and p.endswith(".bandwidth")]
    table = found.table
    operations = float(np.sum(table["count"] * (2.0 * table["macs"] + table["vector_ops"])))
    return operations / min(peaks) + sum(found.traffic_bytes.values()) / min(rates)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_class_has_a_rate_or_is_refused_by_name(network: str) -> None:
    workload = find(network, {})
    for name in DEVICES:
        try:
            found = predict(workload, hardware(name))
        except InputError as error:
            classes = {op.kind for _, op in workload.graph().walk()}
            said = str(error)
            assert any(c in said for c in classes) or "two activations" in said, (name, said)
            continue
        assert 0.0 < found.latency_s < _SLOWEST * _by_peaks(found), name


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_products_of_a_scan_go_at_the_peak_of_their_format(phase: str) -> None:
    """Dao and Gu, 2024, section 6: chunks are matrix products, also where the class is no GEMM's.

    Under efficiencies that differ by class, the seconds of the scan are its operations over the
    peak, times what the runtime states for scans, else for products.
    """
    workload = find("mamba2_2_7b", {"phase": phase})
    machine = hardware("apple_m2_max").machine("generic")
    facts = {"runtime.efficiency.gemm": 0.5, "runtime.efficiency.depthwise": 0.25}
    peak = machine.facts["engines.gpu.peaks.fp16"]
    for further, share in (({}, 0.5), ({"runtime.efficiency.scan": 0.1}, 0.1)):
        table = predict(workload, machine.vary(facts | further), precision="fp16").table
        (at,) = np.flatnonzero(table["kind"] == "scan")
        expected = 2.0 * table["macs"][at] / (peak * share)
        assert table["macs"][at] > 0
        assert table["matrix_s"][at] == pytest.approx(expected, rel=1e-12)


def test_a_scan_without_products_has_no_share_in_them() -> None:
    table = predict(find("mamba_130m", {}), hardware("apple_m2_max")).table
    (at,) = np.flatnonzero(table["kind"] == "scan")
    assert table["macs"][at] == table["matrix_s"][at] == 0.0 < table["vector_s"][at]


def test_half_a_billion_weights_take_milliseconds() -> None:
    """A decode step is the time of its weights from memory, and of launches: no hours."""
    found = predict(find("falcon_h1_0_5b", {}), hardware("apple_m2_max"))
    from_memory = found.traffic_bytes["dram"] / 400e9
    assert from_memory < found.latency_s < 10.0 * from_memory


class _Convolutions(Roofline, Kind):
    """A kind of others that has no more than convolutions."""

    name = "convolutions"
    classes = frozenset({"conv", "pool", "elementwise", "norm"})


def test_a_kind_says_which_classes_it_costs() -> None:
    found = predict(find("resnet18", {}), hardware("apple_m2_max"))
    job = found.job
    job = replace(job, model=replace(job.model, kind=_Convolutions()))
    with pytest.raises(InputError) as raised:
        job.run()
    for word in ("convolutions", "gemm", "fc", "conv", "pool"):
        assert word in str(raised.value)
