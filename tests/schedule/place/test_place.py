"""Placement of models on devices: what `predict` says of bytes and seconds, and what fits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.plan import Plan
from perfmodel.schedule.place import PlacementLevel, PlacementResult, place

HOST = PlacementLevel.of("host", "64 GB", "25 GB/s")


def placed(name: str, device: str, context: int = 2048, batch: int = 1, **options: Any) -> Any:
    workload = pm.workload(name, phase="decode", batch=batch, context=context)
    return place(workload, pm.hardware(device), precision="w4a16", **options)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("llama_3_8b", {"phase": "decode", "context": 512}),
        ("opt_6_7b", {"phase": "decode", "batch": 3}),
        ("qwen3_30b_a3b", {"phase": "decode", "batch": 4}),
        ("mixtral_8x7b", {"phase": "request", "generate": 3}),
        ("deepseek_v3", {"phase": "decode"}),
        ("mamba_130m", {"phase": "decode"}),
        ("resnet50", {}),
        ("whisper_tiny", {}),
    ],
)
@pytest.mark.parametrize("by", ["tensor", "layer"])
def test_items_are_the_predictions_bytes(name: str, settings: dict[str, Any], by: Any) -> None:
    result = place(
        pm.workload(name, **settings),
        pm.hardware("a100"),
        by=by,
        extra=[PlacementLevel.of("host", "2 TB", "25 GB/s")],
    )
    stored = {
        role: sum(i.copies * i.size_bytes for i in result.items if i.role == role)
        for role in ("weight", "kv")
    }
    assert stored["weight"] == pytest.approx(float(result.prediction.weight_bytes), rel=1e-9)
    assert stored["kv"] == pytest.approx(float(result.prediction.kv_bytes), rel=1e-9)
    assert sum(result.used_bytes.values()) == pytest.approx(sum(stored.values()), rel=1e-9)


def test_where_all_fits_it_reads_what_predict_reads() -> None:
    """One level: the seconds are those of the prediction's own traffic of weights and cache."""
    result = placed("llama_3_8b", "jetson_agx_orin", levels=["dram"])
    assert result.proved
    assert result.value == pytest.approx(result.assumed_s, rel=1e-12)
    p = result.prediction
    table = p.table
    moved = sum(
        count * each for count, each in zip(table["count"], table["dram_bytes"], strict=True)
    )
    read = sum(row.read_bytes for row in result.rows)
    # The rest of the traffic is activations.
    assert read <= moved
    assert read == pytest.approx(moved, rel=0.02)
    assert p.placement["dram"]["demand_bytes"] == pytest.approx(
        result.used_bytes["dram"] + float(p.activation_bytes), rel=1e-9
    )


def test_placing_a_mixture_beats_what_predict_assumes() -> None:
    """All weights in storage, as a spec with the role says; most of them fit the memory."""
    result = placed("qwen3_30b_a3b", "ufs_4_phone")
    assert result.proved
    assert result.value < 0.2 * result.assumed_s
    levels = {row.level for row in result.rows if row.name.startswith("embedding")}
    assert levels == {"storage"}  # one row of the table is read a token: it waits outside
    dram = result.levels[[v.name for v in result.levels].index("dram")]
    p = result.prediction
    free = p.machine["memories.dram.capacity"] - p.machine["memories.dram.reserved"]
    assert dram.capacity_bytes == free - float(p.activation_bytes)
    assert "kv" not in next(v for v in result.levels if v.name == "storage").holds


def test_methods_are_ordered_and_more_room_is_no_worse() -> None:
    values = [
        placed("qwen3_30b_a3b", "ufs_4_phone", method=m).value for m in ("exact", "lp", "greedy")
    ]
    assert values == sorted(values)
    grown = [
        placed("qwen3_30b_a3b", "ufs_4_phone", capacities={"dram": size}).value
        for size in ("2 GB", "4 GB", "8 GB", "12 GB", "24 GB")
    ]
    assert grown == sorted(grown, reverse=True)


def test_path_bandwidth_is_the_slowest_on_the_way() -> None:
    """A store faster than the memory that it passes through is read at that memory's speed."""
    device = pm.hardware("ufs_4_phone").vary({"memories.dram.bandwidth": 1e9})
    workload = pm.workload("tinyllama_1_1b", phase="decode")
    result = place(workload, device, precision="w4a16")
    rates = {v.name: v.bandwidth_bytes_per_s for v in result.levels}
    assert rates["storage"] == rates["dram"]


