"""Loaders of measured rows: what they read, and the place of every fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from perfmodel.errors import Fault, InputError
from perfmodel.measurement_csv import read_rows


def faults_of(work: Callable[[], object]) -> list[str]:
    with pytest.raises(InputError) as caught:
        work()
    return [str(f) for f in caught.value.faults]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def made(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return made


def test_reads_plain_and_gzipped_alike(tmp_path: Path, write: Callable[..., Path]) -> None:
    text = 'model, latency_s\nresnet18,0.5\n\n"a, b","1\n"\n'
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (write(text), packed, write(b"\xef\xbb\xbf" + text.encode(), "mark.csv")):
        rows = read_rows(path)
        assert rows.columns == ("model", "latency_s")
        assert [(r["model"], r.line) for r in rows] == [("resnet18", 2), ("a, b", 4)]
        assert rows.rows[1].get("latency_s") == "1"


def test_every_ragged_row_is_named(write: Callable[..., Path]) -> None:
    path = write("a,b\n1\n1,2\n1,2,3\n")
    assert faults_of(lambda: read_rows(path)) == [
        f"{path}:2:1: 1 cells; expected 2 cells, as the header has",
        f"{path}:4:1: 3 cells; expected 2 cells, as the header has",
    ]


def test_columns_twice_or_nameless(write: Callable[..., Path]) -> None:
    path = write('a,"b, c",a,\n1,2,3,4\n')
    own = "expected a different name for each column"
    assert faults_of(lambda: read_rows(path)) == [
        f"{path}:1:10: column 'a' occurs twice; {own}",
        f"{path}:1:12: column without a name; {own}",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ":1:1: empty file"),
        (b"a,b\n", ":1:1: a header and no rows"),
        (b"a,b\n1,\xff\n", ":2:3: not UTF-8 text"),
        (b"a,b\n1,\x00\n", ":2:1: holds NUL"),
        (b'a,b\n1,"open\n', ":2:1: not CSV"),
    ],
)
def test_what_is_no_table(content: bytes, told: str, write: Callable[..., Path]) -> None:
    path = write(content)
    (fault,) = faults_of(lambda: read_rows(path))
    assert fault.startswith(f"{path}{told}")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    absent = tmp_path / "absent.csv"
    assert faults_of(lambda: read_rows(absent)) == [
        f"{absent}: no such file or directory; expected a readable file"
    ]
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-20])
    assert faults_of(lambda: read_rows(broken))[0].startswith(f"{broken}: cannot be read")
    assert "is a directory" in faults_of(lambda: read_rows(tmp_path))[0]


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-1", "0", "1,5", "1 s"])
def test_a_cell_that_is_no_measurement(text: str, write: Callable[..., Path]) -> None:
    path = write(f'name,t\n"a, b","{text}"\n')
    rows = read_rows(path)
    faults: list[Fault] = []
    assert rows.number(rows.rows[0], "t", faults) is None
    (fault,) = faults
    assert (fault.file, fault.line, fault.column) == (str(path), 2, 8)


def test_numbers_are_scaled_and_empty_cells_are_none(write: Callable[..., Path]) -> None:
    rows = read_rows(write("t,u\n 12 ,\n"))
    faults: list[Fault] = []
    assert rows.number(rows.rows[0], "t", faults, scale=1e-3) == 0.012
    assert rows.number(rows.rows[0], "u", faults) is None
    assert not faults


def test_a_missing_column_names_a_near_one(write: Callable[..., Path]) -> None:
    rows = read_rows(write("modell,t\na,1\n"))
    (fault,) = rows.missing(("model", "t"))
    assert str(fault) == (
        f"{rows.file}:1:1: model: no column 'model'; expected column 'modell' renamed"
    )
