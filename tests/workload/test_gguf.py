"""GGUF headers as networks: sizes of published files, every tensor's own type, parts, refusals."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.ask import sweep
from perfmodel.formats import format_named
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.system.serving import serve
from perfmodel.workload.importers.gguf.ggml_types import FILE_TYPES, TYPES
from perfmodel.workload.importers.gguf.load import CONTEXT
from perfmodel.workload.library import find
from tests.draws import draws
from tests.workload.gguf_writer import Tensor, bytes_of, header, llama, write
from tests.workload.tensors_of_huggingface import DATA, TENSORS, config, tensors

MAC = "apple_m2_max"
SMALL = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512, "vocabulary": 1000}
LLAMA_3_8B = {
    "layers": 32,
    "width": 4096,
    "heads": 32,
    "kv_heads": 8,
    "ffn": 14336,
    "vocabulary": 128256,
}
LLAMA_2_7B = {
    "layers": 32,
    "width": 4096,
    "heads": 32,
    "kv_heads": 32,
    "ffn": 11008,
    "vocabulary": 32000,
}
LLAMA_3_2_1B = {
    "layers": 16,
    "width": 2048,
    "heads": 32,
    "kv_heads": 8,
    "ffn": 8192,
    "vocabulary": 128256,
    "tied": True,
    "rope": 32,
}


def test_formats_have_the_bits_of_ggmls_blocks() -> None:
    for found in TYPES.values():
        assert float(format_named(found.format).bits) == 8 * found.size / found.block, found.name
    for name in FILE_TYPES.values():
        format_named(name)


#: Bytes as Hugging Face lists the files (bartowski's Meta-Llama-3-8B-Instruct and
#: Llama-3.2-1B-Instruct, TheBloke's Llama-2-7B), in GB. A file holds its vocabulary beside the
#: tensors: 7.8 MB for Llama 3, 0.7 MB for Llama 2 (llama.cpp's models/ggml-vocab-llama-*.gguf).
PUBLISHED = [
    (LLAMA_3_8B, "Q4_K_M", 4.92, 7.8),
    (LLAMA_3_8B, "Q5_K_M", 5.733, 7.8),
    (LLAMA_3_8B, "Q6_K", 6.596, 7.8),
    (LLAMA_3_8B, "Q8_0", 8.541, 7.8),
    (LLAMA_2_7B, "Q4_0", 3.826, 0.7),
    (LLAMA_2_7B, "Q4_K_M", 4.081, 0.7),
    (LLAMA_2_7B, "Q5_K_M", 4.783, 0.7),
    (LLAMA_2_7B, "Q8_0", 7.161, 0.7),
    (LLAMA_3_2_1B, "Q4_K_M", 0.808, 7.8),
    (LLAMA_3_2_1B, "Q8_0", 1.321, 7.8),
]


@pytest.mark.parametrize(("shape", "mix", "gigabytes", "vocabulary"), PUBLISHED)
def test_weights_and_vocabulary_are_the_published_file(
    shape: dict[str, Any], mix: str, gigabytes: float, vocabulary: float, tmp_path: Path
) -> None:
    keys, held = llama(**shape, mix=mix)
    found = predict(find(write(tmp_path / "m.gguf", keys, held)), hardware("rtx_4090"))
    assert found.weight_bytes == sum(bytes_of(s, t) for _, s, t in held)
    assert found.weight_bytes / 1e9 + vocabulary / 1e3 == pytest.approx(gigabytes, abs=0.0012)


def test_llama_benchs_size_of_llama_2_7b(tmp_path: Path) -> None:
    """3.56 GiB and 6.74 billion parameters in its tables (discussion 4167)."""
    keys, held = llama(**LLAMA_2_7B, mix="Q4_0")
    work = find(write(tmp_path / "m.gguf", keys, held))
    weights = predict(work, hardware(MAC)).weight_bytes
    assert round(weights / 2**30, 2) == 3.56
    assert round(work.weights / 1e9, 2) == 6.74


def test_each_tensor_keeps_its_type_layer_by_layer(tmp_path: Path) -> None:
    keys, held = llama(**LLAMA_3_8B, mix="Q4_K_M")
    graph = find(write(tmp_path / "m.gguf", keys, held)).graph()
    layers = {b.name: b.count for b in graph.blocks if b.layer}
    assert layers == {"layer": 16, "layer_2": 16}
    by_name = {n: t.format for n, t in graph.tensors.items() if t.role == "weight"}
    assert by_name["layer.v_proj.weight"] == by_name["layer.ffn_down.weight"] == "q6_k"
    assert by_name["layer_2.v_proj.weight"] == by_name["layer_2.ffn_down.weight"] == "q4_k"
    assert by_name["layer.q_proj.weight"] == by_name["embedding.weight"] == "q4_k"
    assert by_name["head.weight"] == "q6_k"
    assert by_name["layer_2.ffn_norm.weight"] == by_name["final_norm.weight"] == "fp32"


@pytest.mark.parametrize(
    ("device", "runtime"),
    [(MAC, None), ("raspberry_pi_5", None), ("rtx_4090", "llama_cpp_cuda_2025")],
)
def test_the_file_costs_what_its_mixture_costs_by_name(
    device: str, runtime: str | None, tmp_path: Path
) -> None:
    """A mixture by name has the same bytes to a permille; norms are half precision there."""
    keys, held = llama(**LLAMA_3_8B, mix="Q4_K_M")
    path = write(tmp_path / "m.gguf", keys, held)
    for phase in ({"phase": "decode", "context": 1000}, {"phase": "prefill", "prompt": 300}):
        file = predict(find(path, phase), hardware(device), runtime=runtime)
        name = predict(
            find("llama_3_8b", phase), hardware(device), precision="q4_k_m", runtime=runtime
        )
        assert file.latency_s == pytest.approx(float(name.latency_s), rel=0.005)
        assert file.weight_bytes == pytest.approx(float(name.weight_bytes), rel=0.001)


def test_phases_share_the_weights_and_survive_pickling(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q4_K_M", rope=32)
    path = write(tmp_path / "m.gguf", keys, held)
    total = sum(bytes_of(s, t) for _, s, t in held)
    for phase in ("decode", "prefill", "extend", "request"):
        work = find(path, {"phase": phase})
        found = predict(work, hardware(MAC))
        assert found.weight_bytes == total
        again = predict(pickle.loads(pickle.dumps(work)), hardware(MAC))
        assert again.latency_s == found.latency_s
        unrolled = work.graph().unroll({**work.parameters, "generate": 2})
        bits = {
            n: float(format_named(t.format).bits)
            for n, t in unrolled.tensors.items()
            if t.role == "weight"
        }
        sizes = {
            n: float(work.number(t.elements))
            for n, t in unrolled.tensors.items()
            if t.role == "weight"
        }
        assert sum(bits[n] * sizes[n] for n in bits) / 8 == total


def test_the_real_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Types of a published Q4_K_M, whose rows of 640 no K-quant divides."""
    real = json.loads((DATA / "gemma_3_270m_q4_k_m.json").read_text())
    held: list[Tensor] = [(n, s, t) for n, s, t in real["tensors"]]
    work = find(write(tmp_path / "m.gguf", real["keys"], held))
    assert predict(work, hardware(MAC)).weight_bytes == 246_587_904
    # Google's card: 268 million parameters; 18 layers, of which every sixth attends to everything.
    assert round(work.weights / 1e6) == 268
    layers = {b.name: b.count for b in work.graph().blocks if b.layer}
    assert sum(n for name, n in layers.items() if name.startswith("sliding")) == 15
    assert sum(layers.values()) == 18
    assert work.precision == "q4_k_m"


