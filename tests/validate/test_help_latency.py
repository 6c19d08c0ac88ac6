"""HELP's columns: what they are, and how whole spaces are ranked on machines that people own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.validate.files import data_folder
from perfmodel.validate.help_latency.columns import columns_of
from perfmodel.validate.help_latency.kernels import KernelCounts
from perfmodel.validate.help_latency.nasbench201 import refits
from perfmodel.validate.help_latency.spaces import SPACES
from perfmodel.validate.metrics import spearman
from perfmodel.validate.refit import trial

CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"


def test_columns_that_are_sums_are_not_silicon() -> None:
    names = ["1080ti_32", "gold_6240", "pixel3", "eyeriss", "my_phone"]
    found, skipped = columns_of("nas_bench_201", names)
    assert [(c.name, c.place.device, c.batch) for c in found] == [
        ("1080ti_32", "gtx_1080_ti", 32), ("gold_6240", "xeon_gold_6240_core", 1),
        ("pixel3", "pixel_3", 1),
    ]  # fmt: skip
    assert [s.name for s in skipped] == ["eyeriss", "my_phone"]
    # FBNet's column of that phone is an exact sum of table entries.
    assert [s.name for s in columns_of("fbnet", names)[1]] == ["pixel3", "eyeriss", "my_phone"]


@pytest.mark.parametrize("batch", [1.0, 32.0, 256.0])
def test_counts_of_kernels_give_what_predict_gives(batch: float) -> None:
    space = SPACES["nas_bench_201"].build("eager")
    works = [space.workload(choice, batch=batch) for choice in (CELL, "0", (1, 2, 3, 4, 0, 1))
             if choice != "0"]  # fmt: skip
    device, runtime = hardware("gtx_1080_ti"), "torch_1_eager_pascal"
    counts = KernelCounts(works, device, runtime)
    told = [pm.predict(w, device, precision="fp32", runtime=runtime, warm=True) for w in works]
    np.testing.assert_allclose(counts({}), [p.latency_s for p in told], rtol=1e-9)


def test_a_host_that_dispatches_hides_the_device_at_batch_one() -> None:
    space = SPACES["nas_bench_201"].build("eager")
    kernels = space.workload(CELL)
    one = pm.predict(kernels, "gtx_1080_ti", precision="fp32", runtime="torch_1_eager_pascal",
                     warm=True)  # fmt: skip
    table = one.table
    floors = {"conv": 65e-6, "pool": 24.4e-6}
    for kind, floor in floors.items():
        at = table["kind"] == kind
        np.testing.assert_allclose(table["row_s"][at], floor, rtol=1e-9)


def test_a_column_that_is_no_number_is_refused(tmp_path: Path) -> None:
    text = f"arch_idx,arch_str,gold_6240\n0,{CELL},6.1\n1,{CELL},fast\n2,|none|,3\n"
    with gzip.open(tmp_path / "help_nasbench201_latency.csv.gz", "wt") as file:
        file.write(text)
    with pytest.raises(InputError) as caught:
        pm.validate("help_nasbench201", data=tmp_path)
    assert "fast" in str(caught.value) or "none" in str(caught.value)


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
def test_gpus_are_ranked_without_a_sample(data: Path, tmp_path: Path) -> None:
    columns = ("arch_idx", "arch_str", "titanx_1", "titanx_256", "silver_4114", "essential_ph_1",
               "eyeriss")  # fmt: skip
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
def test_a_gpu_left_out_is_ranked_by_the_others(data: Path) -> None:
    found = {r.target: r for r in refits(data_folder(data))}
    assert set(found) == {"gpu_latency_s", "server_cpu_latency_s", "phone_latency_s"}
    parts = trial(found["server_cpu_latency_s"])["parts"]
    assert all(part["spearman"] > 0.95 for part in parts.values())


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
    assert spearman([base.latency_s, more.latency_s], [0.0, 1.0]) == 1.0
