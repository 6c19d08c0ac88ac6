"""The style `matrix_engine` of the kind `fpga`, against published rates of FlightLLM and AccLLM."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestMatrixEngine(KindConformance):
    def device(self) -> Device:
        return hardware("u280_flightllm")

    def precision(self) -> str:
        return "w4a8kv8"

    def workloads(self) -> list[Workload]:
        return [
            find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 512}),
            find("resnet18", {}),
        ]


def test_a_row_takes_half_the_multipliers_and_sparsity_half_the_clocks() -> None:
    """FlightLLM, equation T_cmp = M*K*N / (pM*pK*pN); the chain of DSP slices splits on zeros."""
    board = hardware("u280_flightllm")
    clocks = {}
    for rows, precision in ((1, "int8"), (2, "int8"), (64, "int8"), (1, "int8+2:4")):
        net = find("opt_6_7b", {"phase": "decode", "context": 16, "batch": rows})
        table = predict(net, board, precision=precision).table
        up = list(table["name"]).index("layer.ffn_up")
        clocks[rows, precision] = float(table["array_s"][up]) * 225e6
    dense = 4096 * 16384 / 6144
    assert clocks[1, "int8"] == pytest.approx(dense)
    assert clocks[2, "int8"] == pytest.approx(dense)
    assert clocks[64, "int8"] == pytest.approx(32 * dense)
    assert clocks[1, "int8+2:4"] == pytest.approx(dense / 2)


def test_resources_are_the_shares_that_the_paper_prints() -> None:
    """Table 3 of the paper: 44.0, 36.2, 62.1, 82.5 and 70.2 % of the part."""
    net = find("llama_2_7b", {"phase": "decode", "context": 128})
    found = predict(net, hardware("u280_flightllm"), precision="w4a8kv8").resources
    printed = {"lut": 0.440, "ff": 0.362, "bram": 0.621, "uram": 0.825, "dsp": 0.702}
    for name, share in printed.items():
        assert float(np.asarray(found[name]["share"]).item()) == pytest.approx(share, abs=0.002)


def test_the_second_figure_follows_from_the_first() -> None:
    """57.1 tokens/s at 128 tokens of KV cache fix the share of the memory; 52.7 at 512 follow."""
    board = hardware("u280_flightllm")
    rates = [
        predict(
            find("llama_2_7b", {"phase": "decode", "context": c}), board, precision="w4a8kv8"
        ).tokens_per_s
        for c in (128, 512)
    ]
    assert rates[0] == pytest.approx(57.1, rel=0.005)
    assert rates[1] == pytest.approx(52.7, rel=0.10)


def test_accllm_energy() -> None:
    """4.96 tokens a joule at the published 33 W."""
    net = find("llama_2_7b", {"phase": "decode", "context": 512})
    found = predict(net, hardware("u280_accllm"), precision="w2a8kv4+2:4")
    assert 1.0 / found.energy_j == pytest.approx(4.96, rel=0.02)
    # Two bits and two bits for its place of every other weight.
    assert found.weight_bytes == pytest.approx(6.74e9 * 2 / 8, rel=0.01)
