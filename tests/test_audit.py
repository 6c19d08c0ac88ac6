"""What no machine can do: looked for in random predictions, by arithmetic that is not the audit's.

The harness recomputes from the rows of the table and the facts of the machine; what it finds must
be among what the prediction says, and nothing else must be wrong. Then kinds that are broken on
purpose, to see that the audit says so.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware import library as devices
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.roofline import KIND, Roofline
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload import library as workloads

PRECISIONS = (
    None,
    None,
    None,
    "fp32",
    "fp16",
    "bf16",
    "fp8",
    "int8",
    "int4",
    "int2",
    "w8a16",
    "w4a16",
    "w4a16kv8",
    "w4a8",
    "w2a8",
    "w1a8",
    "w2a2",
    "w4a4",
    "q4_0",
    "q4_k_m",
    "q8_0",
)
SIZES = {
    "batch": (1, 2, 4, 16, 64, 256),
    "height": (32, 64, 96, 224, 320, 640),
    "width": (32, 64, 96, 224, 320, 640),
    **dict.fromkeys(("context", "prompt", "tokens", "generate"), (1, 2, 16, 128, 1000, 4096)),
}

#: Bits of the operands of a stated peak; only integers tell, others stay as they are.
BITS = {"binary": 1, "ternary": 2}

#: What the harness grants a sum over many rows, and stated powers of two figures.
SUMS, FIGURES = 1e-6, 0.021

#: Kinds whose multipliers take narrower operands in less time than their stated peaks have.
BY_BITS = ("in_memory",)


def value(number: Any) -> float:
    return float(np.asarray(number, dtype=float).reshape(-1)[0])


def cases(count: int, seed: int, names: list[str], models: list[str]) -> Iterator[Prediction]:
    """Yield random predictions, arrays among them; what is refused as input is left out."""
    draw = random.Random(seed)
    known = [devices.runtime(name) for name in devices.names("runtimes")]
    chosen = sorted(
        ((draw.choice(models), draw.choice(names), draw.random()) for _ in range(count)),
    )  # the same network one after the other: its graph is built once
    for model, name, key in chosen:
        dice = random.Random(key)
        work = workloads.find(model)
        device = devices.hardware(name)
        suited = [None, None, "ideal", *(r for r in known if r.suits(device))]
        points = dice.choice((1, 16))
        settings: dict[str, Any] = {
            dim: dice.choices(SIZES[dim], k=points)
            for dim in work.parameters
            if dim in SIZES and dice.random() < 0.5
        }
        if points == 1:
            settings = {dim: sizes[0] for dim, sizes in settings.items()}
        precision: Any = dice.choice(PRECISIONS)
        if points > 1 and dice.random() < 0.3:
            bits = np.array(dice.choices((2.0, 3.0, 4.0, 8.0), k=points))
            precision = pm.precision("w8a8").with_bits(weights=bits)
        try:
            settings = {n: np.array(s) if points > 1 else s for n, s in settings.items()}
            made = predict(
                work.bind(settings),
                device,
                runtime=dice.choice(suited),
                precision=precision,
                warm=dice.random() < 0.2,
                model="roofline" if dice.random() < 0.05 else None,
            )
        except InputError:
            continue
        if made.shape:
            yield from (made.at(i) for i in range(made.shape[0]))
        else:
            yield made


def bits_of(name: str) -> float:
    return float(BITS.get(name) or name.lstrip("abcdefghijklmnopqrstuvwxyz_"))


def granted(p: Prediction, name: str) -> float:
    """Return by how much a stated peak may be passed, from the facts and the precision alone."""
    setting, facts = p.setting, p.setting.facts
    engine = p.machine.device.engine(setting.engine_name)
    share = 1.0
    if setting.bare:
        return share
    share *= max(1.0, *(facts.get(f"runtime.efficiency.{c}", 1.0) for c in ("gemm", "conv")))
    share *= max([1.0, *engine.accumulator_speedup.values()])
    share *= max([1.0, *engine.sparse_speedup.values()])
    if engine.kind in BY_BITS:
        left, _, right = name.partition("x")
        precision = setting.precision
        narrow = value(precision.format_of("weight").element_bits)
        narrow *= value(precision.format_of("activation").element_bits)
        share *= max(1.0, bits_of(left) * bits_of(right or left) / narrow)
    return share


def looks_up(p: Prediction) -> bool:
    """Whether products are looked up in tables: no multiplier is at work, and its peak no bound."""
    return "runtime.kernels.gemm.lookup_instructions" in p.setting.facts


def impossible(p: Prediction) -> set[str]:
    """Return what is wrong with a prediction, from its rows and its machine's facts."""
    found: set[str] = set()
    rows, facts, seconds = p.table, p.setting.facts, p.latency_s
    engine = f"engines.{p.setting.engine_name}."
    for name in rows:
        column = np.asarray(rows[name])
        if name == "overlap_s":
            continue  # what a kernel that runs beside another gives back; the row counts it
        if column.dtype.kind == "f" and not (np.isfinite(column).all() and (column >= 0).all()):
            found.add(f"{name} is no number of a run")
    if not (math.isfinite(seconds) and seconds > 0):
        found.add("latency")
    count = np.asarray(rows["count"], dtype=float)
    if (count * np.asarray(rows["row_s"])).sum() > seconds * (1 + SUMS):
        found.add("rows take longer than the run")
    # Macs at the fastest peak that anything runs at: never less than the harness may claim.
    terms = p.opened[1]
    busy = sum(
        (count * np.asarray(done, dtype=float)[:, 0]).sum()
        / facts[f"{engine}peaks.{name}"]
        / granted(p, name)
        for name, done in terms.operations.items()
        if name != "vector"
    )
    scarce = any(r["used"] > r["available"] for r in p.resources.values())
    if busy > seconds * (1 + SUMS) and not scarce and not looks_up(p):
        found.add("utilization")
    for level, moved in p.traffic_bytes.items():
        rate = facts.get(f"memories.{level}.bandwidth")
        ways = 1.0 if level == p.setting.levels[-1] else 2.0
        if rate is not None and moved > ways * rate * seconds * (1 + SUMS) and not scarce:
            found.add(f"bandwidth of {level}")
        if 0 < moved < 1 / 8:
            found.add(f"less than a bit crosses to {level}")
    joule = p.energy_j
    if not math.isnan(joule):
        if not 0 < joule < math.inf:
            found.add("energy")
        if joule > facts.get("power.busy", math.inf) * seconds * (1 + FIGURES):
            found.add("power")
        if joule * (1 + FIGURES) < facts.get("power.idle", 0.0) * seconds:
            found.add("idle power")
    elif "unknown" not in p.energy_model:
        found.add("an energy that nothing explains")
    if p.active_parameters > p.parameters * (1 + 1e-9):
        found.add("more parameters are read than stored")
    if min(p.weight_bytes, p.kv_bytes, p.activation_bytes, p.macs) < 0:
        found.add("a negative size")
    return found


