"""The precision of a network of which nobody states one, by kind of engine."""

from __future__ import annotations

import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("stm32h743", "int8"),  # has fp32, and no room for it
        ("rk3588", "int8"),  # RKNN's networks are quantised; the part multiplies fp16 as well
        ("snapdragon_8_gen_2", "int8"),
        ("cim_sinangil_7nm", "int4"),  # all that it multiplies
        ("xc7z020", "int16"),
        ("a100", "fp16"),
        ("bitmod", "fp16"),
        ("hnlpu", "w=fp4,a=fp16"),
    ],
)
def test_a_kind_runs_networks_in_the_formats_that_it_is_built_for(
    device: str, expected: str
) -> None:
    found = predict(find("mlperf_tiny_ic", {}), hardware(device))
    assert found.precision == expected
    stated = predict(find("mlperf_tiny_ic", {}), hardware(device), precision=expected)
    assert found.latency_s == pytest.approx(stated.latency_s, rel=1e-12)


def test_tables_of_ternary_sums_take_ternary_weights() -> None:
    """What TeLLMe was built for fits its board without a word of formats."""
    found = predict(find("bitnet_b1_58_large", {}), hardware("tellme"))
    assert found.feasible
    wide = predict(find("bitnet_b1_58_large", {}), hardware("tellme"), precision="fp16")
    assert found.weight_bytes < wide.weight_bytes / 6.0


def test_a_stated_precision_is_kept() -> None:
    found = predict(find("mlperf_tiny_ic", {}), hardware("stm32h743"), precision="fp32")
    assert found.precision == "fp32"
