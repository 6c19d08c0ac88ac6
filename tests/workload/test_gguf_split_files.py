"""GGUF models in several files: any part names the model, and every part is needed."""

from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find
from tests.workload.gguf_writer import llama, write

SMALL = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512, "vocabulary": 1000}


def parts(folder: Path, count: int = 3) -> list[Path]:
    keys, held = llama(**SMALL, mix="Q4_K_M")
    found: list[Path] = []
    step = -(-len(held) // count)
    for i in range(count):
        own = {"split.no": i, "split.count": count, "split.tensors.count": len(held)}
        path = folder / f"m-{i + 1:05}-of-{count:05}.gguf"
        part = held[i * step : (i + 1) * step]
        found.append(write(path, {**(keys if i == 0 else {}), **own}, part))
    return found


def test_parts_are_one_model_whichever_is_named(tmp_path: Path) -> None:
    whole = find(write(tmp_path / "m.gguf", *llama(**SMALL, mix="Q4_K_M")))
    for path in parts(tmp_path):
        found = find(path)
        assert found.name == "m"
        assert found.weights == whole.weights
        assert predict(found, hardware("apple_m2_max")).latency_s == pytest.approx(
            predict(whole, hardware("apple_m2_max")).latency_s, rel=1e-12
        )


def test_every_missing_part_is_named(tmp_path: Path) -> None:
    files = parts(tmp_path)
    files[1].unlink()
    files[2].unlink()
    with pytest.raises(InputError) as error:
        find(files[0])
    assert [f.file for f in error.value.faults] == [str(files[1]), str(files[2])]
    assert "a part is missing" in str(error.value)


def test_parts_that_do_not_belong_together(tmp_path: Path) -> None:
    files = parts(tmp_path)
    files[1].write_bytes(files[2].read_bytes())
    with pytest.raises(InputError, match="states that it is part 2"):
        find(files[0])
    alone = tmp_path / "alone.gguf"
    alone.write_bytes(files[0].read_bytes())
    with pytest.raises(InputError, match="is one of 3 parts"):
        find(alone)
