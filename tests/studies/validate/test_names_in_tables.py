"""Cores, backends, chips and models of tables go by exact names; what is like one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from perfmodel_studies.readers.ncnn_bench.headings import clusters
from perfmodel_studies.words import has_words

from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.validation_case import ValidationCase


@pytest.mark.parametrize(
    ("heading", "core"),
    [
        ("Rockchip RK3588 (Cortex-A76 2.4GHz x 4 + Cortex-A55 1.8GHz x 4)", "cortex_a76"),
        ("OrangePi5 Plus (Quad Core A76 2.4GHz)", "cortex_a76"),
        ("AMD Ryzen 9 3950X (3.5 GHz x 16)", "zen2_avx2"),
        ("AMD Ryzen 5700g (Zen3 3.8 GHz x 8)", "zen3_avx2"),
        ("Phytium FT-2000/4 (FTC663 2.2GHz x 4)", "ftc663"),
        ("Raspberry Pi 5", "cortex_a76"),
        # Other cores whose names have those in them, or begin alike.
        ("Apple A17 Pro (3.78 GHz x 2)", ""),
        ("Snapdragon X2 Elite (4.4 GHz x 12)", ""),
        ("Phytium FT-2000+/64 (FTC662 armv8 2.4GHz x 8)", ""),
        ("AMD Ryzen 5 3400G (3.7 GHz x 4)", ""),
        ("AMD Ryzen 5 5500U (2.1 GHz x 6)", ""),
        ("MacBook Air (13-inch, M3, 2024)", ""),
        ("Raspberry Pi 500", ""),
        ("Some Zen25 thing (3 GHz x 2)", ""),
        ("Rockchip RK35881", ""),
    ],
)
def test_a_core_is_the_one_that_is_named(heading: str, core: str) -> None:
    found = clusters(heading)
    assert (found[0].core if found else "") == core


@pytest.mark.parametrize(
    ("operation", "runtime"),
    [
        ("context_attention vllm_flash_attn", "vllm_0_14"),
        ("generation_attention vllm_flash_attn_fa3", "vllm_flash_attention_3"),
        ("context_attention vllm_flash_attn_fa4", ""),
        ("context_attention trtllm_fmha", ""),
        ("context_attention my_flashinfer_fork", ""),
        ("context_attention", ""),
    ],
)
def test_an_attention_backend_is_the_one_that_is_named(
    operation: str, runtime: str, tmp_path: Path
) -> None:
    write_attention(tmp_path, operation)
    (case,) = dataset("gpu_attention").load(data_folder(tmp_path)).cases
    assert case.group == runtime
    assert bool(case.reason) is not bool(runtime)


def write_attention(folder: Path, *operations: str) -> None:
    (folder / "measured").mkdir()
    lines = ["hardware,model_or_op,shape,dtype,value,unit,source"]
    for operation in operations:
        shape = "b=1 isl=128 step=0 h=32 kv=8 d=128"
        hardware = "NVIDIA H100 80GB HBM3"
        lines.append(f"{hardware},{operation},{shape},bfloat16/kv bfloat16,0.1,ms,x")
    (folder / "measured" / "gpu_attention.csv").write_text("\n".join(lines) + "\n")


def test_an_unknown_backend_counts_against_the_coverage(tmp_path: Path) -> None:
    write_attention(
        tmp_path, "context_attention vllm_flash_attn", "context_attention vllm_flash_attn_fa9"
    )
    (found,) = validate("gpu_attention", data=tmp_path)
    assert found.coverage == 0.5
    assert "vllm_flash_attn_fa9" in found.unpredicted[0]["reason"]


def ollama_case(model: str, system: str, folder: Path) -> ValidationCase:
    table = f"model,system,unit,eval_tok_s\n{model},{system},CPU,5\n"
    (folder / "geerling_ai_benchmarks.csv").write_text(table)
    (case,) = dataset("geerling_ai_benchmarks").load(data_folder(folder)).cases
    return case


@pytest.mark.parametrize("system", ["Orange Pi 5 - 8GB", "Banana Pi 4", "Pi 50", "Box (N150)"])
def test_a_board_with_anothers_name_in_its_own_is_refused(system: str, tmp_path: Path) -> None:
    case = ollama_case("Llama 3.2:1b", system, tmp_path)
    assert case.machine is None
    assert "no CPU of the library" in case.reason
    for named, device in (
        ("Raspberry Pi 5 - 8GB", "raspberry_pi_5"),
        ("GMKtec G3 (Intel N150) - 16GB", "intel_n150"),
    ):
        case = ollama_case("Llama 3.2:1b", named, tmp_path)
        assert case.machine is not None
        assert getattr(case.machine, "device", case.machine).name == device


def test_a_model_is_the_one_that_is_named(tmp_path: Path) -> None:
    case = ollama_case("Llama 3.2:1b", "Pi 5", tmp_path)
    assert [q.workload.name for q in case.quantities] == ["llama_3_2_1b"]
    for text in (
        "Llama 3.2:11b",
        "My Llama 3.1:8b",
        "Llama 3.1:8b-vision",
        "gpt-oss 20b distilled",
    ):
        assert "no model" in ollama_case(text, "Pi 5", tmp_path).reason


def test_words_are_whole() -> None:
    assert has_words("Cortex-A7 x 2", "a7")
    assert has_words("X-CUBE-AI v8.1.0", "v8.1.0")
    for text, word in (("A78", "a7"), ("1A7", "a7"), ("v8.1.0", "v8.1"), ("HALESSUITE", "hale")):
        assert not has_words(text, word)