def unsaid(predictions: Iterator[Prediction]) -> tuple[int, int, list[str]]:
    """Return how many predictions there were, how many said a breach, and what none said."""
    count, said, wrong = 0, 0, list[str]()
    for p in predictions:
        count += 1
        told = {b.metric for b in p.breaches}
        said += bool(told)
        if told & {b for b in told if "power" not in b}:
            assert not p.feasible
        left = impossible(p) - told
        if left:
            wrong.append(f"{p.workload} on {p.machine}, {p.precision}: {sorted(left)}")
    return count, said, wrong


def test_a_sample_of_all_devices_and_networks_says_all_that_is_impossible() -> None:
    names = random.Random(1).sample(devices.device_names(), 40)
    models = random.Random(2).sample(workloads.names(), 16)
    count, _, wrong = unsaid(cases(80, 3, names, models))
    assert count > 200
    assert wrong == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(12))
def test_sixty_thousand_predictions_say_all_that_is_impossible(seed: int) -> None:
    count, said, wrong = unsaid(cases(1_200, seed, devices.device_names(), workloads.names()))
    assert count > 4_500
    assert said < count / 100, "a machine that states what it does not do is rare"
    assert wrong == []


def broken(monkeypatch: pytest.MonkeyPatch, change: Callable[[Terms], Terms]) -> None:
    """Have the roofline return other terms than it should."""
    right = Roofline.cost
    # A program that was traced earlier has the right terms.
    monkeypatch.setattr("perfmodel.prediction.job.replayed", lambda job: None)
    monkeypatch.setattr(Roofline, "cost", lambda self, t, s: change(right(self, t, s)))
    assert KIND.name == "roofline"


