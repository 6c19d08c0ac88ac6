"""Model files that are named wrongly, or of a kind that is not read: what to give instead."""

import os
import shutil
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.workload.importers.readers import load_file
from perfmodel.workload.library import find


def refusal(name: str | Path) -> str:
    with pytest.raises(InputError) as error:
        find(name)
    return str(error.value)


@pytest.mark.parametrize("named", ["net.onnx", "net.tflite", "net.pt2", "net.keras"])
def test_a_gguf_by_its_first_bytes(named: str, tmp_path: Path, checkout: Path) -> None:
    file = tmp_path / named
    shutil.copy(checkout / "examples" / "llama_3_8b_q4_k_m.gguf", file)
    assert "begins as a GGUF file does" in refusal(file)
    assert "a name ending in .gguf" in refusal(file)


def test_an_archive_named_as_a_gguf(tmp_path: Path, checkout: Path) -> None:
    file = tmp_path / "net.gguf"
    shutil.copy(checkout / "examples" / "resnet18.pt2", file)
    assert "begins as a zip archive does" in refusal(file)


def test_a_sound_name_keeps_the_readers_own_words(tmp_path: Path, checkout: Path) -> None:
    cut = tmp_path / "net.gguf"
    cut.write_bytes((checkout / "examples" / "llama_3_8b_q4_k_m.gguf").read_bytes()[:5000])
    assert "begins as" not in refusal(cut)
    other = tmp_path / "net.keras"
    shutil.copy(checkout / "examples" / "resnet18.pt2", other)
    assert "config.json" in refusal(other)


@pytest.mark.parametrize("named", ["net.gguf", "net.onnx", "net.json", "net.keras"])
def test_a_pipe_is_not_waited_for(named: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / named)
    assert "regular file" in refusal(tmp_path / named)


def test_a_folder_offers_the_config_in_it(tmp_path: Path, checkout: Path) -> None:
    folder = checkout / "examples" / "qwen3_4b"
    assert f"did you mean '{folder / 'config.json'}'" in refusal(folder)
    assert "is a folder; expected a file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("net.pth", "torch.export"), ("net.H5", ".keras"), ("net.pb", ".onnx"), ("a/net.pt", ".pt2")],
)
def test_formats_that_are_not_read_say_what_is(name: str, instead: str) -> None:
    assert instead in refusal(name)
    with pytest.raises(InputError, match=instead.replace(".", r"\.")):
        load_file(Path(name), {})
