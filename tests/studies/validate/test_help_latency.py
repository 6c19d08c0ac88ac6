"""HELP's columns: what they are, and how whole spaces are ranked on machines that people own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from perfmodel_studies.readers.help_latency.columns import columns_of
from perfmodel_studies.readers.help_latency.files import FBNET, NAS_BENCH_201
from perfmodel_studies.readers.help_latency.kernels import KernelCounts
from perfmodel_studies.readers.help_latency.rows import HelpLatencyEvaluator
from perfmodel_studies.readers.help_latency.spaces import SPACES

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.result import spearman
from perfmodel.hardware.library import hardware
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.symbols import constant, symbol
from perfmodel.workload.workload import Workload

CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"


def test_columns_that_are_sums_are_not_silicon() -> None:
    names = ["1080ti_32", "gold_6240", "pixel3", "eyeriss", "my_phone"]
    found, skipped = columns_of("nas_bench_201", names)
    assert [(c.name, c.place.device, c.batch) for c in found] == [
        ("1080ti_32", "gtx_1080_ti", 32),
        ("gold_6240", "xeon_gold_6240_core", 1),
        ("pixel3", "pixel_3", 1),
    ]
    assert [s.name for s in skipped] == ["eyeriss", "my_phone"]
    # FBNet's column of that phone is an exact sum of table entries.
    assert [s.name for s in columns_of("fbnet", names)[1]] == ["pixel3", "eyeriss", "my_phone"]


@pytest.mark.parametrize("batch", [1.0, 32.0, 256.0])
def test_counts_of_kernels_give_what_predict_gives(batch: float) -> None:
    space = SPACES["nas_bench_201"].build("eager")
    works = [space.workload(choice, batch=batch) for choice in (CELL, (1, 2, 3, 4, 0, 1))]
    device, runtime = hardware("gtx_1080_ti"), "torch_1_eager_pascal"
    counts = KernelCounts(works, device, runtime)
    told = [pm.predict(w, device, precision="fp32", runtime=runtime, warm=True) for w in works]
    np.testing.assert_allclose(counts({}), [p.latency_s for p in told], rtol=1e-9)


def test_a_host_that_dispatches_hides_the_device_at_batch_one() -> None:
    space = SPACES["nas_bench_201"].build("eager")
    kernels = space.workload(CELL)
    one = pm.predict(
        kernels, "gtx_1080_ti", precision="fp32", runtime="torch_1_eager_pascal", warm=True
    )
    table = one.table
    floors = {"conv": 65e-6, "pool": 24.4e-6}
    for kind, floor in floors.items():
        at = table["kind"] == kind
        np.testing.assert_allclose(table["row_s"][at], floor, rtol=1e-9)


def test_every_cell_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    text = f"arch_idx,arch_str,gold_6240\n0,{CELL},6.1\n1,{CELL},fast\n2,|none|,3\n"
    with gzip.open(tmp_path / "help_nasbench201_latency.csv.gz", "wt") as file:
        file.write(text)
    with pytest.raises(InputError) as caught:
        pm.validate("help_nasbench201", data=tmp_path)
    text = str(caught.value)
    for part in ("'fast'", "1 nodes", "gz:3", "gz:4"):
        assert part in text, part


def _thinned(data: Path, to: Path, file: str, every: int, columns: tuple[str, ...]) -> Path:
    """Write a data set of fewer rows and columns; return its folder."""
    import csv

    with gzip.open(data / "measured" / file, "rt") as source:
        rows = list(csv.DictReader(source))
    with gzip.open(to / file, "wt", newline="") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[::every])
    return to


@pytest.mark.data
@pytest.mark.exhaustive
def test_gpus_are_ranked_without_a_sample(data: Path, tmp_path: Path) -> None:
    columns = (
        "arch_idx",
        "arch_str",
        "titanx_1",
        "titanx_256",
        "silver_4114",
        "essential_ph_1",
        "eyeriss",
    )
    folder = _thinned(data, tmp_path, "help_nasbench201_latency.csv.gz", 100, columns)
    (result,) = pm.validate("help_nasbench201", data=folder)
    told = result.details["columns"]
    least = {"titanx_1": 0.97, "titanx_256": 0.97, "silver_4114": 0.95, "essential_ph_1": 0.9}
    for name, rho in least.items():
        assert told[name]["spearman"] > rho, name
        assert told[name]["ten_samples"]["mape"] < told[name]["mape"] + 0.01, name
        assert told[name]["macs_spearman"] < told[name]["spearman"], name
    assert told["titanx_256"]["ten_samples"]["mape"] < 0.03
    assert result.coverage == pytest.approx(4 / 5)


@pytest.mark.data
@pytest.mark.exhaustive
def test_a_gpu_left_out_is_ranked_by_the_others(data: Path) -> None:
    found = {r.target: r for r in NAS_BENCH_201.refits(data_folder(data))}
    assert set(found) == {"gpu_latency_s", "server_cpu_latency_s", "phone_latency_s"}
    parts = trial(found["server_cpu_latency_s"])["parts"]
    assert all(part["spearman"] > 0.95 for part in parts.values())


@pytest.mark.data
@pytest.mark.exhaustive
def test_a_server_left_out_is_ranked_by_the_others(data: Path) -> None:
    """FBNet on servers: what depthwise kernels, groups and plain filters cost carries over."""
    found = {r.target: r for r in FBNET.refits(data_folder(data))}
    assert set(found) == {"server_cpu_latency_s", "phone_latency_s"}
    parts = trial(found["server_cpu_latency_s"])["parts"]
    least = {"gold_6240": 0.87, "silver_4114": 0.92, "silver_4210r": 0.94}
    assert {name: part["spearman"] > least[name] for name, part in parts.items()} == dict.fromkeys(
        least, True
    )


@pytest.mark.parametrize(
    ("space", "device", "runtime"),
    [
        ("fbnet", "xeon_silver_4114_core", "torch_1_eager_cpu"),
        ("fbnet", "galaxy_a50", "torch_1_eager_phone"),
        ("nas_bench_201", "xeon_gold_6240_core", "torch_1_eager_cpu"),
    ],
)
def test_rows_under_other_constants_give_what_predict_gives(
    space: str, device: str, runtime: str
) -> None:
    there = SPACES[space].build("eager")
    works = [there.workload(choice) for choice in there.sample(4, seed=3).tolist()]
    machine = hardware(device).machine(runtime)
    rows = HelpLatencyEvaluator(works, hardware(device), runtime)
    head = "runtime.kernels."
    other = {
        f"{head}conv.layout_bandwidth": 3e9,
        f"{head}depthwise.launch": 2e-4,
        "runtime.efficiency.conv": 0.3,
        "runtime.per_operator": 1e-5,
    }
    for constants in ({}, other):
        varied = machine.vary(constants) if constants else machine
        told = [pm.predict(w, varied, precision="fp32", warm=True).latency_s for w in works]
        np.testing.assert_allclose(rows(constants), told, rtol=1e-9)


@pytest.mark.parametrize(("channels", "narrow"), [(16, 0), (24, 1), (32, 0), (72, 0), (184, 0)])
def test_few_channels_that_fill_no_vector_are_slow(channels: int, narrow: int) -> None:
    def build(semantics: ExecutionSemantics) -> Graph:
        del semantics
        g = ImageBuilder("depthwise")
        x = g.input("x", (symbol("batch"), channels, 32, 32))
        g.output(g.conv(x, channels, 3, padding=1, groups=channels, bias=False))
        return g.build()

    work = Workload("depthwise", build, {"batch": 1.0})
    machine = hardware("xeon_gold_6240_core").machine("torch_1_eager_cpu")
    path = "runtime.kernels.depthwise.narrow_launch"
    more = machine.vary({path: machine.facts[path] + 1e-3})
    found, slower = (pm.predict(work, m, precision="fp32").latency_s for m in (machine, more))
    assert slower - found == pytest.approx(1e-3 * narrow, abs=1e-12)
    bare = [
        pm.predict(work, m, precision="fp32", model="roofline").latency_s for m in (machine, more)
    ]
    assert bare[0] == bare[1]


def test_filters_laid_out_anew_cost_their_bytes() -> None:
    there = SPACES["fbnet"].build("eager")
    work = there.workload(there.sample(1, seed=5)[0].tolist())
    machine = hardware("xeon_gold_6240_core").machine("torch_1_eager_cpu")
    paths = [f"runtime.kernels.{kind}.layout_bandwidth" for kind in ("conv", "grouped")]
    base = pm.predict(work, machine, precision="fp32", warm=True)
    half = pm.predict(
        work, machine.vary({p: machine.facts[p] / 2 for p in paths}), precision="fp32", warm=True
    )
    graph = work.graph(ExecutionSemantics())
    weights = 0.0
    for block, operator in graph.walk():
        for name in operator.reads if operator.kind == "conv" else ():
            elements = constant(graph.tensors[name].elements)
            if graph.tensors[name].role == "weight" and elements is not None:
                weights += 4.0 * elements * float(constant(block.count) or 0.0)
    assert weights > 1e6
    assert half.latency_s - base.latency_s == pytest.approx(weights / machine.facts[paths[0]])


@pytest.mark.data
def test_fbnet_is_ranked_by_its_kernels_not_by_its_work(data: Path, tmp_path: Path) -> None:
    folder = _thinned(data, tmp_path, "help_fbnet_latency.csv.gz", 100, ("arch_ops", "titanx_1"))
    (result,) = pm.validate("help_fbnet", data=folder)
    told = result.details["columns"]["titanx_1"]
    assert told["spearman"] > 0.94 > 0.5 > told["macs_spearman"]


def test_launches_by_class_add_to_a_roofline() -> None:
    work = SPACES["nas_bench_201"].build("eager").workload(CELL)
    machine = hardware("pixel_2").machine("torch_1_eager_phone")
    base = pm.predict(work, machine, precision="fp32")
    path = "runtime.kernels.conv.launch"
    more = pm.predict(work, machine.vary({path: machine.facts[path] + 1e-4}), precision="fp32")
    table = base.table
    convs = float(np.sum(table["count"][table["kind"] == "conv"]))
    assert more.latency_s - base.latency_s == pytest.approx(1e-4 * convs)
    assert spearman([base.latency_s, more.latency_s], [0.0, 1.0]) == pytest.approx(1.0)
