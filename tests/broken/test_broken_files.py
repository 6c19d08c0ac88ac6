"""Files that are no such file at all, and files that are not there: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable
from pathlib import Path

import pytest

# (file, content, what is said)
FILES = [
    ("board.yaml", b"", "board.yaml:1:1: is empty; expected keys and values"),
    (
        "board.yaml",
        b"- a list\n",
        "board.yaml:1:1: a list is not a mapping; expected keys and values",
    ),
    ("board.yaml", b"42\n", "board.yaml:1:1: 42 is not a mapping; expected keys and values"),
    (
        "board.yaml",
        b"name: board\nengines: []\nmemories: {}\n",
        (
            "board.yaml:2:10: engines: is empty; expected at least 1 entry\n"
            "board.yaml:3:11: memories: a mapping is not a list; expected a list"
        ),
    ),
    (
        "board.yaml",
        b"name: caf\xe9\n",
        "board.yaml:1:10: is not UTF-8 text; expected a text file in UTF-8",
    ),
    (
        "board.yaml",
        b"\xff\xfen\x00a\x00m\x00e\x00:\x00 \x00b\x00o\x00a\x00r\x00d\x00\n\x00",
        "board.yaml:1:1: is not UTF-8 text; expected a text file in UTF-8",
    ),
    (
        "board.yaml",
        b"name: \x00\n",
        "board.yaml:1:7: not valid YAML: unacceptable character #x0000: control characters are not allowed; expected text without control characters",
    ),
    (
        "board.yaml",
        b"a: " + b"[" * 500,  # from 1000 on newer versions of libyaml refuse it themselves
        "board.yaml:1:68: is nested deeper than 64 levels; expected a flatter file",
    ),
    ("net.yaml", b"", "net.yaml:1:1: is empty; expected keys and values"),
    (
        "net.yaml",
        b"just a text\n",
        "net.yaml:1:1: 'just a text' is not a mapping; expected keys and values",
    ),
    (
        "llm.yaml",
        b"schema_version: 1\nname: llm\nfamily: transformer\n",
        (
            "llm.yaml:1:1: structure: missing key 'layers'\n"
            "llm.yaml:1:1: structure: missing key 'width'\n"
            "llm.yaml:1:1: structure: missing key 'heads'\n"
            "llm.yaml:1:1: structure: missing key 'vocabulary'\n"
            "llm.yaml:1:1: structure: missing key 'ffn_width'"
        ),
    ),
    (
        "config.json",
        b"",
        "config.json:1:1: not valid JSON: the file is empty; expected keys and values in braces",
    ),
    ("config.json", b"{}", "config.json:1:1: missing key 'model_type'; expected one of …"),
    (
        "config.json",
        b"[1, 2]",
        "config.json:1:1: is not a mapping; expected a config with a 'model_type'",
    ),
    (
        "config.json",
        b'{"model_type": "llama",}',
        "config.json:1:23: not valid JSON: a superfluous comma after the last entry; expected no comma here",
    ),
    (
        "config.json",
        b'{"model_type": "llama"',
        "config.json:1:23: not valid JSON: the file ends too early; expected a closing quote, bracket or brace",
    ),
    (
        "config.json",
        b'{"model_type": "lla',
        "config.json:1:16: not valid JSON: a text without a closing quote; expected a closing quote",
    ),
    (
        "config.json",
        b'{"model_type" "llama"}',
        "config.json:1:15: not valid JSON: a colon is missing; expected a colon after a key",
    ),
    (
        "config.json",
        b'{"model_type": \xff}',
        "config.json:1:16: is not UTF-8 text; expected a text file in UTF-8",
    ),
    (
        "config.json",
        b"[" * 100_000,
        "config.json:1:1: is nested deeper than 64 levels; expected a flatter file",
    ),
    (
        "config.json",
        b'{"hidden_size": ' + b"9" * 5000 + b"}",
        "config.json:1:17: not valid JSON: a number is too large; expected a number of at most 4300 digits",
    ),
    ("graph.json", b'{"nodes": []}', "graph.json:1:11: nodes: is empty; expected at least 1 entry"),
    (
        "graph.json",
        b'{"operators": []}',
        "graph.json:1:15: operators: is empty; expected at least 1 entry",
    ),
    ("graph.json", b"3", "graph.json:1:1: 3 is not a mapping; expected keys and values"),
    ("net.onnx", b"", "net.onnx: holds no ONNX graph; expected an ONNX model (protobuf)"),
    (
        "net.onnx",
        b"not an onnx file",
        "net.onnx: is truncated or not ONNX; expected an ONNX model (protobuf)",
    ),
    (
        "net.onnx",
        bytes(64),
        "net.onnx: is truncated or not ONNX; expected an ONNX model (protobuf)",
    ),
    ("rows.csv", b"", "rows.csv:1:1: empty file; expected a header line with names of columns"),
    (
        "rows.csv",
        b"model,device,latency_s\n",
        "rows.csv:1:1: a header and no rows; expected one row per measurement",
    ),
    ("rows.csv", b"model\xff", "rows.csv:1:6: not UTF-8 text; expected a text file in UTF-8"),
    (
        "rows.csv",
        b"model;device;latency_s\nresnet18;a100;1\n",
        "rows.csv:1:6: columns are separated by ';'; expected commas",
    ),
    (
        "board.yaml",
        b"a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 8)) for n in b"bcdefgh"
        ),
        "board.yaml:…: holds more than 500000 values; expected fewer aliases",
    ),
]


@pytest.mark.parametrize(("file", "content", "expected"), FILES, ids=range(len(FILES)))
def test_what_is_no_such_file(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    refused: Callable[..., list[str]],
    says: Callable[[list[str], str], None],
    file: str,
    content: bytes,
    expected: str,
) -> None:
    (folder / file).write_bytes(content)
    says(refused(*sound(file)[1]), expected)


@pytest.mark.parametrize(
    "file",
    ["board.yaml", "net.yaml", "config.json", "graph.json", "sizes.json", "net.onnx", "rows.csv"],
)
def test_a_missing_file_and_a_folder(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    refused: Callable[..., list[str]],
    file: str,
) -> None:
    command = sound(file)[1]
    (line,) = refused(*command)
    assert line.startswith(f"{file}: no such file")
    assert line.endswith("; expected a readable file")
    (folder / file).mkdir()
    (line,) = refused(*command)
    assert line.startswith(f"{file}: ")
    assert "is a directory" in line.lower()
    assert line.endswith("; expected a readable file")


@pytest.mark.parametrize("file", ["board.yaml", "net.yaml", "config.json", "net.onnx"])
def test_a_name_that_no_file_can_have(
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    refused: Callable[..., list[str]],
    file: str,
) -> None:
    command = sound(file)[1]
    for name, said in (
        (f"{'x' * 300}{file}", "file name too long"),
        (f"a\0{file}", "cannot be read"),
    ):
        (line,) = refused(*(name if part == file else part for part in command))
        assert line.endswith(f"{said}; expected a readable file")
        assert line.isprintable()


@pytest.mark.parametrize(
    "file",
    [
        "board.yaml",
        "net.yaml",
        "llm.yaml",
        "config.json",
        "graph.json",
        "sizes.json",
        "net.onnx",
        "rows.csv",
    ],
)
def test_what_is_not_mutated_is_accepted(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    exit_code: Callable[..., tuple[int, str, str]],
    file: str,
) -> None:
    content, command = sound(file)
    (folder / file).write_bytes(content)
    code, out, err = exit_code(*command)
    assert (code, err) == (0, "")
    assert out
    assert [path.name for path in folder.iterdir()] == [file]
