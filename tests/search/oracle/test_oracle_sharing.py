"""Tables are compiled once for devices of one structure; a further device only costs their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware
from perfmodel.workload.lower import Lowered
from tests.search.oracle.equality import largest, with_traffic

BITS = {"weight_bits": [3, 7], "activation_bits": [8, 16]}


@pytest.mark.parametrize(
    ("network", "settings", "first", "second"),
    [
        # A number of classes that no other test has, so that nothing is compiled yet.
        ("nas_bench_201", {"classes": 37}, "rtx_4090", "rtx_4080"),
        # Another number of memories before main memory: other states, the same rows.
        ("nas_bench_201", {"classes": 37}, "cortex_a72", "cortex_a53"),
        ("ofa_mobilenet_v3", {"classes": 37}, "h100", "a100_sxm"),
        ("fbnet", {"classes": 37}, "eyeriss_v1", "eyeriss"),
        ("tiny_cnn", {"choices": BITS}, "rtx_4090", "rtx_4080"),
        # Conversions between blocked layouts.
        (
            "tiny_cnn",
            {"choices": BITS | {"batch": [1, 3]}},
            "raspberry_pi_4",
            "raspberry_pi_3b_plus",
        ),
    ],
)
def test_a_further_device_compiles_nothing(
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    settings: Mapping[str, Any],
    first: str,
    second: str,
) -> None:
    space = pm.space(network, **settings)
    compiled: list[str] = []
    compile_table = Lowered.compile

    def counted(lowered: Lowered, **options: Any) -> Any:
        compiled.append(lowered.graph.name)
        return compile_table(lowered, **options)

    monkeypatch.setattr(Lowered, "compile", counted)
    pm.Oracle(first, space)
    assert compiled
    compiled.clear()
    oracle = with_traffic(hardware(second), space)
    assert oracle.method == "tabled"
    assert not compiled
    difference, metric = largest(oracle, hardware(second), space.sample(3, seed=5).tolist())
    assert difference < 1e-12, metric
