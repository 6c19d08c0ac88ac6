"""Workloads streamed on devices: bounds, what `predict` says, and runs of a phone."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.schedule.place import PlacementLevel
from perfmodel.schedule.stream import StreamResult, stream
from perfmodel.schedule.stream.channel import channel_of
from perfmodel.schedule.stream.layers import layers_of
from perfmodel.schedule.stream.pipeline import Load, pipeline

MIB = 2.0**20


def streamed(name: str, device: str = "ufs_4_phone", **options: Any) -> StreamResult:
    workload = pm.workload(name, **({} if name == "resnet50" else {"phase": "decode"}))
    options.setdefault("precision", "w4a16")
    return stream(workload, pm.hardware(device), **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("llama_3_8b", {"memory": "2 GB"}),
        ("llama_3_8b", {"keep": False, "depth": 1}),
        ("llama_3_8b", {"memory": "2 GB", "spread": "first", "depth": 4}),
        ("qwen3_30b_a3b", {"memory": "6 GB"}),
        ("qwen3_30b_a3b", {"memory": "6 GB", "accuracy": 0.8, "depth": 8}),
        ("qwen3_30b_a3b", {"memory": "6 GB", "cached": True, "popularity": 1.0}),
        ("qwen3_30b_a3b", {"hit_fraction": 0.9}),
        ("qwen3_30b_a3b", {"memory": "6 GB", "grouped": True}),
        ("qwen3_30b_a3b", {"memory": "6 GB", "grouped": True, "accuracy": 0.5}),
        ("resnet50", {"memory": "15 MB", "precision": "int8"}),
    ],
)
def test_bounds_hold(name: str, options: dict[str, Any]) -> None:
    result = streamed(name, **options)
    assert result.feasible
    slack = 1e-9 * result.run_s
    # Draws differ from run to run, and what one run loads ahead the other has not to.
    assert result.bound_s <= result.run_s * 1.05
    assert result.run_s <= result.serial_s * 1.05
    assert result.bubble_s == pytest.approx(result.run_s - result.compute_s, abs=slack)
    assert result.timeline is not None
    assert result.timeline.peak_places <= result.depth
    room = result.prediction.machine["memories.dram.capacity"]
    assert result.working_set_bytes <= room
    assert json.loads(result.to_json())["run_s"] == result.run_s
    assert len(result.table) == len(result.timeline.items)
    assert result.channel.name in repr(result)


def test_nothing_kept_is_what_predict_assumes() -> None:
    """All weights from storage each token: bytes are those of the prediction, and so is the time,
    but for how much of a layer's computing is hidden."""
    result = streamed("llama_3_8b", keep=False, depth=2)
    p = result.prediction
    moved = float(p.traffic_bytes["storage"])
    assert result.streamed_bytes == pytest.approx(moved, rel=1e-9)
    assert result.run_s == pytest.approx(float(p.latency_s), rel=0.02)
    alone = streamed("llama_3_8b", keep=False, depth=1)
    assert alone.run_s == pytest.approx(alone.serial_s, rel=0.01)
    assert alone.run_s > result.run_s


def test_everything_kept_is_the_engine_alone() -> None:
    result = streamed("tinyllama_1_1b")
    assert result.run_s == pytest.approx(result.compute_s, rel=1e-9)
    # The embedding's one row a token is not worth its place in memory where room is short, and
    # here there is enough of it.
    assert result.streamed_bytes == 0.0
    assert result.buffer_bytes == 0.0
    p = result.prediction
    just = float(p.weight_bytes + p.kv_bytes)
    assert streamed("tinyllama_1_1b", memory=just * (1 + 1e-9)).streamed_bytes == 0.0
    assert streamed("tinyllama_1_1b", memory=just * 0.99).streamed_bytes > 0.0
    inner = pm.predict(
        pm.workload("tinyllama_1_1b", phase="decode"), "snapdragon_8_gen_3", precision="w4a16"
    )
    assert result.compute_s == pytest.approx(float(inner.latency_s), rel=0.01)


def test_more_memory_is_never_slower_and_spread_layers_hide_loads() -> None:
    grown = [streamed("llama_3_8b", memory=f"{size} GB").run_s for size in (1, 2, 3, 4, 5)]
    assert grown == sorted(grown, reverse=True)
    # Loads hide behind layers that stay only where these are between them.
    host = PlacementLevel.of("host", "64 GB", "600 GB/s")
    even, first = (
        streamed("llama_3_70b", "rtx_4090", source=host, memory="20 GB", spread=name)
        for name in ("even", "first")
    )
    assert even.streamed_bytes == pytest.approx(first.streamed_bytes, rel=0.01)
    assert even.hidden_fraction > first.hidden_fraction


