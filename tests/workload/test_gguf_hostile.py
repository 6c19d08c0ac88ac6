"""Broken GGUF and safetensors headers: every one is a fault with a place, never a traceback."""

import json
import os
import random
import struct
import tracemalloc
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.importers.gguf.header import LongArray, read_header
from perfmodel.workload.library import find
from tests.draws import draws, of_draws
from tests.workload.gguf_writer import header, llama, text, value, write
from tests.workload.tensors_of_huggingface import config, tensors
from tests.workload.tensors_of_huggingface import write as write_safetensors

KEYS, HELD = llama(layers=2, width=256, heads=4, kv_heads=2, ffn=512, vocabulary=64, mix="Q4_K_M")
#: Kinds of values that lengths and counts of a header are replaced with.
HUGE = (0, 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def refused(path: Path, raw: bytes) -> str:
    path.write_bytes(raw)
    with pytest.raises(InputError) as error:
        find(path)
    assert str(path) in str(error.value)
    return str(error.value)


def whole() -> bytes:
    tokens = [f"token {i}" for i in range(40)]
    return header({**KEYS, "tokenizer.ggml.tokens": tokens, "a.list": [[1, 2], [3, 4]]}, HELD)


def test_every_cut_is_told(tmp_path: Path) -> None:
    raw = whole()
    for at in range(0, len(raw), 29):
        told = refused(tmp_path / f"{at}.gguf", raw[:at])
        assert "expected" in told
    # Without its data it is a header, which is enough.
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    assert predict(find(path), hardware("apple_m2_max")).weight_bytes > 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is empty"),
        (b"GGML" + bytes(40), "is not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(40), "version 1 of GGUF"),
        (b"GGUF" + struct.pack("<I", 99) + bytes(40), "version 99 of GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "1152921504606846976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "1152921504606846976 keys"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63) + bytes(40), "a key of 922337203685477580"),
        (header({"a": 1})[:-4] + b"\x01", "in the middle of a value"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 77) + bytes(9),
            "unknown type of value 77",
        ),
        (
            b"GGUF"
            + struct.pack("<IQQ", 3, 0, 1)
            + text("a")
            + struct.pack("<IIQ", 9, 4, 2**62)
            + bytes(9),
            "an array of 4611686018427387904",
        ),
        (
            b"GGUF"
            + struct.pack("<IQQ", 3, 0, 1)
            + text("a")
            + struct.pack("<IIQ", 9, 8, 2**62)
            + bytes(9),
            "an array of 4611686018427387904",
        ),
        (header({"a": 1, "b": 2}).replace(text("b"), text("a")), "'a' occurs twice"),
        (header({"a": [[[[1]]]]}), "arrays inside arrays"),
        (header({"a": True})[:-1] + b"\x07", "7 is not a flag"),
        (header({"general.alignment": 3}, HELD[:1]), "3 is not an alignment"),
        (header({}, [("t", (1, 1, 1, 1, 1), "F32")]), "'t' has 5 axes"),
        (header({}, [("t", (0, 4), "F32")]), "'t' has the shape [0, 4]"),
        (header({}, [("t", (2**40, 2**40), "F32")]), "'t' has the shape"),
        (header({}, [("t", (33, 4), "Q4_0")]), "a multiple of 32"),
        (header({}, [("t", (4,), "F32"), ("t", (4,), "F32")]), "'t' occurs twice"),
        (
            header({}, [("t", (4,), "F32"), ("u", (4,), "F32")])[:-8] + struct.pack("<Q", 7),
            "'u' begins at 7 of the data",
        ),
        (header({}, [("t", (4,), "F32")])[:-12] + struct.pack("<IQ", 4, 0), "unknown type 4"),
        (header({"general.architecture": b"\xff\xfe"}, HELD), "no reader for the architecture"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path / "m.gguf", raw)


def test_every_fault_of_tensor_infos_at_once(tmp_path: Path) -> None:
    raw = header({}, [("a", (33, 4), "Q4_0"), ("b", (0,), "F32"), ("c", (100, 2), "Q6_K")])
    told = refused(tmp_path / "m.gguf", raw).splitlines()
    assert len(told) == 3
    assert all(": byte " in line for line in told)


