"""Kernels of GPUs as data sets: what a row stands for, what is refused, and errors as measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from perfmodel_studies.readers.gpu_kernels.devices import device_named

from perfmodel.evaluate import ValidationResult, validate
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.validation_case import ValidationCase, subject_of
from perfmodel.hardware.library import hardware
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor, gemm_times
from perfmodel.predict import predict

HEADER = "hardware,model_or_op,shape,dtype,value,unit,source\n"
H100 = "NVIDIA H100 80GB HBM3"


def table(folder: Path, name: str, *rows: str) -> Path:
    (folder / "measured").mkdir(exist_ok=True)
    (folder / "measured" / f"{name}.csv").write_text(HEADER + "".join(f"{r},made\n" for r in rows))
    return folder


def cases_of(folder: Path, name: str) -> list[ValidationCase]:
    return list(dataset(name).load(DataFolder(folder)).cases)


def test_a_row_is_the_routine_at_its_shape(tmp_path: Path) -> None:
    folder = table(
        tmp_path,
        "gpu_gemm",
        f"{H100},gemm any,m=64 n=4096 k=8192,bfloat16,0.03,ms",
        f"{H100},gemm any,m=64 n=4096 k=8192,fp8_block,0.09,ms",
        f"{H100},gemm any,m=64 n=4096,bfloat16,0.03,ms",
        "NVIDIA Z9,gemm any,m=64 n=4096 k=8192,bfloat16,0.03,ms",
    )
    (found,) = validate("gpu_gemm", data=folder)
    assert (found.rows, found.coverage) == (4, 0.25)
    reasons = [r["reason"] for r in found.unpredicted]
    assert any("no runtime states the fp8_block kernel of 'gemm any'" in r for r in reasons)
    assert any("without m, n or k" in r for r in reasons)
    assert any("nvidia_z9" in r for r in reasons)
    facts = hardware("h100").machine("torch_cuda").facts
    head = "runtime.kernels.gemm."
    stated = {p.removeprefix(head): v for p, v in facts.items() if p.startswith(head)}
    watts, energy = facts["power.busy"], facts["engines.gpu.sustained_energy"]
    machine = Processor(
        989.4e12, 132.0, 1.83e9, 3.08e12, facts["memories.l2.bandwidth"], watts / energy
    )
    wanted = gemm_times(
        64.0,
        4096.0,
        8192.0,
        machine=machine,
        constants=TensorCoreKernel.constants({k: v for k, v in stated.items() if "." not in k}),
        moved_bytes=2.0 * (64 * 8192 + 8192 * 4096 + 64 * 4096),
        left_bytes=2.0,
        right_bytes=2.0,
    )
    assert found.predictions[0]["predicted"] == pytest.approx(float(wanted.total_s), rel=1e-9)


@pytest.mark.parametrize(
    ("m", "operation", "runtime"),
    [
        (8, "FlashInferFp8BlockScaledMMKernel", "vllm_flashinfer_gemm_eager"),
        (64, "DeepGemmFp8BlockScaledMMKernel", "vllm_deep_gemm_eager"),
        (31, "vllm_default", "vllm_flashinfer_gemm_eager"),
        (32, "vllm_default", "vllm_deep_gemm_eager"),
        (8192, "deepgemm", "vllm_deep_gemm"),
    ],
)
def test_block_scaled_products_wait_for_the_host_or_for_their_activations(
    tmp_path: Path, m: int, operation: str, runtime: str
) -> None:
    """They take the host's time, or the plain product and a pass over the activations."""
    row = f"{H100},gemm {operation},m={m} n=4096 k=8192,fp8_block,0.09,ms"
    (case,) = cases_of(table(tmp_path, "gpu_gemm", row), "gpu_gemm")
    assert f"--runtime {runtime} " in case.quantities[0].command
    asked = case.quantities[0].workload
    found = predict(asked, case.machine, precision="fp8", runtime=runtime).latency_s
    plain = predict(asked, case.machine, precision="fp8", runtime="torch_cuda").latency_s
    facts = hardware("h100").machine(runtime).facts
    head = "runtime.kernels.gemm.fp8."
    device = plain + facts[f"{head}quantise_bytes"] * m * 8192 / 3.08e12
    assert found == pytest.approx(max(device, facts.get(f"{head}host_floor", 0.0)), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-80GB", "a100"),
        (H100, "h100"),
        ("NVIDIA H100", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H20", "h20"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA GB200", "gb200"),
        ("NVIDIA GB300", "gb300"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx_pro_6000_blackwell_server"),
        ("Intel(R) Arc(TM) Pro B60 Graphics", "arc_pro_b60"),
    ],
)
def test_product_names_are_aliases(name: str, device: str) -> None:
    assert device_named(name).name == device