def test_guesses_help_where_the_channel_is_idle_and_hurt_where_it_is_not() -> None:
    """With loads as long as computing, knowing ahead hides them; on a busy channel it wastes."""
    fast = {
        "memories.storage.lane_bandwidth": 60e9,
        "memories.storage.bandwidth": 60e9,
        "memories.storage.sustained_bandwidth": 60e9,
        "memories.storage.command_latency": 1e-6,
        "memories.storage.commands_per_s": 1e7,
    }
    device = pm.hardware("ufs_4_phone").vary(
        {k: v for k, v in fast.items() if k in pm.hardware("ufs_4_phone").machine().paths}
    )
    workload = pm.workload("qwen3_30b_a3b", phase="decode")
    options: dict[str, Any] = {"precision": "w4a16", "hit_fraction": 0.7, "depth": 8}
    blind = stream(workload, device, **options)
    sure = stream(workload, device, accuracy=1.0, **options)
    assert sure.wasted_bytes == 0.0
    assert sure.run_s < blind.run_s
    slow = pm.hardware("ufs_4_phone")
    wrong = stream(workload, slow, accuracy=0.3, **options)
    assert wrong.wasted_bytes > 0.0
    assert wrong.run_s > stream(workload, slow, **options).run_s


def test_grouped_experts_wait_for_each_other() -> None:
    """A matrix of all experts at a time hides less than an expert at a time, and moves the same."""
    fast = PlacementLevel.of("near", "64 GB", "20 GB/s")
    options: dict[str, Any] = {"source": fast, "hit_fraction": 0.7, "depth": 8, "memory": "10 GB"}
    one = streamed("qwen3_30b_a3b", "snapdragon_8_gen_3", **options)
    together = streamed("qwen3_30b_a3b", "snapdragon_8_gen_3", grouped=True, **options)
    assert together.streamed_bytes == pytest.approx(one.streamed_bytes, rel=1e-9)
    assert together.compute_s == pytest.approx(one.compute_s, rel=1e-9)
    assert together.run_s > one.run_s


def test_hits_are_those_of_the_placement() -> None:
    result = streamed("qwen3_30b_a3b", memory="6 GB")
    experts = [r for r in result.placement.rows if "expert" in r.name]
    inside = sum(r.read_bytes for r in experts if r.level == "dram")
    assert result.hit_fraction == pytest.approx(inside / sum(r.read_bytes for r in experts))
    # On average, what is streamed is what the placement reads from storage.
    outside = sum(r.read_bytes for r in result.placement.rows if r.level == "storage")
    assert result.streamed_bytes == pytest.approx(outside, rel=0.03)
    known = streamed("qwen3_30b_a3b", memory="6 GB", hit_fraction=1.0)
    assert known.streamed_bytes < 1e4


def test_layers_add_up_to_the_prediction() -> None:
    for name, settings in (
        ("qwen3_30b_a3b", {"phase": "decode"}),
        ("resnet50", {}),
        ("deepseek_v3", {"phase": "decode", "batch": 2}),
    ):
        p = pm.predict(pm.workload(name, **settings), "a100", precision="fp16")
        layers = layers_of(p, "nowhere")
        total = sum(layer.count * layer.engine_s for layer in layers)
        assert total == pytest.approx(float(p.latency_s), rel=1e-9)
        read = sum(
            layer.count * (sum(layer.tensors.values()) + layer.expert_bytes) for layer in layers
        )
        rows = sum(r.read_bytes for r in pm_rows(p))
        assert read == pytest.approx(rows, rel=1e-9)


def pm_rows(p: Any) -> Any:
    from perfmodel.schedule.place.items import items_of

    return [
        replace(i, read_bytes=i.read_bytes * i.copies) for i in items_of(p) if i.role == "weight"
    ]


def test_what_does_not_fit_is_data() -> None:
    result = streamed("llama_3_8b", memory="100 MB", depth=8)
    assert not result.feasible
    assert math.isinf(result.run_s)
    assert "does not fit" in repr(result)
    assert result.violations[0].gap > 0
    assert json.loads(result.to_json())["feasible"] is False
    assert len(result.table) == 0


def test_faults_are_told() -> None:
    wrongs: tuple[dict[str, Any], ...]
    wrongs = (
        {"depth": 0},
        {"spread": "odd"},
        {"accuracy": 2.0},
        {"hit_fraction": -1.0},
        {"runs": 0},
        {"source": "dram"},
        {"source": "moon"},
    )
    for wrong in wrongs:
        with pytest.raises(InputError):
            streamed("llama_3_8b", **wrong)
    with pytest.raises(InputError, match="main memory"):
        streamed("llama_3_8b", "rtx_4090")
    with pytest.raises(InputError, match="one point"):
        stream(
            pm.workload("llama_3_8b", phase="decode", batch=np.arange(1, 3)),
            pm.hardware("ufs_4_phone"),
        )


