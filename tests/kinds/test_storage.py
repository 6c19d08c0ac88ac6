"""Storage: Little's law, limits, finite batches, caches, heat; and the kit on its devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.storage import batch_time, cached_bandwidth, request_rate, storage_bandwidth
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find

MIB = 2.0**20
positive = st.floats(1.0, 1e3)


class TestPhoneThatStreams(KindConformance):
    def device(self) -> Device:
        return hardware("ufs_4_phone")

    def rates(self) -> Sequence[str]:
        return ("memories.storage.commands_per_s", "memories.storage.lane_bandwidth")

    def delays(self) -> Sequence[str]:
        return ("memories.storage.command_latency",)


class TestHostThatStreams(KindConformance):
    def device(self) -> Device:
        return hardware("nvme_host")

    def rates(self) -> Sequence[str]:
        return ("memories.drive.commands_per_s",)

    def delays(self) -> Sequence[str]:
        return ("memories.drive.command_latency",)


@given(positive, positive, positive, st.booleans(), st.sampled_from([1.0, 2.0, 4.0, 8.0, 64.0]))
def test_never_above_any_of_its_ceilings(
    size: float, latency: float, bandwidth: float, pipelined: bool, depth: float
) -> None:
    rate = request_rate(
        size, depth, latency, bandwidth, commands=0.5, lane=bandwidth / 2, pipelined=pipelined
    )
    # Little: requests in flight = rate x time each is under way, which is never less than alone.
    assert rate * (latency + 2 * size / bandwidth) <= depth * (1 + 1e-12)
    assert rate * size <= bandwidth * (1 + 1e-12)
    assert rate <= 0.5 * (1 + 1e-12)


def test_limits() -> None:
    args = (100e-6, 2e9)
    # Alone: latency and transfer, one after the other.
    alone = request_rate(1e6, 1.0, *args)
    assert alone == pytest.approx(1 / (100e-6 + 500e-6), rel=1e-12)
    # Deep queues of large blocks reach the interface, of small ones the command rate.
    assert storage_bandwidth(1e9, 256.0, *args) == pytest.approx(2e9, rel=1e-6)
    small = request_rate(512.0, 4096.0, *args, commands=1e5, pipelined=True)
    assert small == pytest.approx(1e5, rel=1e-6)
    # One queue processes between transfers.
    serial = request_rate(2e5, 4096.0, *args, commands=1e4)
    assert serial == pytest.approx(1 / (1e-4 + 1e-4), rel=1e-6)


@given(
    st.floats(4096, 2**24),
    st.floats(1, 64),
    st.floats(1e-5, 1e-3),
    st.floats(1e8, 1e10),
    st.floats(1e3, 1e6),
    st.booleans(),
    st.floats(1.01, 4.0),
)
def test_more_of_anything_is_never_slower(
    block: float,
    depth: float,
    latency: float,
    bandwidth: float,
    commands: float,
    pipelined: bool,
    more: float,
) -> None:
    def rate(**changes: float) -> float:
        given_ = {"block": block, "depth": depth, "latency": latency, "bandwidth": bandwidth}
        given_ |= changes
        ceiling = given_.pop("commands", commands)
        return float(storage_bandwidth(**given_, commands=ceiling, pipelined=pipelined))

    base = rate() * (1 - 1e-12)
    assert rate(block=block * more) >= base
    assert rate(depth=depth * more) >= base
    assert rate(latency=latency / more) >= base
    assert rate(bandwidth=bandwidth * more) >= base
    assert rate(commands=commands * more) >= base


def test_less_than_one_in_flight_is_one() -> None:
    one = request_rate(4096.0, 1.0, 1e-4, 1e9)
    assert request_rate(4096.0, 0.25, 1e-4, 1e9) == one == pytest.approx(1 / (1e-4 + 4.096e-6))


def test_arrays_broadcast() -> None:
    blocks = np.array([[4096.0], [65536.0], [MIB]])
    depths = np.array([1.0, 8.0, 32.0])
    found = storage_bandwidth(blocks, depths, 80e-6, 3e9, commands=5e5, pipelined=True)
    assert found.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            one = storage_bandwidth(
                float(blocks[i, 0]), float(depths[j]), 80e-6, 3e9, commands=5e5, pipelined=True
            )
            assert found[i, j] == pytest.approx(one, rel=1e-15)


@pytest.mark.parametrize(
    ("iops", "latency_s", "depth"),
    [(462763.68, 1106e-6, 512), (176907.23, 361.76e-6, 64), (135405.05, 236.31e-6, 32)],
)
def test_published_queues_obey_little(iops: float, latency_s: float, depth: int) -> None:
    """spdk issues 321 (4 cores of 128) and 970: depth = rate x latency, what the law stands on."""
    assert iops * latency_s == pytest.approx(depth, rel=1e-3)


def test_a_batch_that_fills_the_queue_runs_at_its_bandwidth() -> None:
    law = {"latency": 183e-6, "bandwidth": 2.493e9, "commands": 57600.0, "lane": 2.113e9}
    block, depth = 0.9 * MIB, 4.0
    whole = batch_time(400.0, block, depth, **law)
    assert whole == pytest.approx(400 * block / storage_bandwidth(block, depth, **law), rel=1e-12)
    # Five requests are a wave of four and one alone.
    five = batch_time(5.0, block, depth, **law)
    four, one = (batch_time(n, block, depth, **law) for n in (4.0, 1.0))
    assert five == pytest.approx(four + one, rel=1e-12)
    assert one == pytest.approx(block / storage_bandwidth(block, 1.0, **law), rel=1e-12)
    assert batch_time(0.0, block, depth, **law) == 0.0
    counts = np.arange(0.0, 33.0)
    assert np.all(np.diff(batch_time(counts, block, depth, **law)) > -1e-12)


def test_page_cache_by_hand() -> None:
    # 1 byte in 4 from storage at 2, three at 30: 4 / (1/2 + 3/30)
    assert cached_bandwidth(2.0, 0.75, 30.0) == pytest.approx(4 / (0.5 + 0.1))
    assert cached_bandwidth(2.0, 0.5) == pytest.approx(4.0)
    assert cached_bandwidth(2.0, 0.0, 30.0) == 2.0
    # All of it in a cache that costs nothing, or in one that does.
    assert np.isinf(cached_bandwidth(2.0, 1.0))
    assert cached_bandwidth(2.0, 1.0, 30.0) == pytest.approx(30.0)


def test_facts_of_a_device_enter_the_law() -> None:
    device = hardware("ufs_4_phone")
    model = find("llama_2_70b", {"phase": "decode", "batch": 1, "context": 512})
    base = predict(model, device, precision="w4a16")
    moved = base.traffic_bytes["storage"]
    facts = device.machine().facts
    expected = storage_bandwidth(
        MIB, 4.0, facts["memories.storage.command_latency"], 2.493e9, commands=57600.0, lane=2.113e9
    )
    assert base.bottleneck == "storage"
    assert base.latency_s == pytest.approx(moved / expected, rel=0.01)
    assert moved == pytest.approx(base.weight_bytes, rel=0.01)
    deep = predict(
        model,
        device.vary({"memories.storage.block": np.array([2.0**17, 2.0**23])}),
        precision="w4a16",
    )
    assert deep.latency_s[0] > base.latency_s > deep.latency_s[1]
    hot = device.vary({"memories.storage.throttled_bandwidth": 1e9})
    assert predict(model, hot, precision="w4a16").latency_s == pytest.approx(moved / 1e9, rel=0.01)
    half = device.vary({"memories.storage.hit_fraction": 0.5})
    cached = predict(model, half, precision="w4a16").latency_s
    whole = device.vary({"memories.storage.hit_fraction": 1.0})
    assert predict(model, whole, precision="w4a16").bottleneck != "storage"
    assert cached == pytest.approx(base.latency_s / 2, rel=0.02)


def test_deep_queues_of_a_drive_come_near_its_interface() -> None:
    model = find("llama_2_70b", {"phase": "decode", "batch": 1, "context": 512})
    device = hardware("nvme_host")
    found = predict(model, device, precision="w4a16")
    assert found.bandwidth_bytes_per_s["drive"] < 3.2e9
    assert found.bandwidth_bytes_per_s["drive"] > 0.85 * 3.2e9


@pytest.mark.parametrize(
    ("kind", "serial"), [("ufs", True), ("emmc", True), ("sd", True), ("nvme", False)]
)
def test_every_kind_reads_from_a_spec_by_its_law(kind: str, serial: bool, tmp_path: Path) -> None:
    """One queue adds the time of a command to each transfer; NVMe hides the shorter of the two."""
    path = tmp_path / "machine.yaml"
    path.write_text(
        "schema_version: 1\nname: machine\nsources: {s: A sheet}\nsource: s\n"
        "confidence: datasheet\nengines: [{name: cpu, peaks: {fp32: 1 EFLOP/s}}]\nmemories:\n"
        f"  - {{name: card, kind: {kind}, roles: [main], capacity: 64 GB, bandwidth: 104 MB/s,\n"
        "     command_latency: 1 us, commands_per_s: 4000, block: 26000 B, depth: 64,\n"
        "     feeds: [cpu]}\n"
    )
    device = hardware(path)
    found = predict(find("resnet18", {}), device, precision="fp32", runtime="ideal")
    # 250 us to transfer a block, 250 us to process a command.
    expected = 26000 / (500e-6 if serial else 250e-6)
    assert found.bandwidth_bytes_per_s["card"] == pytest.approx(expected, rel=1e-4)
