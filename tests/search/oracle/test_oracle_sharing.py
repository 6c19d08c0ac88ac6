"""Tables are compiled once for devices of one structure; a further device only costs their rows."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware
from perfmodel.workload.lower import Lowered
from tests.search.oracle.equality import largest, with_traffic


@pytest.mark.parametrize(
    ("network", "first", "second"),
    [
        ("nas_bench_201", "rtx_4090", "rtx_4080"),
        # Another number of memories before main memory: other states, the same rows.
        ("nas_bench_201", "cortex_a72", "cortex_a53"),
        ("ofa_mobilenet_v3", "h100", "a100_sxm"),
        ("fbnet", "eyeriss_v1", "eyeriss"),
    ],
)
def test_a_further_device_compiles_nothing(
    monkeypatch: pytest.MonkeyPatch, network: str, first: str, second: str
) -> None:
    # A number of classes that no other test has, so that nothing is compiled yet.
    space = pm.space(network, classes=37)
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