def test_mutated_headers_are_refused_or_read(tmp_path: Path) -> None:
    """Flipped bytes, lengths of all sizes, cuts and doubled stretches; memory stays bounded."""
    raw = whole()
    rng = random.Random(7)
    refusals: list[int] = []
    tracemalloc.start()
    for i in range(draws(500)):
        changed = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(changed) - 8)
            kind = rng.randrange(4)
            if kind == 0:
                changed[at] = rng.randrange(256)
            elif kind == 1:
                changed[at : at + 8] = struct.pack("<Q", rng.choice(HUGE))
            elif kind == 2:
                changed[at : at + 4] = struct.pack("<I", rng.choice(HUGE) % 2**32)
            else:
                changed[at:at] = changed[at : at + rng.randrange(1, 40)]
        path = tmp_path / f"{i}.gguf"
        path.write_bytes(bytes(changed))
        try:
            work = find(path)
            assert float(work.weights) > 0
        except InputError as error:
            refusals.append(len(error.faults))
    assert len(refusals) > of_draws(100)
    assert min(refusals) > 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_mutated_values_of_keys(tmp_path: Path) -> None:
    """Numbers and texts where others belong: never more than faults."""
    rng = random.Random(3)
    bad = [0, 1, 2**31, -1, 3.5, "x", True, [], [1, 2], [0.5] * 5000, ["a"] * 5000, 7, 10**6]
    refusals: list[int] = []
    for i in range(draws(200)):
        keys = dict(KEYS)
        for name in rng.sample(sorted(KEYS), rng.choice((1, 2, 3))):
            keys[name] = rng.choice(bad)
        try:
            find(write(tmp_path / f"{i}.gguf", keys, HELD, sparse=False))
        except InputError as error:
            refusals.append(len(error.faults))
    assert min(refusals) > 0


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_pipes_and_folders_are_not_waited_for(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"folder.{suffix}").mkdir()
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    for name in ("folder", "pipe"):
        with pytest.raises(InputError, match=r"is not a regular file|is a directory"):
            find(tmp_path / f"{name}.{suffix}")


def test_names_that_steer_a_terminal_are_escaped(tmp_path: Path) -> None:
    raw = header({**KEYS, "general.architecture": "llama\x1b[2J\n"}, HELD)
    told = refused(tmp_path / "m.gguf", raw)
    assert "\x1b" not in told


def test_mutated_safetensors_are_refused_or_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config("gpt2"))
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {n: ("F16", s) for n, s, _ in tensors("gpt2")})
    size = path.stat().st_size
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        raw = stream.read(length)
    rng = random.Random(11)
    refusals: list[int] = []
    for i in range(draws(100)):
        changed = bytearray(raw)
        for _ in range(rng.choice((1, 2, 4))):
            changed[rng.randrange(len(changed))] = rng.choice(b'0123456789{}[]":,.-eEx\xff\x00')
        broken = tmp_path / f"{i}.safetensors"
        with broken.open("wb") as stream:
            stream.write(struct.pack("<Q", len(changed)) + changed)
            stream.truncate(size)
        try:
            find(broken)
        except InputError as error:
            refusals.append(len(error.faults))
    assert min(refusals) > 0
    for length in HUGE:
        broken = tmp_path / f"length_{length}.safetensors"
        broken.write_bytes(struct.pack("<Q", length) + raw[:1000])
        with pytest.raises(InputError):
            find(broken)


def test_deep_and_odd_json_of_safetensors(tmp_path: Path) -> None:
    for i, head in enumerate(
        (
            b"{" + b'"a":{' * 50_000,
            json.dumps({"a": 1}).encode(),
            b"{}",
            b"[1]",
            json.dumps({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}).encode(),
            json.dumps({"a": {"dtype": "F32", "shape": [10**30], "data_offsets": [0, 4]}}).encode(),
        )
    ):
        path = tmp_path / f"{i}.safetensors"
        path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(16))
        with pytest.raises(InputError):
            find(path)


def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors", "b": "/etc/passwd"}}))
    with pytest.raises(InputError, match="lies elsewhere"):
        find(path)


def test_the_writer_of_these_tests_can_write_every_kind_of_value() -> None:
    assert value(-1)[0] == 5
    assert value(2.0)[0] == 6
    assert value([True])[1][:4] == struct.pack("<I", 7)


def test_only_stored_values_count_towards_the_limit_on_them(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header({"vocabulary": [1] * (2**18 + 1), "heads": [8, 4]}))
    assert read_header(path).keys == {"vocabulary": LongArray(2**18 + 1), "heads": [8, 4]}
    path.write_bytes(header({f"k{i}": [7] * 4096 for i in range(65)} | {"heads": [8, 4]}))
    stored = read_header(path).keys
    assert [name for name, v in stored.items() if isinstance(v, LongArray)] == ["k64", "heads"]
