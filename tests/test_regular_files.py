"""Files that are no files: pipes, devices, sockets, and files cut short while they are read."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.regular_files import FileBytes, open_regular_file, read_bytes
from perfmodel.workload.importers.gguf.header import read_header

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")

#: Command, with ``{}`` for the file, and how the file's name ends.
READERS = [
    *(
        (["predict", "{}", "a100"], suffix)
        for suffix in (
            ".yaml",
            ".onnx",
            ".tflite",
            ".gguf",
            ".safetensors",
            ".json",
            ".keras",
            ".pt2",
            ".safetensors.index.json",
        )
    ),
    (["predict", "resnet50", "{}"], ".yaml"),
    (["predict", "resnet50", "a100", "--plan", "{}"], ".json"),
    (["predict", "resnet50", "a100", "--overlay", "{}"], ".yaml"),
    (["schedule", "{}", "--capacity", "1 MB"], ".json"),
    (["validate", "{}"], ".csv"),
    (["calibrate", "{}"], ".csv"),
    (["search", "{}"], ".yaml"),
]


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_regular_file_is_refused_by_every_reader(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process: a reader that waits or reads on without end runs into its limits."""
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    commands: list[list[str]] = []
    sockets: list[socket.socket] = []
    for i, (words, suffix) in enumerate(READERS):
        name = f"f{i}{suffix}"
        if kind == "pipe":
            os.mkfifo(name)
        elif kind == "device":
            os.symlink("/dev/zero", name)
        else:
            sockets.append(made := socket.socket(socket.AF_UNIX))
            made.bind(name)
        commands.append([word.replace("{}", name) for word in words])
    script = (
        "import json, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "from perfmodel.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = main(words)\n"
        "    print('exit', code, ' '.join(words), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for made in sockets:
        made.close()
    assert done.returncode == 0, done.stderr
    said = done.stderr.split("exit ")
    for words, before, after in zip(commands, said, said[1:], strict=False):
        assert after.startswith(f"2 {' '.join(words)}"), (words, done.stderr)
        assert "is not a regular file" in before, (words, before)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"inside")
    (tmp_path / "b").symlink_to("a")
    assert read_bytes(tmp_path / "b", 10) == b"inside"
    with pytest.raises(InputError, match="larger"):
        read_bytes(tmp_path / "b", 5)
    with pytest.raises(InputError, match="directory"):
        open_regular_file(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        open_regular_file(tmp_path / "c")


def test_bytes_by_position_are_those_of_the_file(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "a").write_bytes(data)
    with open_regular_file(tmp_path / "a") as stream:
        held = FileBytes(stream, "a")
        assert len(held) == len(data)
        for first, last in [(0, 4), (299_990, 400_000), (5, 200_000), (70_000, 70_008), (9, 9)]:
            assert held[first:last] == data[first:last]


def test_a_file_cut_short_while_it_is_read_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(200_000))
    with open_regular_file(path) as stream:
        held = FileBytes(stream, "a")
        assert held[0:4] == bytes(4)
        os.truncate(path, 100_000)
        with pytest.raises(InputError, match="shorter"):
            _ = held[150_000:150_004]


def test_long_arrays_of_texts_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    count = 60_000
    text = struct.pack("<Q", 1) + b"x"
    path.write_bytes(
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", 1)
        + b"a"
        + struct.pack("<IIQ", 9, 8, count)
        + text * count
    )
    tracemalloc.start()
    assert read_header(path).keys["a"].length == count
    assert tracemalloc.get_traced_memory()[1] < 1.5 * 2**20
    tracemalloc.stop()
