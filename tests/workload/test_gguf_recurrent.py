"""GGUF headers of recurrent networks, written with the tensors that llama.cpp creates for them."""

from pathlib import Path
from typing import Any

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find
from tests.workload.gguf_writer import Tensor, bytes_of, write


def test_rwkv_6_as_llama_cpp_stores_it(tmp_path: Path) -> None:
    """Tensors of ``llama_model_rwkv6::load_arch_tensors`` (src/models/rwkv6.cpp)."""
    width, ffn, vocabulary, layers = 2048, 7168, 65536, 24
    keys = {
        "general.architecture": "rwkv6",
        "rwkv6.block_count": layers,
        "rwkv6.embedding_length": width,
        "rwkv6.feed_forward_length": ffn,
        "rwkv6.wkv.head_size": 64,
        "rwkv6.time_mix_extra_dim": 32,
        "rwkv6.time_decay_extra_dim": 64,
    }
    both = [("weight", (width,), "F32"), ("bias", (width,), "F32")]
    held: list[Tensor] = [
        ("token_embd.weight", (width, vocabulary), "Q8_0"),
        ("output.weight", (width, vocabulary), "Q8_0"),
    ]
    held += [(f"{n}.{k}", s, t) for n in ("token_embd_norm", "output_norm") for k, s, t in both]
    for i in range(layers):
        b = f"blk.{i}."
        held += [
            (f"{b}{n}.{k}", s, t)
            for n in ("attn_norm", "attn_norm_2", "time_mix_ln")
            for k, s, t in both
        ]
        matrices = {
            f"time_mix_{n}": (width, width)
            for n in ("key", "value", "receptance", "gate", "output")
        }
        matrices |= {
            "time_mix_w1": (width, 160),
            "time_mix_decay_w1": (width, 64),
            "time_mix_decay_w2": (64, width),
            "channel_mix_receptance": (width, width),
            "channel_mix_key": (width, ffn),
            "channel_mix_value": (ffn, width),
        }
        held += [(f"{b}{n}.weight", s, "Q8_0") for n, s in matrices.items()]
        vectors = {
            "time_mix_w2": (32, width, 5),
            "time_mix_lerp_x": (width, 1, 1),
            "time_mix_lerp_fused": (width, 1, 1, 5),
            "time_mix_first": (64, width // 64),
            "time_mix_decay": (width,),
            "channel_mix_lerp_k": (width, 1, 1),
            "channel_mix_lerp_r": (width, 1, 1),
        }
        held += [(f"{b}{n}.weight", s, "F32") for n, s in vectors.items()]
    work = find(write(tmp_path / "m.gguf", keys, held))
    assert work.weights == find("rwkv_6_1_6b").weights
    total = sum(bytes_of(s, t) for _, s, t in held)
    assert predict(work, hardware("h100_sxm")).weight_bytes == total


def test_mamba_2_as_llama_cpp_stores_it(tmp_path: Path) -> None:
    """Tensors of ``llama_model_mamba2::load_arch_tensors`` (src/models/mamba2.cpp)."""
    width, inner, state, heads, layers = 2560, 5120, 128, 80, 64
    size = {
        "conv_kernel": 4,
        "inner_size": inner,
        "state_size": state,
        "time_step_rank": heads,
        "group_count": 1,
    }
    keys: dict[str, Any] = {
        "general.architecture": "mamba2",
        "mamba2.block_count": layers,
        "mamba2.embedding_length": width,
        **{f"mamba2.ssm.{k}": v for k, v in size.items()},
    }
    held: list[Tensor] = [
        ("token_embd.weight", (width, 50288), "Q8_0"),
        ("output_norm.weight", (width,), "F32"),
    ]
    wide = inner + 2 * state
    for i in range(layers):
        b = f"blk.{i}."
        held += [
            (f"{b}attn_norm.weight", (width,), "F32"),
            (f"{b}ssm_in.weight", (width, inner + wide + heads), "Q8_0"),
            (f"{b}ssm_conv1d.weight", (4, wide), "F32"),
            (f"{b}ssm_conv1d.bias", (wide,), "F32"),
            (f"{b}ssm_dt.bias", (heads,), "F32"),
            (f"{b}ssm_a", (1, heads), "F32"),
            (f"{b}ssm_d", (1, heads), "F32"),
            (f"{b}ssm_norm.weight", (inner, 1), "F32"),
            (f"{b}ssm_out.weight", (inner, width), "Q8_0"),
        ]
    work = find(write(tmp_path / "m.gguf", keys, held))
    assert work.weights == find("mamba2_2_7b").weights
    total = sum(bytes_of(s, t) for _, s, t in held)
    assert predict(work, hardware("h100_sxm")).weight_bytes == total
