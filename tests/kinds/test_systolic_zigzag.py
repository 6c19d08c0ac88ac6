"""Folds against ZigZag's mapping on its weight-stationary array of 32 x 32.

It unrolls output channels over one side and input channels over the other; taps and groups follow
each other. Its ideal temporal cycles are the streams of all folds, without fill and drain.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from perfmodel.kinds.systolic import gemm

NETWORKS = {
    "alexnet_latency_lpf4": 8,
    "mobilenetv2_latency_lpf4": 53,
    "resnet18_latency_lpf4": 21,
    "resnet18_latency_lpf6": 21,
}


@pytest.mark.data
@pytest.mark.parametrize("name", NETWORKS)
def test_streams_of_every_layer(data: Path, name: str) -> None:
    seen = 0
    with (data / f"reference/zigzag/tpu_like_{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            size = {"B": 1, "OX": 1, "OY": 1, "FX": 1, "FY": 1, "G": 1, "C": 1}
            size |= {key: int(n) for key, n in re.findall(r"([A-Z]+)(\d+)", row["loop_dims"])}
            run = gemm(
                size["B"] * size["OX"] * size["OY"],
                size["K"],
                size["C"],
                rows=32,
                columns=32,
                dataflow="weight_stationary",
                groups=size["G"] * size["FX"] * size["FY"],
            )
            assert run.macs == int(row["macs"])
            assert run.folds * run.streamed == float(row["ideal_temporal_cycle"])
            used = float(row["mac_spatial_util"])
            # ZigZag's share of depthwise layers lies up to 4e-6 above what its unrollings give.
            assert float(run.mapping_efficiency) == pytest.approx(used, abs=5e-6)
            seen += 1
    assert seen == NETWORKS[name]