@pytest.mark.data
def test_experts_streamed_on_a_phone(data: Path) -> None:
    """Wall time a token of 21 runs of Qwen3-30B-A3B, from their own compute time and bytes read.

    Nothing is fitted to these runs: the law of the storage is from random reads of the same phone.
    Runs without overlap (`_c2000`, `_c4000` by lanes, `_stream`) load, then compute. The others
    compute one of the three matrices of all experts while the next is loaded, as llama.cpp does.
    The model is an optimist everywhere but where nothing is cached: what handling a cache costs is
    not in it.
    """
    p = pm.predict(pm.workload("qwen3_30b_a3b", phase="decode"), "ufs_4_phone", precision="w4a16")
    channel = channel_of(p, "storage")
    with (data / "measured" / "bigmoe_flash_streaming_runs.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if float(r["read_mib_per_token"]) > 0]
    assert len(rows) == 21
    whole = next(float(r["read_mib_per_token"]) for r in rows if r["run"].endswith("qwen_stream"))
    expert = whole * MIB / (48 * 8)
    errors: dict[str, float] = {}
    for row in rows:
        name = row["run"].partition("/")[2]
        visits = 6 if "k6" in name else 8
        miss = float(row["read_mib_per_token"]) * MIB / (48 * visits * expert)
        lanes = 2.0 if name.endswith("l2") else 4.0
        serial = name in {"qwen_stream", *(f"qwen_c{c}000_l{n}" for c in (2, 4) for n in (2, 4))}
        wall = _token(
            replace(channel, depth=lanes),
            float(row["compute_ms_mean"]) / 1e3,
            miss,
            visits,
            expert,
            serial,
        )
        errors[row["run"]] = wall / (float(row["wall_ms_mean"]) / 1e3) - 1.0
    assert abs(errors["2026-07-12/qwen_stream"]) < 0.02
    assert all(-0.16 < error < 0.01 for error in errors.values())
    assert float(np.mean(np.abs(list(errors.values())))) < 0.085


def _token(
    channel: Any, compute: float, miss: float, visits: int, expert: float, serial: bool
) -> float:
    """Seconds of a token, over eight tokens: attention, then experts, at once or by matrix.

    The engine's seconds are spread over attention, experts and head by their weights.
    """
    random = np.random.default_rng(0)
    total = 48 * (18.87 + 4.718 * visits) + 311
    before, each, head = (compute * part / total for part in (18.87, 4.718, 311.0))
    items: list[Load] = []
    for _ in range(8):
        for _ in range(48):
            missing = int(random.binomial(visits, miss))
            start = len(items)
            items.append(Load("attention", 0.0, before))
            seconds = channel.seconds(missing * expert, 3.0 * missing)
            parts = 1 if serial else 3
            part = Load("matrix", seconds / parts, each * visits / parts, after=start)
            items += [part] * parts
        items.append(Load("head", 0.0, head))
    return pipeline(items, slots=3).makespan_s / 8


def test_a_source_beside_the_device_leaves_its_storage_alone(tmp_path: Path) -> None:
    """Experts in the host's memory cost the card what they cost one that has no drive at all."""
    text = (Path(__file__).parents[3] / "examples" / "desktop_with_ssd.yaml").read_text()
    spec = tmp_path / "desktop_with_ssd.yaml"
    spec.write_text(text)
    host = PlacementLevel.of("host", "64 GB", "25 GB/s")
    asked: dict[str, Any] = {
        "precision": "w4a16",
        "memory": "12 GB",
        "source": host,
        "cached": True,
        "popularity": 0.3,
        "set": {"phase": "decode"},
    }
    plain, drive = (pm.stream("mixtral_8x7b", device, **asked) for device in ("rtx_4090", spec))
    assert drive.compute_s == pytest.approx(plain.compute_s)
    assert drive.run_s == pytest.approx(plain.run_s)
    # Idle power is stated of the one, and follows from its class on the other; waiting costs it.
    waits = drive.run_s - drive.compute_s
    for found, idle_w in ((drive, 20.0), (plain, plain.prediction.machine["power.idle"])):
        busy = float(found.prediction.power_w) * found.compute_s
        assert found.device_energy_j == pytest.approx(busy + idle_w * waits)
    asked["source"] = None
    read = pm.stream("mixtral_8x7b", spec, **asked)
    assert read.energy_j == pytest.approx(1e-9 * read.streamed_bytes)
    assert read.run_s > drive.run_s
    # Bytes of the drive are charged once: those that are streamed, at a nanojoule each.
    p = read.prediction
    from_drive = 1e-9 * float(p.traffic_bytes["ssd"])
    busy = (float(p.energy_j) - from_drive) / float(p.latency_s) * read.compute_s
    waits = 20.0 * (read.run_s - read.compute_s)
    assert read.device_energy_j == pytest.approx(busy + waits + read.energy_j)
