"""Data sets of GPU kernels and of networks made of them: how rows are read, and how far off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from perfmodel_studies.readers.gpu_kernels import whole_transformers
from perfmodel_studies.readers.gpu_kernels.devices import device_named

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.validate import evaluate
from perfmodel.evaluate.validation_case import (
    Cases,
    MeasuredQuantity,
    ValidationCase,
    metric_of,
)
from perfmodel.predict import predict


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100_pcie_80gb"),
        ("Tesla P100-PCIE-16GB", "p100"),
        ("NV_TitanX", "titan_x_maxwell"),
        ("h200_sxm", "h200"),
        ("AMD Instinct MI210", "mi210"),
        ("AMD_VegaFE", "vega_frontier"),
        ("NVIDIA L4", "l4"),
    ],
)
def test_devices_are_found_by_what_drivers_print(printed: str, name: str) -> None:
    assert device_named(printed).name == name


def test_an_unknown_device_is_named_in_the_fault() -> None:
    with pytest.raises(InputError, match="'3dfx Voodoo 5'"):
        device_named("3dfx Voodoo 5")


def test_rows_predicted_together_are_those_predicted_one_by_one() -> None:
    device = pm.hardware("t4")
    works = [pm.workload("gemm", m=m, n=1024.0, k=512.0) for m in (64.0, 777.0, 4096.0)]
    works += [
        pm.workload("batched_gemm", batch=16.0, m=128.0, n=128.0, k=64.0),
        pm.workload("softmax", rows=512.0, width=1024.0),
        pm.workload("gemm", m=777.0, n=1024.0, k=512.0),
    ]
    rates = {"latency_s": 1e-3, "energy_j": 1e-2, "frames_per_s": 10.0}
    cases = [
        ValidationCase(
            str(i),
            "t4",
            device,
            [MeasuredQuantity(metric, metric, value, w) for metric, value in rates.items()],
            "fp32",
            "torch_eager",
            "a",
        )
        for i, w in enumerate(works)
    ]
    cases.append(ValidationCase("x", "none", reason="no such device"))
    together = evaluate(Cases("some", cases))
    assert together.coverage == pytest.approx(6 / 7)
    rows = iter(together.predictions)
    for case in cases[:-1]:
        work = case.quantities[0].workload
        own, bare = case.predict(work), case.predict(work, model="roofline")
        for metric in rates:
            row = next(rows)
            assert (row["name"], row["target"]) == (case.name, metric)
            assert row["predicted"] == pytest.approx(metric_of(own, metric), rel=1e-12)
            floor = float(metric_of(bare, metric))
            assert row["roofline"] == pytest.approx(floor, rel=1e-12)
            share = float(bare.utilization)
            expected = {"latency_s": floor * share, "frames_per_s": floor / (share or 1.0)}
            if metric not in expected or not share:
                assert row["compute"] is None
            else:
                assert row["compute"] == pytest.approx(expected[metric], rel=1e-12)
    assert next(rows, None) is None


def test_rows_at_fault_fail_without_those_of_their_network() -> None:
    device, unknown = pm.hardware("t4"), "no_such_runtime"
    work, other = (pm.workload("gemm", m=m, n=1024.0, k=512.0) for m in (64.0, 128.0))
    stated = {"latency_s": "latency_s", "gemm_s": "latency_s", "bram": "resource bram"}

    def quantities(targets: Sequence[str], workload: pm.Workload) -> list[MeasuredQuantity]:
        return [MeasuredQuantity(target, stated[target], 1e-3, workload) for target in targets]

    several = ("latency_s", "gemm_s")
    cases = [
        ValidationCase("good", "t4", device, quantities(several, work), "fp32", "torch_eager"),
        ValidationCase("runtime", "t4", device, quantities(several, work), "fp32", unknown),
        # What a GPU has not fails its own row only, although it is asked of the same network.
        ValidationCase("fabric", "t4", device, quantities(("bram",), work), "fp32", "torch_eager"),
        ValidationCase("more", "t4", device, quantities(several, other), "fp32", "torch_eager"),
    ]
    result = evaluate(Cases("some", cases))
    assert result.coverage == 0.5
    assert [u["first"] for u in result.unpredicted] == ["runtime", "fabric"]
    assert [(r["name"], r["target"]) for r in result.predictions] == [
        (name, target) for name in ("good", "more") for target in several
    ]
    for row, workload in zip(result.predictions, (work, work, other, other), strict=True):
        one = pm.predict(workload, device, precision="fp32", runtime="torch_eager")
        assert row["predicted"] == pytest.approx(float(one.latency_s), rel=1e-12)


def test_streaming_kernels_take_launch_and_bytes() -> None:
    found = predict(
        pm.workload("elementwise", rows=1e4, width=1e4),
        pm.hardware("v100_pcie"),
        precision="fp32",
        runtime="torch_eager",
    )
    assert float(found.latency_s) == pytest.approx(22.2e-6 + 12e8 / (0.906 * 900e9), rel=1e-6)


def test_a_board_of_seventy_watts_does_not_sustain_its_peak() -> None:
    work = pm.workload("gemm", m=4096.0, n=4096.0, k=4096.0)
    found = predict(work, pm.hardware("t4"), precision="fp32", runtime="torch_eager")
    rate = 2 * 4096.0**3 / float(found.latency_s)
    assert rate < 70.0 / 16e-12 * 1.001
    more = pm.hardware("t4").vary({"power.busy": 300.0})
    assert float(predict(work, more, precision="fp32", runtime="torch_eager").latency_s) < float(
        found.latency_s
    )


def test_shifted_rows_of_deepbench_are_dropped(tmp_path: Path) -> None:
    place = tmp_path / "measured"
    place.mkdir()
    (place / "deepbench.csv").write_text(
        "device,precision,op,M,N,K,tA,tB,time_ms,W,H,C,Nb,Kf,R,S,pad_w,pad_h,stride_w,stride_h\n"
        "NV_T4,Float,gemm,1024,128,1024,N,N,0.1,,,,,,,,,,,\n"
        "NV_T4,Float,gemm,1024,128,1024,16,32,0.1,,,,,,,,,,,\n"
        "NV_T4,Float,conv,,,,,,0.5,56,56,64,8,64,3,3,1,1,1,1\n"
        "NV_T4,Float,lstm,,,,,,0.5,,,,,,,,,,,\n"
    )
    (found,) = validate("deepbench", data=tmp_path)
    assert (found.rows, found.coverage) == (3, pytest.approx(2 / 3))
    cases = dataset("deepbench").load(data_folder(tmp_path)).cases
    conv = next(case for case in cases if case.group == "conv fp32")
    assert float(conv.quantities[0].workload.macs) == np.prod((8 * 56 * 56, 64, 64 * 9))


def test_faulty_cells_of_deepbench_are_named_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    file = tmp_path / "measured" / "deepbench.csv"
    file.write_text(
        "device,precision,op,M,N,K,tA,tB,time_ms\n"
        "NV_V100,Float,gemm,wide,16,16,N,N,0.1\n"
        "NV_V100,Float,gemm,16,16,16,N,N,fast\n"
        "NV_V100,8 bits,gemm,16,16,16,N,N,0.1\n"
    )
    with pytest.raises(InputError) as caught:
        validate("deepbench", data=tmp_path)
    assert {(f.path, f.line) for f in caught.value.faults} == {("M", 2), ("time_ms", 3)}
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[3])
    (found,) = validate("deepbench", data=tmp_path)
    assert [r["reason"] for r in found.unpredicted] == ["no precision is '8 bits'"]


@pytest.mark.data
def test_the_fit_of_whole_transformers_is_their_prediction() -> None:
    """The columns that constants are refitted on give what `predict` gives for the graph."""
    cases = [c for c in whole_transformers.load(data_folder(None)).cases if c.machine is not None]
    (refit,) = whole_transformers.refits(data_folder(None))
    nvidia = [c for c in cases if c.runtime == "torch_eager"]
    facts = pm.hardware("t4").machine("torch_eager").facts
    constants = {
        c.name: float(facts.get(f"runtime.kernels.{c.name}", 1.0)) for c in refit.constants
    }
    found = refit.forward(constants)[refit.judged]
    for case, value in zip(cases, found.tolist(), strict=True):
        if case in nvidia:
            assert case.machine is not None
            whole = predict(
                case.quantities[0].workload, case.machine, precision="fp32", runtime=case.runtime
            )
            assert value == pytest.approx(float(whole.latency_s), rel=0.02), case.name


@pytest.mark.data
def test_whole_transformers() -> None:
    (found,) = validate("neusight_e2e")
    assert found.mape is not None
    assert found.mape < 0.10
    reasons = {r["reason"].partition(":")[0] for r in found.unpredicted}
    assert "a step of training" in reasons


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "bound"),
    [("neusight_gpu_kernels", 0.11), ("llmcompass_kernels", 0.08), ("deepbench", 0.35)],
)
def test_kernels(name: str, bound: float) -> None:
    (found,) = validate(name)
    assert found.mape is not None
    assert found.mape < bound
    assert found.mape < (found.baselines["roofline"]["mape"] or 0)
