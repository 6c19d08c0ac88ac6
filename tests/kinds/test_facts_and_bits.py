"""Bits set to what they are, peaks of other formats, and work that no batch multiplies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import METRICS
from perfmodel.settings import BITS
from perfmodel.workload.library import find

#: One device of each kind, and runtimes whose constants are of a format by name.
DEVICES = (
    "esp32_s3",
    "nvme_host",
    "a100",
    "apple_m2_max",
    "edge_tpu",
    "tpu_v1",
    "eyeriss",
    "u200_dpu",
    "hls4ml_ad08",
    "fpgaconvnet_zc706_ic",
    "finn_kws_w3a3",
    "cim_jia_65nm",
    "isaac",
    "ant",
    "bit_fusion_apq",
    "tellme",
    "hnlpu",
    "aif_ssd",
    "rk3588",
)
PRECISIONS = (None, "int8", "w4a8", "q4_k_m", "w4g128a16kv8", "ternary")


def same(left: Any, right: Any) -> bool:
    """Tell whether two predictions agree in every metric to what a reordered sum may differ."""
    for metric in METRICS:
        pairs = [(getattr(left, metric), getattr(right, metric))]
        if isinstance(pairs[0][0], dict):
            pairs = [(pairs[0][0][name], pairs[0][1][name]) for name in pairs[0][0]]
        for a, b in pairs:
            if a is None or isinstance(a, str):
                assert a == b, metric
                continue
            if not np.allclose(a, np.ravel(b)[-1], rtol=1e-12, atol=0.0, equal_nan=True):
                return False
    return True


@pytest.mark.parametrize("name", DEVICES)
def test_bits_set_to_what_they_are_change_nothing(name: str) -> None:
    """By themselves, and as the last point of a sweep over them."""
    device = hardware(name)
    for network in ("mlperf_tiny_ad", "resnet18", "llama_3_8b"):
        workload = find(network, {})
        for precision in PRECISIONS:
            try:
                base = predict(workload, device, precision=precision)
            except InputError:
                continue
            own = base.job.precision
            for role in BITS.values():
                bits = getattr(own, role).element_bits
                for value in (float(bits), np.array([bits / 2.0, bits])):
                    changed = own.with_bits(**{role: value})
                    found = predict(workload, device, precision=changed)
                    assert same(base, found), (network, precision, role, np.ndim(value))


@pytest.mark.parametrize("name", ["esp32_s3", "edge_tpu", "raspberry_pi_5"])
def test_a_setting_of_bits_keeps_the_precision_of_the_device(name: str, tmp_path: Path) -> None:
    """``--set weight_bits`` varies what is stored, in a prediction and in a sweep."""
    base = pm.predict("resnet18", name)
    own = base.job.precision
    for setting, role in BITS.items():
        bits = float(getattr(own, role).element_bits)
        assert same(base, pm.predict("resnet18", name, set={setting: bits})), setting
        table = pm.sweep("resnet18", name, {setting: [bits / 2.0, bits]})
        np.testing.assert_allclose(table["latency_s"][-1], base.latency_s, rtol=1e-12)
        assert set(table["precision"]) == {base.precision}


def test_present_values_of_sizes_change_nothing() -> None:
    for name in ("esp32_s3", "u200_dpu"):
        base = pm.predict("resnet18", name)
        for size, value in base.workload.parameters.items():
            assert same(base, pm.predict("resnet18", name, set={size: value})), size


@pytest.mark.parametrize("name", ["nvme_host", "zen4_core"])
def test_a_faster_unit_for_one_format_slows_down_no_other(name: str) -> None:
    machine = hardware(name).machine()
    paths = [p for p in machine.facts if f"engines.{machine.engine}.peaks." in p]
    steps = np.geomspace(0.5, 50.0, 5)
    for precision in ("w4a8", "fp32", "int8", "fp16"):
        for path in paths:
            varied = machine.vary({path: machine.facts[path] * steps})
            seconds = predict(find("resnet18", {}), varied, precision=precision).latency_s
            assert np.all(np.diff(np.broadcast_to(seconds, (5,))) <= 1e-15), (precision, path)
        # No kernel is quicker than its unit, which skips the 7 % of taps on the padding.
        own = f"engines.{machine.engine}.peaks.{'fp32' if precision.startswith('fp') else 'int8'}"
        slow = machine.vary({own: machine.facts[own] / 100.0})
        found = predict(find("resnet18", {}), slow, precision=precision)
        assert found.latency_s > 2.0 * found.macs / (machine.facts[own] / 100.0) * 0.92


@pytest.mark.parametrize("name", ["u200_dpu", "kv260", "vck5000_dpu"])
def test_what_no_batch_multiplies_runs_once(name: str) -> None:
    """Images are compared with one text: its tower takes as long however many there are."""
    machine = hardware(name).machine()
    batches = np.array([1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 64.0])
    workload = find("clip_vit_b_32", {}).bind({"batch": batches})
    seconds = predict(workload, machine, precision="int8").latency_s
    assert np.all(np.diff(seconds) >= 0.0)
    one, many = (
        predict(find("clip_vit_b_32", {"batch": b}), machine, precision="int8").table
        for b in (1, 7)
    )
    text = np.char.startswith(np.asarray(one["name"], dtype=str), "text_layer.ffn")
    assert text.any()
    np.testing.assert_allclose(many["total_s"][text], one["total_s"][text], rtol=1e-12)


def test_a_mixture_keeps_what_it_stores_wider() -> None:
    """Bits are those of the elements of the mixture's own format; its exceptions stay."""
    mixture = as_precision("q4_k_m")
    changed = mixture.with_bits(weights=2.0)
    assert changed.bits("weight:head") == mixture.bits("weight:head") > changed.bits("weight")