def test_skewed_routers_and_caches() -> None:
    even = placed("qwen3_30b_a3b", "ufs_4_phone", capacities={"dram": "6 GB"})
    skewed = placed("qwen3_30b_a3b", "ufs_4_phone", capacities={"dram": "6 GB"}, popularity=0.8)
    assert skewed.value < even.value
    cached = placed(
        "qwen3_30b_a3b", "ufs_4_phone", capacities={"dram": "6 GB"}, popularity=0.8, cached="dram"
    )
    assert cached.value >= skewed.value * (1 - 1e-9)
    assert cached.bound <= skewed.value * (1 + 1e-9)
    assert not cached.proved
    assert sum(cached.level_s.values()) == pytest.approx(cached.value, rel=1e-9)
    hits = [row.hit_fraction for row in cached.rows if row.cached_in]
    assert all(0.0 < hit < 1.0 for hit in hits)
    # Experts read as many bytes, however they are visited.
    for result in (even, skewed, cached):
        read = sum(row.read_bytes for row in result.rows)
        assert read == pytest.approx(sum(r.read_bytes for r in even.rows), rel=1e-9)


def test_what_does_not_fit_is_data() -> None:
    result = placed("llama_3_70b", "rtx_4090")
    assert not result.feasible
    assert result.proved
    assert math.isinf(result.value)
    (violation,) = result.violations
    assert violation.demand == pytest.approx(
        float(result.prediction.weight_bytes + result.prediction.kv_bytes)
    )
    assert violation.gap == pytest.approx(violation.demand - violation.bound)
    assert any("bits" in lever for lever in violation.levers)
    assert "does not fit" in repr(result)
    assert json.loads(result.to_json())["value"] is None
    # The gap, added, is enough.
    assert placed(
        "llama_3_70b", "rtx_4090", extra=[PlacementLevel("host", violation.gap * 1.05, 25e9)]
    ).feasible
    with pytest.raises(InputError, match="too much"):
        result.to_plan()


def test_the_context_at_which_it_ceases_to_fit() -> None:
    options: dict[str, Any] = {"precision": "w4a16", "levels": ["dram"]}
    workload = pm.workload("llama_3_8b", phase="decode", batch=4)
    device = pm.hardware("raspberry_pi_5")
    limit = place(workload, device, **options).context_limit()
    at, after = (
        place(workload.bind({"context": c}), device, **options) for c in (limit, limit + 1)
    )
    assert at.feasible
    assert not after.feasible
    assert at.context_limit() == limit
    # The closed form: what weights and activations leave, over the bytes of a token.
    p = at.prediction
    room = sum(v.capacity_bytes for v in at.levels) - float(p.weight_bytes)
    assert limit == pytest.approx(room / (float(p.kv_bytes) / limit), rel=0.01)
    large = place(pm.workload("llama_3_70b", phase="decode"), device, **options)
    assert large.context_limit() == 0
    with pytest.raises(InputError, match="no context"):
        place(pm.workload("resnet50"), pm.hardware("a100")).context_limit()


def test_pins_hold() -> None:
    result = placed("mixtral_8x7b", "rtx_4090", extra=[HOST], pinned={"layer.experts": "host"})
    where = {row.level for row in result.rows if "experts" in row.name}
    assert where == {"host"}
    free = placed("mixtral_8x7b", "rtx_4090", extra=[HOST])
    assert free.value < result.value
    kv = placed("llama_3_8b", "rtx_4090", extra=[HOST], kv_levels=["host"])
    assert {row.level for row in kv.rows if row.role == "kv"} == {"host"}


@pytest.mark.parametrize("popularity", [None, 1.0])
def test_a_plan_holds_every_byte(popularity: float | None) -> None:
    result = placed(
        "qwen3_30b_a3b", "ufs_4_phone", 64, capacities={"dram": "4 GB"}, popularity=popularity
    )
    plan = result.to_plan()
    graph = result.prediction.job.lowered.graph.unroll(result.prediction.workload.parameters)
    assert plan.check(graph) == []
    held: dict[str, float] = dict.fromkeys(result.used_bytes, 0.0)
    for r in plan.residency:
        if graph.tensors[r.tensor].role != "activation":
            held[r.memory] += r.size_bytes
    assert held == pytest.approx(result.used_bytes)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("name", "room"), [("qwen3_30b_a3b", "4 GB"), ("llama_3_8b", "2 GB"), ("llama_3_8b", "7 GB")]
)
def test_a_plan_changes_the_prediction(name: str, room: str) -> None:
    """`predict` reads weights and cache from where the placement has them, byte for byte."""
    result = placed(name, "ufs_4_phone", 64, capacities={"dram": room}, runtime="ideal")
    plain = result.prediction
    again = pm.predict(
        plain.workload, "ufs_4_phone", precision="w4a16", runtime="ideal", plan=result.to_plan()
    )
    read = dict.fromkeys(result.used_bytes, 0.0)
    for row in result.rows:
        read[row.level] += row.read_bytes
    assert again.traffic_bytes["storage"] == pytest.approx(read["storage"], rel=1e-9)
    # Activations and the rest of main memory's traffic are as they were.
    kv = sum(i.copies * i.read_bytes for i in result.items if i.role == "kv")
    others = plain.traffic_bytes["dram"] - kv
    assert again.traffic_bytes["dram"] == pytest.approx(read["dram"] + others, rel=1e-9)
    assert again.weight_bytes == plain.weight_bytes
    # Memories work side by side within a kernel: between the busiest alone and one after another.
    assert max(result.level_s.values()) <= again.latency_s * (1 + 1e-9)
    assert again.latency_s <= result.value * 1.01
    assert again.latency_s < plain.latency_s
    # And says what each memory must hold.
    assert again.feasible
    for level, used in result.used_bytes.items():
        demand = again.placement[level]["demand_bytes"] if level in again.placement else 0.0
        more = float(again.activation_bytes) if level == "dram" else 0.0
        assert demand == pytest.approx(used + more, rel=1e-9)
    assert "weights" in again.placement["storage"]["holds"]
    assert sum(p["demand_bytes"] for p in again.placement.values()) == pytest.approx(
        float(again.weight_bytes + again.kv_bytes + again.activation_bytes), rel=1e-9
    )


