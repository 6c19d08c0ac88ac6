"""Output files that cannot be: what each command line is told; what does not fit is no bad input."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

import os
from collections.abc import Callable
from pathlib import Path

import pytest

OUTPUTS = [
    (
        ("predict", "resnet18", "a100", "-o", "x.jsn"),
        "-o: 'x.jsn' has no suffix that states its format; expected a name that ends in .json or .csv or .parquet or .txt or .html; did you mean 'x.json'?",
    ),
    (
        ("predict", "resnet18", "a100", "-o", "x"),
        "-o: 'x' has no suffix that states its format; expected a name that ends in .json or .csv or .parquet or .txt or .html",
    ),
    (
        ("predict", "resnet18", "a100", "-o", "."),
        "-o: '.' is a folder; expected the name of a file",
    ),
    (
        ("predict", "resnet18", "a100", "-o", "nowhere/x.json"),
        "-o: there is no folder 'nowhere'; expected an existing folder",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "-o", "x.json"),
        "-o: 'x.json' has no suffix that states its format; expected a name that ends in .csv or .parquet",
    ),
    (
        ("hardware", "show", "a100", "-o", "nowhere/x.yaml"),
        "-o: there is no folder 'nowhere'; expected an existing folder",
    ),
    (
        ("workload", "import", "resnet18", "-o", "x.doc"),
        "-o: 'x.doc' has no suffix that states its format; expected a name that ends in .yaml or .yml or .json or .csv or .parquet or .txt or .html; did you mean 'x.csv'?",
    ),
    (
        ("workload", "show", "resnet18", "-o", "x.onnx"),
        "-o: 'x.onnx' has no suffix that states its format; expected a name that ends in .yaml or .yml or .json or .csv or .parquet or .txt or .html; did you mean 'x.json'?",
    ),
]


@pytest.mark.parametrize(("command", "expected"), OUTPUTS)
def test_an_output_is_refused(
    refused: Callable[..., list[str]],
    says: Callable[[list[str], str], None],
    command: tuple[str, ...],
    expected: str,
) -> None:
    says(refused(*command), expected)


def test_output_to_a_folder_that_is_closed(folder: Path, refused: Callable[..., list[str]]) -> None:
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere")
    (line,) = refused("predict", "resnet18", "a100", "-o", "closed/x.json")
    assert (
        line
        == "-o: the folder 'closed' cannot be written to; expected a folder that you may write to"
    )


def test_output_to_a_name_that_is_too_long(refused: Callable[..., list[str]]) -> None:
    (line,) = refused("predict", "resnet18", "a100", "-o", "x" * 300 + ".json")
    assert line == "-o: 'xxxxxxxxxxxxxxxxxxxx...' is too long a name; expected at most 255 bytes"


def test_what_does_not_fit_is_no_bad_input(
    folder: Path, exit_code: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = exit_code("predict", "llama_3_70b", "raspberry_pi_5", "-o", "x.json", "--json")
    assert (code, err) == (1, "")
    assert '"feasible": false' in out
    assert (folder / "x.json").is_file()
    assert exit_code("sweep", "llama_3_70b", "-d", "raspberry_pi_5")[0] == 1
    condition = ("--for", "memories.main.bandwidth", "--until", "frames_per_s >= 1e15")
    assert exit_code("solve", "resnet18", "a100", *condition)[0] == 1
