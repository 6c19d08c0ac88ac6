"""Conversions of formats and layouts follow from the part of a network in which they are."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from tests.search.oracle.equality import largest, with_traffic


@pytest.mark.parametrize(
    ("device", "runtime"),
    [("am625", "ncnn"), ("zen4_core", "onnxruntime_cpu_blocks"), ("apollo3", "paddle_lite")],
)
def test_every_member_with_a_residual_stream_equals_its_prediction(
    device: str, runtime: str
) -> None:
    machine = pm.hardware(device)
    space = pm.space("mlperf_tiny_ic", {"activation_bits": [8, 16]})
    oracle = with_traffic(machine, space, runtime=runtime)
    assert oracle.method == "tabled", oracle.reason
    members = list(product(*(range(len(d.options)) for d in space.decisions)))
    difference, metric = largest(oracle, machine, members, runtime=runtime)
    assert difference < 1e-12, metric


@pytest.mark.parametrize("runtime", ["ncnn", "paddle_lite"])
def test_bounds_hold_and_are_near_where_kernels_exclude_each_other(runtime: str) -> None:
    space = pm.space("mlperf_tiny_ic", {"activation_bits": [8, 16]})
    oracle = pm.Oracle("am625", space, ("latency_s", "peak_memory_bytes"), runtime=runtime)
    members = np.array(list(product(*(range(len(d.options)) for d in space.decisions))))
    every = oracle.batch(members)["latency_s"]
    assert 0.7 * every.min() <= oracle.lower_bound([None] * members.shape[1])["latency_s"]
    for decided in (1, 3, 5):
        for prefix in product((0, 1), repeat=decided):
            least = every[(members[:, :decided] == prefix).all(axis=1)].min()
            partial: list[Any] = [*prefix, *[None] * (members.shape[1] - decided)]
            assert oracle.lower_bound(partial)["latency_s"] <= least * (1 + 1e-12)


@pytest.mark.parametrize(
    ("network", "device", "runtime"),
    [
        ("mlperf_tiny_ic", "am625", "ncnn"),
        ("squeezenet", "zen4_core", "onnxruntime_cpu_blocks"),
        ("mobilenet_v3_small", "apollo3", "mnn"),
    ],
)
def test_parts_cut_where_several_tensors_cross_cost_the_same(
    network: str, device: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = pm.space(network, {"activation_bits": [8, 16]})
    members = space.sample(40, seed=4)
    metrics = ("latency_s", "energy_j", "peak_memory_bytes")
    expected = pm.Oracle(device, space, metrics, runtime=runtime).batch(members)
    monkeypatch.setattr("perfmodel.search.oracle.network_parts._MAX_COMBINATIONS", 1)
    finer = pm.Oracle(device, space, metrics, runtime=runtime)
    for name, values in finer.batch(members).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-13, err_msg=name)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        # A dense block concatenates the results of all of its layers.
        ("densenet121", "activations in different layouts"),
        # Branches of many convolutions beside each other.
        ("inception_v3", "many decisions each"),
    ],
)
def test_large_parts_are_predicted(network: str, reason: str) -> None:
    space = pm.space(network, {"activation_bits": [8, 16]})
    oracle = pm.Oracle("am625", space, ("latency_s",), runtime="ncnn")
    assert oracle.method == "predicted"
    assert reason in oracle.reason