def test_all_rows_at_once_equal_their_predictions(tmp_path: Path) -> None:
    """The forward of a fit, at the runtime's constants, is `predict` row by row."""
    rows = [
        f"{gpu},gemm any,m={m} n={n} k=4096,bfloat16,1,ms"
        for gpu in (H100, "NVIDIA L40S", "NVIDIA A100-SXM4-80GB")
        for m, n in ((1, 512), (333, 12288), (8192, 1000))
    ]
    mixtures = [
        f"{gpu},moe any,tokens={t} hidden=2048 inter=768 topk=8 experts=128 tp=2 dist={d},"
        "bfloat16,1,ms"
        for gpu in (H100, "NVIDIA H200")
        for t, d in ((1, "balanced"), (700, "power_law_1.2"))
    ]
    table(tmp_path, "gpu_gemm", *rows)
    table(tmp_path, "gpu_moe", *mixtures)
    facts = hardware("h100").machine("torch_cuda").facts
    for name in ("gpu_gemm", "gpu_moe"):
        (refit,) = dataset(name).refits(DataFolder(tmp_path))
        together = refit.forward({c.name: facts[c.name] for c in refit.constants})
        alone = [
            predict(
                c.quantities[0].workload, c.machine, precision=c.precision, runtime=c.runtime
            ).latency_s
            for c in cases_of(tmp_path, name)
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_the_fit_of_block_scaled_products_at_the_stated_constants_is_their_prediction(
    tmp_path: Path,
) -> None:
    rows = [
        f"{gpu},gemm {kernel},m={m} n=4096 k=4096,{dtype},1,ms"
        for gpu in (H100, "NVIDIA H200")
        for kernel, m, dtype in (
            ("any", 64, "fp8"),
            ("FlashInferFp8BlockScaledMMKernel", 8, "fp8_block"),
            ("DeepGemmFp8BlockScaledMMKernel", 8192, "fp8_block"),
        )
    ]
    table(tmp_path, "gpu_gemm", *rows)
    refits = dataset("gpu_gemm").refits(DataFolder(tmp_path))
    (block,) = (r for r in refits if r.target == "fp8_block_latency_s")
    stated: dict[str, float] = {}
    for constant in block.constants:
        runtime, _, field = constant.name.rpartition(" ")
        facts = hardware("h100").machine(runtime or "vllm_deep_gemm").facts
        stated[constant.name] = facts[f"runtime.kernels.gemm.fp8.{field.rpartition('.')[2]}"]
    alone = [
        predict(
            c.quantities[0].workload, c.machine, precision=c.precision, runtime=c.runtime
        ).latency_s
        for c in cases_of(tmp_path, "gpu_gemm")
    ]
    np.testing.assert_allclose(sorted(block.forward(stated)), sorted(alone), rtol=1e-9)
    assert block.judged is not None
    assert block.judged.tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize(
    ("tokens", "topk", "experts", "hardware_name", "matrices"),
    [
        (4, 2, 16, H100, 3),
        (4, 6, 128, H100, 2),
        (4, 6, 128, "NVIDIA A100-SXM4-80GB", 3),
    ],
)
def test_a_mixture_moves_its_experts_weights_once(
    tmp_path: Path, tokens: int, topk: int, experts: int, hardware_name: str, matrices: int
) -> None:
    shape = f"tokens={tokens} hidden=1024 inter=512 topk={topk} experts={experts} tp=1"
    row = f"{hardware_name},moe any,{shape} dist=balanced,bfloat16,1,ms"
    (case,) = cases_of(table(tmp_path, "gpu_moe", row), "gpu_moe")
    result = predict(
        case.quantities[0].workload, case.machine, precision="bf16", runtime="torch_cuda"
    )
    assert result.macs == tokens * topk * matrices * 1024 * 512
    weights = min(experts, tokens * topk) * matrices * 1024 * 512 * 2
    traffic = list(result.traffic_bytes.values())[-1]
    assert weights <= traffic <= 1.02 * weights


def test_projections_of_a_layer_split_over_ranks(tmp_path: Path) -> None:
    rows = [
        f"{H100},{model}:mlp_up_proj,tokens=64 tp=4 hidden=4096 ffn=14336 heads=32 kv=8,fp16,1,ms"
        for model in ("a/Llama", "tiiuae/falcon-7b")
    ]
    gated, plain = (
        case.quantities[0].workload.parameters
        for case in cases_of(table(tmp_path, "vidur_linear", *rows), "vidur_linear")
    )
    assert gated == {"m": 64.0, "n": 2 * 14336 / 4, "k": 4096.0}
    assert plain == {"m": 64.0, "n": 14336 / 4, "k": 4096.0}


@pytest.mark.parametrize(
    ("shape", "milliseconds", "long"),
    [
        # 3000 replays of six products of 56 us last a second.
        ("vllm_default,m=512 n=8192 k=8192,bfloat16", 0.056, True),
        ("vllm_default,m=512 n=8192 k=8192,bfloat16", 0.055, False),
        ("vllm_default,m=512 n=8192 k=8192,fp8_block", 0.34, True),
        ("vllm_default,m=512 n=8192 k=8192,fp8_block", 0.33, False),
    ],
)
def test_short_runs_of_the_meter_are_no_evidence(
    tmp_path: Path, shape: str, milliseconds: float, long: bool
) -> None:
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "gpu_kernel_power.csv").write_text(
        "hardware,model_or_op,shape,dtype,latency_ms,power_W\n"
        f"NVIDIA H200,gemm {shape},{milliseconds},400\n"
    )
    (case,) = cases_of(tmp_path, "gpu_kernel_power")
    power = case.quantities[1]
    assert power.target == ("power_w" if long else "short_run_power_w")
    assert subject_of(case, power).quantity == ("class_power" if long else "")


