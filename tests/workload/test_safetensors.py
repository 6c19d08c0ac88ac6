"""safetensors files as networks: held against what the models' own classes hold."""

import json
import math
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.importers.safetensors.tensor_names import is_buffer, to_gguf_name
from perfmodel.workload.library import find
from tests.workload.tensors_of_huggingface import TENSORS, config, tensors, write

#: What readers of configs leave out: task heads of BERT, the vision part of Gemma 3.
LEFT_OUT = {"bert_base_uncased": "cls.", "gemma_3_4b": "model.vision_tower."}


def folder(tmp_path: Path, model: str, *, dtype: str = "BF16") -> tuple[Path, int]:
    """Write the config and the file of a model; return it with the bytes that its graph reads."""
    (tmp_path / "config.json").write_text(config(model))
    held = {name: (dtype, shape) for name, shape, _ in tensors(model)}
    total = write(tmp_path / "model.safetensors", held)
    out = (LEFT_OUT.get(model, "?"), "model.multi_modal_projector.")
    left = sum(2 * math.prod(shape) for name, (_, shape) in held.items() if name.startswith(out))
    return tmp_path / "model.safetensors", total - left


@pytest.mark.parametrize("model", sorted(set(TENSORS) - {"whisper_tiny"}))
def test_every_tensor_of_the_models_own_class_has_its_place(model: str, tmp_path: Path) -> None:
    path, held = folder(tmp_path, model)
    found = find(path)
    assert predict(found, hardware("h100_sxm"), precision="bf16").weight_bytes == held
    read = find(tmp_path / "config.json")
    assert found.macs == read.macs
    assert found.weights == read.weights


def test_the_names_are_those_of_llama_cpps_converter() -> None:
    checked = 0
    for model, rows in TENSORS.items():
        post_norms = any("post_feedforward_layernorm" in row[0] for row in rows)
        for name, _, gguf in tensors(model):
            if not gguf or is_buffer(name) or name.startswith("cls.") or "pooler" in name:
                continue
            found = to_gguf_name(name, post_norms=post_norms)
            # gpt-oss calls the norm before its experts what other models call one behind attention.
            if model == "gpt_oss_20b" and "post_attention_norm" in gguf:
                assert found == gguf.replace("post_attention_norm", "ffn_norm")
                continue
            bare = gguf.removesuffix(".weight")
            assert found.removesuffix(".weight") == bare, name
            checked += 1
    assert checked > 3000


def test_a_missing_a_foreign_and_a_misshapen_tensor_are_all_named(tmp_path: Path) -> None:
    path, _ = folder(tmp_path, "llama_3_8b")
    held = {name: ("BF16", shape) for name, shape, _ in tensors("llama_3_8b")}
    del held["model.layers.3.self_attn.v_proj.weight"]
    held["model.layers.3.self_attn.v_prjo.weight"] = ("BF16", [1024, 4096])
    held["model.layers.5.mlp.up_proj.weight"] = ("BF16", [14336, 4000])
    write(path, held)
    with pytest.raises(InputError) as error:
        find(path)
    text = str(error.value)
    assert "no tensor 'model.layers.3.self_attn.v_proj.weight'" in text
    assert "did you mean 'model.layers.3.self_attn.v_prjo.weight'?" in text
    assert "no operator of a" in text
    assert "'model.layers.5.mlp.up_proj.weight' of shape [14336, 4000]" in text
    assert "58,720,256 for this" in text
    assert len(error.value.faults) == 3


def test_shards_by_their_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config("llama_2_7b"))
    held = {name: ("BF16", shape) for name, shape, _ in tensors("llama_2_7b")}
    names = sorted(held)
    halves = {"a.safetensors": names[:100], "b.safetensors": names[100:]}
    total = 0
    for file, part in halves.items():
        total += write(tmp_path / file, {name: held[name] for name in part})
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    assert predict(find(path), hardware("h100_sxm"), precision="bf16").weight_bytes == total
    index["weight_map"][names[0]] = "b.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="is not in 'b"):
        find(path)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(InputError, match="no such file"):
        find(path)