#: Models whose tensors llama.cpp's converter renames, and what their headers say beside sizes.
WRITTEN = {
    "llama_2_7b": "llama",
    "llama_3_8b": "llama",
    "qwen_2_5_7b": "qwen2",
    "qwen_3_8b": "qwen3",
    "gemma_2_2b": "gemma2",
    "gemma_3_1b": "gemma3",
    "phi_3_mini": "phi3",
    "gpt2": "gpt2",
    "mamba_130m": "mamba",
    "bert_base_uncased": "bert",
    "qwen_1_5_moe": "qwen2moe",
    "mixtral_8x7b": "llama",
    "qwen_3_30b_a3b": "qwen3moe",
    "deepseek_v3": "deepseek2",
    "gpt_oss_20b": "gpt-oss",
    "falcon_7b": "falcon",
    "falcon_40b": "falcon",
    "phi_2": "phi2",
    "olmo_1b": "olmo",
    "olmo_2_7b": "olmo2",
    "stablelm_2_1_6b": "stablelm",
    "starcoder2_3b": "starcoder2",
    "pythia_1_4b": "gptneox",
    "command_r": "command-r",
    "gptj_6b": "gptj",
    "phi_3_5_moe": "phimoe",
    "gemma_2b": "gemma",
    "mpt_7b": "mpt",
}


