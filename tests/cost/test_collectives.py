"""Collectives: bytes on the wire, limits of small and large messages, physics, measured rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.cost.collectives import (
    COLLECTIVES,
    CollectiveKernel,
    candidates,
    collective_seconds,
    wire_bytes,
)
from perfmodel.errors import InputError

RING = CollectiveKernel.constants(
    {
        "launch": 5e-6,
        "step": 8e-7,
        "middle_start": 1e-6,
        "middle_step": 1e-6,
        "bulk_start": 8e-6,
        "bulk_step": 2e-6,
        "low_share": 0.05,
        "middle_share": 0.5,
        "pair_share": 0.65,
        "eight_share": 0.8,
        "bridge_share": 0.5,
        "ramp": 1e-5,
    }
)


def ring_by_steps(name: str, size: int, n: int) -> int:
    """Count the bytes that a device of a ring sends, step by step."""
    part = size // n
    if name == "all_to_all":
        return sum(part for other in range(n) if other)
    rounds = 2 if name == "all_reduce" else 1
    return sum(part for _ in range(rounds) for _ in range(n - 1))


@pytest.mark.parametrize("name", sorted(COLLECTIVES))
@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_wire_carries_what_a_ring_sends(name: str, n: int) -> None:
    assert wire_bytes(name, 2.0**20, float(n)) == ring_by_steps(name, 2**20, n)


@pytest.mark.parametrize("name", sorted(COLLECTIVES))
def test_a_small_message_is_steps_and_a_large_one_is_bandwidth(name: str) -> None:
    small = float(collective_seconds(name, 8.0, 8.0, 450e9, RING))
    steps = 7 * (COLLECTIVES[name] if name != "all_to_all" else 1)
    assert small == pytest.approx(5e-6 + steps * 8e-7, rel=0.15)
    large = float(collective_seconds(name, 1e12, 8.0, 450e9, RING))
    assert large == pytest.approx(wire_bytes(name, 1e12, 8.0) / (0.8 * 450e9), rel=1e-3)


@given(
    name=st.sampled_from(sorted(COLLECTIVES)),
    size=st.floats(10.0, 1e10),
    n=st.integers(2, 8),
    factor=st.floats(1.0, 8.0),
)
def test_more_link_is_never_slower_and_more_bytes_never_faster(
    name: str, size: float, n: int, factor: float
) -> None:
    before = float(collective_seconds(name, size, float(n), 450e9, RING))
    assert float(collective_seconds(name, size, float(n), 450e9 * factor, RING)) <= before * 1.0001
    assert float(collective_seconds(name, size * factor, float(n), 450e9, RING)) >= before * 0.9999
    assert before > wire_bytes(name, size, float(n)) / 450e9


def test_an_algorithm_without_a_share_is_none_that_there_is() -> None:
    found = candidates("all_reduce", 1e6, 8.0, 450e9, RING)
    assert np.isinf(float(found["one shot"]))
    assert np.isinf(float(found["in the switch"]))


def test_one_shot_serves_small_messages_and_the_switch_large_ones() -> None:
    sizes = np.array([4096.0, 1e6, 5e8])
    found = pm.collective("all_reduce", sizes, 8, "h100", runtime="vllm_all_reduce")
    assert found.algorithm.tolist() == ["one shot", "two shots", "in the switch"]
    singles = [
        float(pm.collective("all_reduce", s, 8, "h100", runtime="vllm_all_reduce").latency_s)
        for s in sizes.tolist()
    ]
    assert found.latency_s.tolist() == pytest.approx(singles)
    assert np.all(found.bus_bandwidth_bytes_per_s < 2 * 450e9)


def test_a_faster_link_of_a_varied_machine_counts() -> None:
    device = pm.hardware("h100")
    varied = device.vary({"links.nvlink.bandwidth": 900e9})
    before = pm.collective("all_gather", 1e9, 8, device).latency_s
    assert pm.collective("all_gather", 1e9, 8, varied).latency_s < 0.6 * before


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "all_redcue"}, "name"),
        ({"devices": 1}, "devices"),
        ({"runtime": "llama_cpp_cuda"}, "runtime"),
        ({"link": "token_ring"}, "link"),
        ({"device": "mi300x"}, "links"),
    ],
)
def test_bad_questions_say_where_they_are_wrong(change: dict[str, object], path: str) -> None:
    asked: dict[str, object] = {
        "name": "all_reduce",
        "message_bytes": 1e6,
        "devices": 8,
        "device": "h100",
        **change,
    }
    with pytest.raises(InputError) as error:
        pm.collective(**asked)  # type: ignore[arg-type]
    assert error.value.faults[0].path == path


@pytest.mark.data
def test_measured_collectives() -> None:
    (found,) = pm.validate("gpu_collectives")
    assert found.coverage == 1.0
    assert found.mape is not None
    assert found.mape < 0.12
    assert found.mape < 0.2 * (found.baselines["roofline"]["mape"] or 0)