def test_a_host_that_the_spec_has_makes_it_fit(tmp_path: Path) -> None:
    """What `predict` finds too large for the GPU it prices where the plan puts it."""
    spec = tmp_path / "with_host.yaml"
    spec.write_text(
        "schema_version: 1\nname: with_host\nbase: rtx_4090\ntitle: A GPU and its host\n"
        "memories:\n  - {name: host, kind: dram, feeds: [gddr6x], "
        "capacity: {value: 64 GB, confidence: estimated}, "
        "bandwidth: {value: 25 GB/s, confidence: estimated}}\n"
    )
    device = pm.hardware(spec)
    workload = pm.workload("llama_3_70b", phase="decode", context=256)
    result = place(workload, device, precision="w4a16")
    plain = pm.predict(workload, device, precision="w4a16")
    again = pm.predict(workload, device, precision="w4a16", plan=result.to_plan())
    assert not plain.feasible
    assert again.feasible
    assert again.violations == []
    assert again.traffic_bytes["host"] == pytest.approx(
        sum(r.read_bytes for r in result.rows if r.level == "host"), rel=1e-9
    )
    assert again.latency_s == pytest.approx(result.value, rel=0.02)
    # The same levels beside the device give the same placement.
    beside = place(workload, pm.hardware("rtx_4090"), precision="w4a16", extra=[HOST])
    assert beside.value == pytest.approx(result.value, rel=1e-9)


def test_a_plan_for_another_machine_is_refused() -> None:
    result = placed("mixtral_8x7b", "rtx_4090", 64, extra=[HOST], capacities={"gddr6x": "8 GB"})
    with pytest.raises(InputError, match="has no memory 'host'"):
        pm.predict(result.prediction.workload, "rtx_4090", precision="w4a16", plan=result.to_plan())


def test_energy_is_an_objective() -> None:
    workload = pm.workload("tinyllama_1_1b", phase="decode")
    device = pm.hardware("galaxy_s24")
    far = PlacementLevel.of("far", "64 GB", "2 GB/s", 1e-9)
    options: dict[str, Any] = {
        "precision": "w4a16",
        "levels": ["dram"],
        "extra": [far],
        "capacities": {"dram": "400 MB"},
    }
    least = place(workload, device, objective="energy_j", **options)
    assert least.value == pytest.approx(least.energy_j, rel=1e-9)
    assert least.energy_j <= place(workload, device, **options).energy_j * (1 + 1e-9)
    with pytest.raises(InputError, match="no energy per byte"):
        place(workload, device, objective="energy_j", levels=["dram"], extra=[HOST])


def test_faults_are_told() -> None:
    workload, device = pm.workload("llama_3_8b", phase="decode"), pm.hardware("rtx_4090")
    for wrong in (
        {"levels": ["dramm"]},
        {"capacities": {"gddr6x": "many"}},
        {"pinned": {"nothing": "host"}},
        {"cached": "gddr6x"},
        {"method": "best"},
        {"objective": "bytes"},
        {"by": "expert"},
        {"kv_levels": ["moon"]},
    ):
        with pytest.raises(InputError):
            place(workload, device, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one point"):
        place(pm.workload("llama_3_8b", phase="decode", batch=np.arange(1, 4)), device)
    with pytest.raises(InputError):
        PlacementLevel.of("host", "64", "25 GB/s")


def test_a_result_is_a_table_and_a_text() -> None:
    result = placed("mixtral_8x7b", "rtx_4090", by="layer", extra=[HOST])
    assert isinstance(result, PlacementResult)
    table = result.table
    assert float(table["read_s"].sum()) == pytest.approx(result.value)
    text = repr(result)
    assert "mixtral_8x7b on rtx_4090" in text
    assert "the least" in text
    data = json.loads(result.to_json())
    assert data["proved"] is True
    assert len(data["rows"]) == len(result.rows)