def test_eight_bit_floats_keep_their_scales(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config("llama_3_8b"))
    held = {}
    for name, shape, _ in tensors("llama_3_8b"):
        matrix = "_proj" in name
        held[name] = ("F8_E4M3" if matrix else "BF16", shape)
        if matrix:
            held[name.replace(".weight", ".weight_scale")] = ("F32", [shape[0], 1])
    total = write(tmp_path / "model.safetensors", held)
    found = find(tmp_path / "model.safetensors")
    assert found.precision == "w=fp8_e4m3,a=bf16,kv=bf16"
    assert predict(found, hardware("h100_sxm")).weight_bytes == total
    assert any("weight_scale" in note for note in found.notes)


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_packed_integers_count_with_scales_and_zero_points(method: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config("llama_3_8b"))
    held: dict[str, tuple[str, list[int]]] = {}
    for name, shape, _ in tensors("llama_3_8b"):
        if "_proj" not in name:
            held[name] = ("F16", shape)
            continue
        out, width = shape
        stem = name.removesuffix(".weight")
        packed = [width // 8, out] if method == "gptq" else [width, out // 8]
        held[f"{stem}.qweight"] = ("I32", packed)
        held[f"{stem}.qzeros"] = ("I32", [width // 128, out // 8])
        held[f"{stem}.scales"] = ("F16", [width // 128, out])
    total = write(tmp_path / "model.safetensors", held)
    found = find(tmp_path / "model.safetensors")
    assert found.precision == "w=int4g128,a=fp16,kv=fp16"
    assert predict(found, hardware("h100_sxm")).weight_bytes == total
    held["model.layers.0.mlp.up_proj.scales"] = ("F16", [30, 14336])
    write(tmp_path / "model.safetensors", held)
    with pytest.raises(InputError, match="does not go with scales"):
        find(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("qwen_3_8b", {}),
        ("gpt2", {}),
        ("vit_base_patch16_224_in21k", {}),
        ("bert_base_uncased", {}),
        ("llama_3_8b", {"head_dim": 128}),
        ("qwen_2_5_7b", {"head_dim": 128}),
    ],
)
def test_without_a_config_what_names_and_shapes_tell(
    model: str, said: dict[str, int], tmp_path: Path
) -> None:
    path, held = folder(tmp_path, model)
    macs = find(tmp_path / "config.json").macs
    (tmp_path / "config.json").unlink()
    found = find(path, said)
    assert found.macs == macs
    assert predict(found, hardware("h100_sxm"), precision="bf16").weight_bytes == held


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("llama_3_8b", "the tensors do not determine the head size"),
        ("mixtral_8x7b", "how many are active per token"),
        ("gemma_2_2b", "do not determine its sliding window"),
        ("mamba_130m", "match no architecture"),
        ("whisper_tiny", "not those of a Llama, GPT-2 or BERT"),
    ],
)
def test_without_a_config_what_they_leave_open(model: str, said: str, tmp_path: Path) -> None:
    path, _ = folder(tmp_path, model)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=said):
        find(path)


TINY = {
    "model.embed_tokens.weight": ("F16", [100, 64]),
    "model.norm.weight": ("F16", [64]),
    **{
        f"model.layers.0.{name}.weight": ("F16", shape)
        for name, shape in {
            "self_attn.q_proj": [64, 64],
            "self_attn.k_proj": [64, 64],
            "self_attn.v_proj": [64, 64],
            "self_attn.o_proj": [64, 64],
            "mlp.gate_proj": [128, 64],
            "mlp.up_proj": [128, 64],
            "mlp.down_proj": [64, 128],
            "input_layernorm": [64],
            "post_attention_layernorm": [64],
        }.items()
    },
}


@pytest.mark.parametrize(
    "odd",
    [
        {"model.layers.0.self_attn.q_proj.weight": ("F16", [])},
        {"model.layers.0.self_attn.q_norm.weight": ("F16", [])},
        {"model.layers.0.mlp.down_proj.weight": ("F16", [])},
        {f"model.layers.{'9' * 5000}.mlp.up_proj.weight": ("F16", [64, 64])},
        {f"blk.{'9' * 5000}.mlp.up_proj.weight": ("F16", [64, 64])},
    ],
)
def test_odd_tensors_are_faults(odd: dict[str, tuple[str, list[int]]], tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    write(path, TINY)
    assert find(path, {"head_dim": 16}).macs > 0
    write(path, TINY | odd)
    with pytest.raises(InputError):
        find(path, {"head_dim": 16})


def test_a_patch_that_is_not_square_is_called_so(tmp_path: Path) -> None:
    model = "vit_base_patch16_224_in21k"
    path, _ = folder(tmp_path, model)
    (tmp_path / "config.json").unlink()
    shapes = {name: shape for name, shape, _ in tensors(model)}
    for across, rows, message in (
        (8, 197, "patches of 16 x 8 pixels are not square"),
        (16, 196, "195 patch positions do not form a square grid"),
    ):
        odd = {
            name: [*shape[:3], across]
            if len(shape) == 4
            else [1, rows, shape[2]]
            if "position" in name
            else shape
            for name, shape in shapes.items()
        }
        write(path, {name: ("F32", shape) for name, shape in odd.items()})
        with pytest.raises(InputError) as error:
            find(path)
        assert [fault.message for fault in error.value.faults] == [message]


def test_a_tensor_called_as_a_layer_is_one_more_tensor(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    write(path, {**TINY, "blk": ("F16", [1])})
    assert any("with no arithmetic: blk" in note for note in find(path, {"head_dim": 16}).notes)


def test_extents_whose_product_would_never_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    extents = ", ".join(["9" * 4000] * 2_000)
    head = f'{{"w": {{"dtype": "F16", "shape": [{extents}], "data_offsets": [0, 0]}}}}'.encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(InputError, match="not whole numbers of 64 bits"):
        find(path)


def test_an_index_names_files(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    for name in ("", ".", "..", "../x", "x\0y"):
        path.write_text(json.dumps({"weight_map": {"w": name}}))
        with pytest.raises(InputError):
            find(path)


def test_heads_of_widths_that_nobody_published_are_asked_for(tmp_path: Path) -> None:
    """MiniLM is a BERT of width 384 with heads of 32 (Wang et al. 2020), TinyBERT one of 26."""
    path, _ = folder(tmp_path, "bert_base_uncased")
    (tmp_path / "config.json").unlink()
    held = {
        n: ("F32", [384 if d == 768 else d for d in shape])
        for n, shape, _ in tensors("bert_base_uncased")
    }
    write(path, held)
    with pytest.raises(InputError, match="the tensors do not determine the head size"):
        find(path)
    assert find(path, {"head_dim": 32}).macs > 0
