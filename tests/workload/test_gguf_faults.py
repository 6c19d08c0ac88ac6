"""GGUF files that are refused: every fault with its place, what was expected, the nearest name."""

from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.workload.library import find
from tests.workload.gguf_writer import Tensor, llama, write

SMALL = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512, "vocabulary": 1000}


def refused(path: Path, keys: dict[str, Any], held: list[Tensor]) -> list[str]:
    with pytest.raises(InputError) as error:
        find(write(path, keys, held))
    return [str(fault) for fault in error.value.faults]


def test_a_vocabulary_alone_is_said_to_be_one(tmp_path: Path) -> None:
    keys = {
        "general.architecture": "llama",
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(5000)],
    }
    (told,) = refused(tmp_path / "v.gguf", keys, [])
    assert "holds a vocabulary of 5,000 tokens of the architecture 'llama' and no tensors" in told


def test_an_unknown_architecture_is_named_with_the_nearest(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q4_0")
    (told,) = refused(tmp_path / "a.gguf", keys | {"general.architecture": "qwen3mo"}, held)
    assert "no reader for the architecture 'qwen3mo'" in told
    assert "did you mean 'qwen3moe'" in told
    del keys["general.architecture"]
    (told,) = refused(tmp_path / "b.gguf", keys, held)
    assert "missing key 'general.architecture'" in told


def test_missing_foreign_and_misshapen_tensors_are_all_named(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q4_0")
    changed = [t for t in held if t[0] != "blk.2.attn_v.weight"]
    changed[changed.index(("blk.1.ffn_up.weight", (256, 512), "Q4_0"))] = (
        "blk.1.ffn_up.weight",
        (256, 480),
        "Q4_0",
    )
    changed.append(("blk.3.adapter.weight", (256, 4096), "Q4_0"))
    told = "\n".join(refused(tmp_path / "a.gguf", keys, changed))
    assert "has no tensor 'blk.2.attn_v.weight'" in told
    assert (
        "'blk.1.ffn_up.weight' of shape [256, 480] holds 122,880 elements; expected 131,072" in told
    )
    assert "stands for 'blk.3.adapter.weight'" in told
    assert ": byte " in told


def test_keys_at_fault_are_all_named(tmp_path: Path) -> None:
    keys, held = llama(**SMALL, mix="Q4_0")
    del keys["llama.attention.head_count"]
    keys["llama.attention.head_cuont"] = 4
    keys["llama.feed_forward_length"] = [512, 512, 256, 512]
    keys["llama.embedding_length"] = "wide"
    told = "\n".join(refused(tmp_path / "a.gguf", keys, held))
    assert "did you mean 'llama.attention.head_count'" in told
    assert "differs from layer to layer" in told
    assert "llama.embedding_length: 'wide' is not a size" in told


def test_what_shapes_the_graph_is_the_files(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", *llama(**SMALL, mix="Q4_0"))
    with pytest.raises(InputError, match="is 4 by the tensors of the file"):
        find(path, {"layers": 2})


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", *llama(**SMALL, mix="Q4_0"))
    first = find(path).weights
    write(path, *llama(**(SMALL | {"layers": 6}), mix="Q4_0"))
    assert find(path).weights > first