def resnet(device: str = "raspberry_pi_4", **settings: Any) -> Prediction:
    return predict(
        workloads.find("resnet18", settings), devices.hardware(device), runtime="generic"
    )


@pytest.mark.parametrize("wrong", [-1e-3, math.nan, math.inf], ids=str)
@pytest.mark.parametrize("batch", [1, np.array([1, 2, 4])], ids=["number", "array"])
def test_a_row_that_is_no_number_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, wrong: float, batch: Any
) -> None:
    def change(terms: Terms) -> Terms:
        seconds = np.array(terms.compute["matrix"])
        seconds[3] = wrong
        row_s = np.array(terms.row_s)
        row_s[3] = wrong
        return replace(terms, compute={**terms.compute, "matrix": seconds}, row_s=row_s)

    name = resnet().table["name"][3]
    broken(monkeypatch, change)
    with pytest.raises(InputError) as refused:
        resnet(batch=batch)
    (fault,) = refused.value.faults
    assert fault.path == "matrix_s"
    assert name.rpartition(".")[2] in fault.message
    assert "batch=1" in fault.message
    assert str(wrong).removesuffix("1") in fault.message


def test_bytes_that_are_negative_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, lambda t: replace(t, traffic={n: -b for n, b in t.traffic.items()}))
    with pytest.raises(InputError, match=r"dram_bytes: row .* comes out as -"):
        resnet()


def test_work_faster_than_the_peak_is_said_with_row_and_fact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = resnet()
    assert right.feasible
    assert right.breaches == []
    assert "impossible" not in repr(right)
    broken(monkeypatch, lambda t: replace(t, row_s=t.row_s / 1e4))
    found = resnet()
    assert not found.feasible
    by_metric = {b.metric: b for b in found.breaches}
    work = by_metric["utilization"]
    assert work.fact == "engines.cpu.peaks.fp32"
    assert work.bound == 1.0
    assert work.value == pytest.approx(found.utilization)
    # The row that gains most is the one of most arithmetic.
    most = int(np.argmax(np.asarray(right.table["macs"]) * np.asarray(right.table["count"])))
    assert right.table["name"][most].endswith(work.row)
    moved = by_metric["bandwidth of dram"]
    assert moved.fact == "memories.dram.bandwidth"
    assert moved.value == pytest.approx(found.bandwidth_bytes_per_s["dram"])
    assert moved.bound == found.machine.facts["memories.dram.bandwidth"]
    assert "impossible: utilization" in repr(found)
    told = json.loads(json.dumps(found.to_dict()))["breaches"]
    assert {each["metric"]: each["fact"] for each in told} == {
        metric: each.fact for metric, each in by_metric.items()
    }


def test_of_many_points_those_that_pass_are_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(terms: Terms) -> Terms:
        points = np.asarray(terms.row_s).shape[1]
        return replace(terms, row_s=terms.row_s / (1e4 if points == 1 else np.array([1, 1e4, 1])))

    broken(monkeypatch, change)
    found = resnet(batch=np.array([1, 2, 4]))
    assert found.feasible.tolist() == [True, False, True]
    assert found.breaches, "of the first such point"


def test_power_above_the_sustained_one_is_said() -> None:
    """Of a part whose clocks have an energy of their own, which no limit holds down."""
    device = devices.hardware("lpc55s69").machine("generic")
    work = workloads.find("mlperf_tiny_ic", {})
    right = predict(work, device)
    assert right.breaches == []
    power = float(right.power_w)
    low = predict(work, device.vary({"power.busy": power / 2}))
    (breach,) = low.breaches
    assert (breach.metric, breach.fact) == ("power", "power.busy")
    assert breach.value == pytest.approx(low.power_w)
    assert low.feasible, "it would slow down; what fits still fits"


def test_engines_of_a_class_draw_no_more_than_their_limit() -> None:
    device = devices.hardware("jetson_agx_orin").machine("generic")
    work = workloads.find("resnet18", {"batch": 16})
    right = predict(work, device)
    limit = 0.8 * float(right.power_w)
    for facts in ({"power.busy": limit}, {"memories.dram.energy_per_byte": 1e-8}):
        found = predict(work, device.vary(facts))
        assert found.breaches == []
        assert found.power_w <= found.machine["power.busy"] * (1 + 1e-12)
        assert found.energy_j > 0.0