# Against measurements; the figures are those of docs/gpu.md, each with some room.


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "target", "mape"),
    [
        ("gpu_gemm", "latency_s", 0.075),
        ("gpu_gemm", "fp8_latency_s", 0.115),
        ("gpu_gemm", "fp8_block_latency_s", 0.065),
        ("gpu_moe", "latency_s", 0.105),
        ("gpu_moe", "fp8_block_latency_s", 0.09),
        ("gpu_kernel_power", "latency_s", 0.145),
        ("gpu_kernel_power", "power_w", 0.23),
        ("infersim_kernels", "latency_s", 0.055),
        ("infersim_kernels", "grouped_latency_s", 0.13),
    ],
)
def test_errors_on_measured_kernels(
    validated: Callable[[str], ValidationResult], name: str, target: str, mape: float
) -> None:
    found = validated(name)
    assert found.targets[target]["mape"] < mape
    assert found.mape is not None
    assert found.mape < found.baselines["roofline"]["mape"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "target", "mape"),
    [
        pytest.param("gpu_gemm", "latency_s", 0.09, marks=pytest.mark.exhaustive),
        pytest.param("gpu_gemm", "fp8_block_latency_s", 0.07, marks=pytest.mark.exhaustive),
        pytest.param("gpu_moe", "latency_s", 0.12, marks=pytest.mark.exhaustive),
        pytest.param("vidur_linear", "latency_s", 0.09, marks=pytest.mark.exhaustive),
        ("gpu_kernel_power", "power_w", 0.295),
        ("ml_energy", "energy_j", 0.16),
        ("ml_energy", "energy_of_group_j", 0.145),
    ],
)
def test_errors_with_each_device_left_out(
    validated: Callable[..., ValidationResult], name: str, target: str, mape: float
) -> None:
    assert validated(name, left_out=True).left_out[target]["mape"] < mape