LAYER_NORM = {
    "bert",
    "gpt2",
    "falcon",
    "phi2",
    "olmo",
    "stablelm",
    "starcoder2",
    "gptneox",
    "command-r",
    "gptj",
    "mpt",
}


def converted(model: str, told: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors that llama.cpp's converter makes of a model, in types by their rows."""
    arch = WRITTEN[model]
    for name, shape, gguf in tensors(model):
        if name.startswith("cls.") or "pooler" in name:
            continue
        shape = list(shape)
        layer = f"blk.{next((p for p in name.split('.') if p.isdecimal()), '')}"
        kind = "bias" if name.endswith("bias") else "weight"
        parts = {gguf: shape}
        if "mlp.experts." in name:
            count, outputs, inputs = (*shape, 1)[:3]
            if arch == "gpt-oss" and kind == "weight":
                outputs, inputs = inputs, outputs
            new = [count, outputs, inputs] if kind == "weight" else [count, outputs]
            half = [count, outputs // 2, *new[2:]]
            parts = (
                {f"{layer}.ffn_down_exps.{kind}": new}
                if "down" in name
                else {
                    f"{layer}.ffn_gate_exps.{kind}": half,
                    f"{layer}.ffn_up_exps.{kind}": half,
                }
            )
        elif "e_score_correction" in name:
            parts = {f"{layer}.exp_probs_b.bias": shape}
        elif arch == "gpt2" and len(shape) == 2 and ".c_" in name:
            parts = {gguf: shape[::-1]}
        elif "conv1d.weight" in name:
            parts = {gguf: [shape[0], shape[2]]}
        elif "kv_b_proj" in name:
            heads, rank = told["num_attention_heads"], told["kv_lora_rank"]
            block = gguf.rpartition(".attn_")[0]
            parts = {
                f"{block}.attn_k_b.weight": [heads, rank, told["qk_nope_head_dim"]],
                f"{block}.attn_v_b.weight": [heads, told["v_head_dim"], rank],
            }
        for new, extents in parts.items():
            if not new.endswith((".weight", ".bias", "ssm_a", "ssm_d")):
                new = f"{new}.weight"
            row = extents[-1]
            third = new.startswith("blk.") and int(new.split(".")[1]) % 3 == 0
            wide = "Q6_K" if third and "ffn_down" in new else "Q4_K"
            type_ = "F32" if len(extents) < 2 else wide if row % 256 == 0 else "F16"
            yield new, extents[::-1], type_


def keys_of(model: str, told: dict[str, Any]) -> dict[str, Any]:
    arch = WRITTEN[model]

    def first(*names: str) -> Any:
        return next((told[name] for name in names if told.get(name)), None)

    heads = first("num_attention_heads", "n_head", "n_heads")
    width = first("hidden_size", "n_embd", "d_model")
    found: dict[str, Any] = {
        "block_count": first("num_hidden_layers", "n_layer", "n_layers"),
        "context_length": 4096,
        "embedding_length": width,
    }
    if heads:
        one = told.get("multi_query") and not told.get("new_decoder_architecture")
        found["feed_forward_length"] = first("intermediate_size", "ffn_hidden_size") or 4 * width
        found["attention.head_count"] = heads
        shared = first("num_key_value_heads", "num_kv_heads") or heads
        found["attention.head_count_kv"] = 1 if one else shared
    norm = "layer_norm_epsilon" if arch in LAYER_NORM else "layer_norm_rms_epsilon"
    found[f"attention.{norm}"] = 1e-6
    if told.get("head_dim"):
        found |= {f"attention.{of}_length": told["head_dim"] for of in ("key", "value")}
    if arch in ("gemma2", "gemma3", "gpt-oss"):
        found["attention.sliding_window"] = told["sliding_window"]
    experts = [told.get(k) for k in ("num_local_experts", "num_experts", "n_routed_experts")]
    if any(experts):
        found["expert_count"] = next(filter(None, experts))
        found["expert_used_count"] = told.get("num_experts_per_tok", 4)
    if told.get("moe_intermediate_size"):
        found["expert_feed_forward_length"] = told["moe_intermediate_size"]
    if arch == "deepseek2":
        rank, rope = told["kv_lora_rank"], told["qk_rope_head_dim"]
        found |= {
            "attention.q_lora_rank": told["q_lora_rank"],
            "attention.kv_lora_rank": rank,
            "attention.head_count_kv": 1,
            "attention.key_length": rank + rope,
            "attention.value_length": rank,
            "attention.value_length_mla": told["v_head_dim"],
            "attention.key_length_mla": told["qk_nope_head_dim"] + rope,
            "rope.dimension_count": rope,
        }
    if arch == "mamba":
        found |= {
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 1536,
            "ssm.state_size": 16,
            "ssm.time_step_rank": 48,
        }
    return {"general.architecture": arch, **{f"{arch}.{k}": v for k, v in found.items()}}


@pytest.mark.parametrize("model", WRITTEN)
def test_every_architecture_is_the_network_of_its_config(model: str, tmp_path: Path) -> None:
    told = json.loads(config(model))
    held = list(converted(model, told))
    path = write(tmp_path / "m.gguf", keys_of(model, told), held, sparse=False)
    settings = {} if model == "bert_base_uncased" else {"context": 1000}
    file = find(path, settings)
    (tmp_path / "config.json").write_text(config(model))
    read = find(tmp_path / "config.json", settings)
    assert predict(file, hardware("h100_sxm")).weight_bytes == sum(
        bytes_of(s, t) for _, s, t in held
    )
    # A GGUF of BERT has no pooler.
    pooler = 768 * 768 + 768 if model == "bert_base_uncased" else 0
    assert file.weights == read.weights - pooler
    assert pooler or file.macs == read.macs
    assert any("lacks" in note for note in file.notes)


def test_the_models_above_are_all_that_have_gguf_names() -> None:
    named = {m for m, rows in TENSORS.items() if any(row[2] for row in rows)}
    assert named == set(WRITTEN)


def test_the_cache_and_the_context_follow_from_the_header(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q8_0")
    work = find(write(tmp_path / "a.gguf", keys, held))
    assert work.parameters["context"] == CONTEXT
    cache = predict(find(tmp_path / "a.gguf", {"context": 500}), hardware(MAC)).kv_bytes
    assert cache == 4 * 500 * 2 * (256 // 4 * 2) * 2
    keys["llama.context_length"] = 300
    short = find(write(tmp_path / "b.gguf", keys, held))
    assert short.parameters["context"] == 300
    assert "trained on contexts up to 300 tokens" in short.notes
    kv8 = predict(
        find(tmp_path / "a.gguf", {"context": 500}),
        hardware(MAC),
        precision="w=q8_0,a=fp16,kv=q8_0",
    )
    assert kv8.kv_bytes == pytest.approx(cache * 8.5 / 16)


def test_old_and_big_endian_headers_say_the_same(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q4_K_M")
    first = find(write(tmp_path / "a.gguf", keys, held))
    for name, how in {"b": {"version": 2}, "c": {"order": ">"}}.items():
        other = find(write(tmp_path / f"{name}.gguf", keys, held, **how))
        assert other.macs == first.macs
        assert predict(other, hardware(MAC)).latency_s == pytest.approx(
            predict(first, hardware(MAC)).latency_s, rel=1e-12
        )


def test_experts_that_are_a_tensor_each(tmp_path: Path) -> None:
    """Files of late 2023 hold the experts of Mixtral one by one."""
    told = json.loads(config("mixtral_8x7b"))
    joined = list(converted("mixtral_8x7b", told))
    single: list[Tensor] = []
    for name, shape, type_ in joined:
        if "_exps" in name:
            new = name.replace("_exps.weight", "")
            single += [(f"{new}.{e}.weight", shape[:2], type_) for e in range(shape[2])]
        else:
            single.append((name, shape, type_))
    keys = keys_of("mixtral_8x7b", told)
    a = find(write(tmp_path / "a.gguf", keys, joined))
    b = find(write(tmp_path / "b.gguf", keys, single))
    assert a.weights == b.weights
    assert predict(a, hardware(MAC)).latency_s == pytest.approx(
        predict(b, hardware(MAC)).latency_s, rel=1e-12
    )


# files in parts


def test_the_writer_writes_what_the_specification_says() -> None:
    """Magic, version 3, one tensor, one key: docs/gguf.md of ggml, byte by byte."""
    raw = header({"a": 7}, [("t", (32, 2), "Q8_0")])
    assert raw[:24] == b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"
    assert raw[24:41] == b"\x01\0\0\0\0\0\0\0a\x04\0\0\0\x07\0\0\0"
    assert raw[41:50] == b"\x01\0\0\0\0\0\0\0t"
    assert raw[50:70] == b"\x02\0\0\0\x20\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"
    assert raw[70:] == b"\x08\0\0\0" + bytes(8)


def test_sweeps_take_a_file_through_its_phases(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", *llama(**SMALL, mix="Q4_K_M"))
    table = sweep(str(path), MAC, {"phase": ["decode", "prefill"], "batch": [1, 4]})
    for row in table.rows():
        work = find(path, {"phase": row.phase, "batch": int(row.batch)})
        expected = float(predict(work, hardware(MAC)).latency_s)
        assert row.latency_s == pytest.approx(expected, rel=1e-12)


def test_a_server_takes_the_file_with_its_formats(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", *llama(**SMALL, mix="Q4_K_M"))
    served = serve(str(path), "h100", prompt=64, generate=16, concurrency=4)
    again = serve(find(str(path), {}), "h100", prompt=64, generate=16, concurrency=4)
    assert served.tpot_s == again.tpot_s > 0.0
    assert "q4_k, q6_k by the file" in served.headline


#: Types of ggml by bits of an element, the least first.
BY_BITS = ("Q2_K", "Q3_K", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "BF16", "F32")


@given(
    st.lists(st.integers(0, len(BY_BITS) - 1), min_size=7, max_size=7),
    st.integers(0, 6),
    st.integers(1, 8),
)
@settings(max_examples=draws(10), deadline=None)
def test_a_smaller_type_never_moves_more(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[int], which: int, less: int
) -> None:
    """Of one kind of tensor in every other layer; nothing else of the file changes."""
    keys, held = llama(
        layers=4, width=512, heads=8, kv_heads=2, ffn=1024, vocabulary=2048, mix="Q8_0"
    )
    kinds = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    found: list[tuple[float, float]] = []
    for narrow in (False, True):
        types = dict(zip(kinds, chosen, strict=True))
        tensors = [
            (
                name,
                shape,
                type_
                if (kind := name.split(".")[-2]) not in types
                else BY_BITS[
                    max(0, types[kind] - less)
                    if narrow and kind == kinds[which] and int(name.split(".")[1]) % 2
                    else types[kind]
                ],
            )
            for name, shape, type_ in held
        ]
        path = write(tmp_path_factory.mktemp("law") / "m.gguf", keys, tensors)
        one = predict(find(path, {"phase": "decode", "context": 100}), hardware(MAC))
        stored = sum(bytes_of(shape, type_) for _, shape, type_ in tensors)
        assert one.weight_bytes == pytest.approx(stored)
        found.append((float(one.weight_bytes), float(one.traffic_bytes["dram"])))
    assert found[1][0] <= found[0][0]
    assert found[1][1] <= found[0][1]