@pytest.mark.parametrize(
    "name",
    ["cortex_a57", "neoverse_n1", "silvermont", "nvme_host", "u200_dpu", "stm32u3c5", "zen4_core"],
)
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "bert_base", "yolov8n"])
def test_no_runtime_is_faster_than_the_bound(name: str, model: str) -> None:
    device, work = devices.hardware(name), workloads.find(model)
    real = predict(work, device)
    bound = predict(work, device, runtime="ideal", engine=real.setting.engine_name)
    assert bound.latency_s <= real.latency_s * (1 + 1e-9)


def test_work_without_a_price_takes_no_known_energy() -> None:
    found = predict(workloads.find("random_forest_breast_cancer"), devices.hardware("neurram"))
    assert math.isnan(found.energy_j)
    assert "vector work" in found.energy_model


def test_what_lies_far_inside_a_cache_crosses_to_no_memory_beyond() -> None:
    found = predict(workloads.find("ddot"), devices.hardware("epyc_7452_core"))
    assert found.traffic_bytes["dram"] == 0.0


@pytest.mark.parametrize("share", [0.5, 2.0], ids=["half", "twice"])
@pytest.mark.parametrize("batch", [1, np.array([1, 2, 4])], ids=["number", "array"])
def test_operations_that_are_not_the_graphs_are_said_with_the_row(
    monkeypatch: pytest.MonkeyPatch, share: float, batch: Any
) -> None:
    def change(terms: Terms) -> Terms:
        by = np.ones((len(terms.row_s), 1))
        by[5] = share
        done = {n: v if n == "vector" else v * by for n, v in terms.operations.items()}
        return replace(terms, operations=done)

    right = resnet(batch=batch)
    assert right.breaches == []
    broken(monkeypatch, change)
    found = resnet(batch=batch)
    assert not np.any(found.feasible)
    (breach,) = [b for b in found.breaches if b.metric == "work"]
    one = resnet().table
    assert one["name"][5].endswith(breach.row)
    # Two operations a multiply-accumulate, of which one row has others.
    macs = np.asarray(one["macs"]) * np.asarray(one["count"])
    assert breach.bound == pytest.approx(2 * macs.sum())
    assert breach.value == pytest.approx(2 * (macs.sum() + (share - 1) * macs[5]))


def test_operations_of_one_point_that_are_not_the_graphs_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def change(terms: Terms) -> Terms:
        points = np.asarray(terms.row_s).shape[1]
        by = 0.5 if points == 1 else np.array([1.0, 0.5, 1.0])
        done = {n: v if n == "vector" else v * by for n, v in terms.operations.items()}
        return replace(terms, operations=done)

    broken(monkeypatch, change)
    assert resnet(batch=np.array([1, 2, 4])).feasible.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("device", "model"),
    [
        ("aif_ssd", "resnet18"),
        ("zen4_core", "resnet18"),
        ("cambricon_llm_s", "llama_3_8b"),
        ("cortex_a53", "mobilenet_v2"),
        ("hailo8", "yolov8n"),
        ("tellme", "llama_3_8b"),
    ],
)
def test_what_a_kind_leaves_out_is_stated(device: str, model: str) -> None:
    found = predict(workloads.find(model), devices.hardware(device))
    table, terms = found.opened
    executed = table.macs if table.executed_macs is None else table.executed_macs
    if found.setting.causal_skips_masked:
        executed = executed - table.masked_macs
    done = sum(v for n, v in terms.operations.items() if n != "vector")
    left = 0.0 if terms.left_out is None else terms.left_out
    assert np.all(np.asarray(left) >= 0.0)
    np.testing.assert_allclose(done + left, 2.0 * executed + 0.0 * done, rtol=1e-9, atol=1.0)


@pytest.mark.parametrize("name", ["stream_copy", "stream_store", "stream_triad"])
def test_streams_whose_measured_rates_are_predicted_are_no_breach(name: str) -> None:
    """One core of a Skylake-SP reads 17 GB/s; what it writes back beside that is not in it."""
    found = pm.predict(name, "xeon_gold_6148_core", set={"elements": 2**26})
    assert found.breaches == []
    machine = pm.hardware("xeon_gold_6148_core").machine()
    rate = found.traffic_bytes["dram"] / found.latency_s
    assert rate > machine["memories.dram.bandwidth"]
