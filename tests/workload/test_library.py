"""The library of workload files: names, settings, published counts, faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.workload.library import describe, find, names
from perfmodel.workload.workload import Workload
from tests.offenders import each

FILE = """\
schema_version: 1
name: mine
aliases: [my_net]
title: Mine
tags: [llm]
family: transformer
structure:
  layers: 2
  width: 32
  heads: 4
  ffn_width: 64
  vocabulary: 50
parameters: {batch: 2, context: 16, prompt: 8}
sources:
  me: {title: "A note"}
published: {params: 21000, source: me}
"""


def faults(path: str | Path, settings: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        find(path, settings)
    return [str(fault) for fault in caught.value.faults]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


# the files that ship


def test_the_library_holds_the_models_people_ask_for() -> None:
    wanted = {
        "llama_2_7b",
        "llama_3_8b",
        "mixtral_8x7b",
        "deepseek_v3",
        "bert_base",
        "whisper_tiny",
        "vit_b_16",
        "resnet18",
        "mobilenet_v2",
        "qwen_2_5_7b",
        "gpt2",
        "mamba_130m",
    }
    assert wanted <= set(names())
    assert set(names("llm")) < set(names())
    assert "resnet18" not in names("llm")


@each("name", lambda: [name for name in names() if describe(name).published is not None])
def test_counts_match_what_others_published(name: str) -> None:
    entry = describe(name)
    published = entry.published
    assert published is not None
    assert published.source in entry.sources
    checked = 0
    if published.params is not None:
        assert entry.base.weights == pytest.approx(published.params, rel=5e-3)
        checked += 1
    if published.active_params is not None:
        active = entry.base.graph().active_weight_elements
        assert entry.base.number(active) == pytest.approx(published.active_params, rel=5e-3)
        checked += 1
    if published.macs is not None:
        assert entry.base.macs == pytest.approx(published.macs, rel=5e-3)
        checked += 1
    assert checked


@each("name", names)
def test_no_network_reads_more_parameters_than_it_stores(name: str) -> None:
    base = find(name)
    # However often: long prompts read an embedding's rows again, steps of a recurrence its weights.
    many = {n: 4096 for n in base.parameters if n in {"batch", "prompt", "tokens", "generate"}}
    for workload in (base, base.bind(many)):
        assert 0 <= workload.active_weights <= workload.weights * (1 + 1e-12)


@each("name", names)
def test_files_are_named_as_they_say_and_alone(name: str) -> None:
    entry = describe(name)
    assert entry.name == entry.path.stem == name
    assert entry.title
    assert entry.sources or entry.published is None
    for alias in entry.aliases:
        assert describe(alias).name == name


# names


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("YOLOv8n-Pose", "yolov8n_pose"),
        ("ResNet-50 v1.5", "resnet50"),
        ("U-Net", "unet"),
        ("OPT-1.3B", "opt_1_3b"),
        ("OPT-13B", "opt_13b"),
        ("RegNetX-16GF", "regnetx_16gf"),
        ("swin_t", "swin_tiny"),
        ("ViT-B/16", "vit_b_16"),
        ("CLIP ViT-L/14", "clip_vit_l_14"),
        ("Qwen/Qwen3-8B", "qwen3_8b"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama_3_2_1b"),
        ("Mistral 7B Instruct v0.3", "mistral_7b"),
        ("google/gemma-3-4b-it", "gemma_3_4b"),
    ],
)
def test_capitals_and_separators_of_a_name_do_not_count(spelling: str, name: str) -> None:
    assert describe(spelling).name == name


def test_a_plus_sign_is_a_word() -> None:
    assert describe("DeepLabV3+").name == "deeplabv3_plus_mobilenet"
    assert faults("U-Net++")[0].startswith("no workload is named 'U-Net++'")


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert faults("lama_3_8b") == ["no workload is named 'lama_3_8b'; did you mean 'llama_3_8b'?"]
    (far,) = faults("zzzz")
    assert "one of" in far
    assert "perfmodel workload list" in far


@pytest.mark.parametrize("name", ["missing.yaml", "missing/config.json"])
def test_a_missing_file_is_a_fault(name: str) -> None:
    (text,) = faults(name)
    assert text.startswith(name)
    assert "no such file" in text


def test_a_file_of_another_kind_is_a_fault(tmp_path: Path) -> None:
    (text,) = faults(tmp_path / "weights.bin")
    assert "not a file type that holds a workload" in text


# settings


def test_settings_bind_dimensions_and_replace_fields() -> None:
    w = find("llama_3_8b", {"phase": "prefill", "batch": 2, "prompt": 100, "layers": 4})
    assert w.parameters == {"batch": 2, "prompt": 100}
    whole = find("llama_3_8b")
    layer = (whole.weights - 2 * 128256 * 4096 - 4096) / 32
    assert w.weights == 4 * layer + 2 * 128256 * 4096 + 4096


def test_fields_inside_a_section_are_replaced_by_path() -> None:
    w = find("mixtral_8x7b", {"experts.per_token": 4, "context": 1})
    base = find("mixtral_8x7b", {"context": 1})
    assert w.macs - base.macs == 32 * 2 * 3 * 4096 * 14336
    assert w.weights == base.weights


def test_variants_share_one_graph() -> None:
    first = find("llama_3_8b", {"phase": "prefill", "prompt": 5})
    second = find("llama_3_8b", {"phase": "prefill", "prompt": 7})
    assert first.graph() is second.graph()
    assert find("llama_3_8b").graph() is find("llama_3_8b", {"batch": 3}).graph()


def test_numbers_of_numpy_are_numbers() -> None:
    a = find("llama_3_8b", {"layers": np.int64(4), "batch": np.float64(2)})
    b = find("llama_3_8b", {"layers": 4.0, "batch": 2})
    assert a.macs == b.macs
    assert a.graph() is b.graph()


def test_an_array_for_a_width_sweeps_it() -> None:
    widths = np.array([8192.0, 14336.0])
    many = find("llama_3_8b", {"ffn_width": widths, "layers": np.array([8.0, 32.0])})
    single = find("llama_3_8b", {"ffn_width": 8192, "layers": 8})
    assert many.macs[0] == single.macs
    assert many.macs[1] == find("llama_3_8b").macs
    between = find("llama_3_8b", {"ffn_width": 8192.5})
    up = find("llama_3_8b", {"ffn_width": 8193})
    down = find("llama_3_8b", {"ffn_width": 8192})
    assert between.macs == pytest.approx((up.macs + down.macs) / 2, rel=1e-12)


def test_every_fault_of_the_settings_at_once() -> None:
    wrong = {"contxt": 3, "prompt": 8, "batch": -1, "heads": 7, "fnn_width": 4}
    texts = faults("llama_3_8b", wrong)
    assert "contxt: 'llama_3_8b' has no setting 'contxt'; did you mean 'context'?" in texts
    assert any(t.startswith("prompt: 'prompt' is free in another phase") for t in texts)
    assert any("phase=prefill" in t for t in texts)
    assert any(t.startswith("batch: -1 is not an extent") for t in texts)
    assert any(t.startswith("heads: a width of 4096 does not divide by 7") for t in texts)
    assert any("did you mean 'ffn_width'" in t for t in texts)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"heads": np.array([16, 32])}, "cannot vary over points"),
        ({"phase": "decod"}, "did you mean 'decode'?"),
        ({"batch": float("nan")}, "nan is not an extent"),
        ({"batch": "many"}, "'many' is not a number"),
        ({"batch": np.array([1.0, np.inf])}, "is not an extent"),
        ({"layers": -2}, "a number above 0"),
        ({"layers": [2.0, float("nan")]}, "is not an extent"),
        ({"structure": {}}, "has no setting 'structure'"),
        ({"latent": {"rank": 8}}, "missing key 'plain_dim'"),
    ],
)
def test_a_bad_setting_says_what_would_do(settings: dict[str, Any], expected: str) -> None:
    assert any(expected in text for text in faults("llama_3_8b", settings))


# a file of one's own


def test_a_file_is_read_again_when_it_changes(mine: Path) -> None:
    assert find(mine).parameters == {"batch": 2, "context": 16}
    assert find(mine, {"phase": "prefill"}).parameters == {"batch": 2, "prompt": 8}
    before = find(mine).weights
    mine.write_text(FILE.replace("layers: 2", "layers: 20"))
    assert find(mine).weights > 5 * before


def place(text: str, needle: str) -> tuple[int, int]:
    line = next(i for i, t in enumerate(text.splitlines()) if needle in t)
    return line + 1, text.splitlines()[line].index(needle) + 1


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("heads: 4", "haeds: 4", "haeds", "did you mean 'heads'?"),
        ("width: 32", "width: -32", "-32", "a number above 0"),
        ("width: 32", "width: .nan", ".nan", "finite"),
        ("width: 32", "width: 1e30", "1e30", "is not a whole number"),
        ("heads: 4", "heads: 5", "5", "does not divide by 5 heads"),
        ("family: transformer", "family: transfomer", "transfomer", "did you mean 'transformer'?"),
        ("batch: 2,", "bacth: 2,", "bacth", "did you mean 'batch'?"),
        ("batch: 2,", "batch: -2,", "-2", "not an extent"),
        ("source: me}", "source: mee}", "mee", "did you mean 'me'?"),
        ("schema_version: 1", "schema_version: 7", "7", "1"),
        ("title: Mine", "title: Mine\ntitle: Yours", "title: Yours", "duplicate key"),
        ("name: mine", "name: My Net", "My Net", "did you mean 'my_net'"),
        ("tags:", "tgas:", "tgas", "did you mean 'tags'?"),
    ],
)
def test_a_broken_file_names_the_place(
    mine: Path, old: str, new: str, at: str, expected: str
) -> None:
    text = FILE.replace(old, new)
    mine.write_text(text)
    line, column = place(text, at)
    found = faults(mine)
    assert any(f.startswith(f"{mine}:{line}:{column}: ") and expected in f for f in found), found


def test_every_fault_of_a_file_at_once(mine: Path) -> None:
    broken = FILE.replace("heads: 4", "haeds: 4").replace("batch: 2", "bach: 2")
    broken = broken.replace("tags:", "tgas:").replace("source: me}", "source: you}")
    mine.write_text(broken)
    found = faults(mine)
    for key, meant in [("haeds", "heads"), ("bach", "batch"), ("tgas", "tags")]:
        assert any(f"'{key}'" in f and f"did you mean '{meant}'?" in f for f in found)
    assert any("no source is named 'you'" in f for f in found)
    assert any("missing key 'heads'" in f for f in found)


def test_reading_the_library_loads_no_heavy_package() -> None:
    code = (
        "import sys; from perfmodel.workload.library import find; find('llama_3_8b').macs;"
        "print([m for m in ('pandas', 'networkx', 'onnx', 'scipy', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_workload_survives_pickling() -> None:
    import pickle

    w = find("whisper_tiny", {"phase": "encode", "frames": 100})
    again: Workload = pickle.loads(pickle.dumps(w.graph))()
    assert w.number(again.macs) == w.macs
