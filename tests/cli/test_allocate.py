"""``perfmodel allocate``."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.schedule.allocate import allocate, read_lifetimes
from tests.schedule.allocate.packings import brimful, full, overlapping

Run = Callable[..., Any]


@pytest.fixture
def buffers(tmp_path: Path) -> Path:
    """Forty buffers cut from a rectangle of 500 bytes."""
    path = tmp_path / "buffers.csv"
    rows = [
        f"{b.id},{b.lower},{b.upper},{b.size_bytes}" for b in full(random.Random(4), 40, 500, 30)
    ]
    path.write_text("\n".join(["id,lower,upper,size", *rows]) + "\n")
    return path


def test_allocate_is_pythons(run: Run, buffers: Path) -> None:
    done = run("allocate", str(buffers), "--capacity", "500", "--json")
    assert done.code == 0
    assert done.data == allocate(buffers, 500).to_dict()
    assert done.data["status"] == "packed"
    lives = read_lifetimes(buffers)
    assert overlapping(lives, done.data["offsets"]) == []
    text = run("allocate", str(buffers), "--capacity", "0.5 kB").out
    assert "40 buffers in 500 B: packed" in text
    lowest = run("allocate", str(buffers), "--json")
    assert (lowest.code, lowest.data["height_bytes"], lowest.data["proved"]) == (0, 500, True)


def test_offsets_are_written_and_read_again(run: Run, buffers: Path, tmp_path: Path) -> None:
    out = tmp_path / "offsets.csv"
    done = run("allocate", str(buffers), "--capacity", "500", "-o", str(out))
    assert (done.code, done.out) == (0, "")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lives = read_lifetimes(buffers)
    assert [row["id"] for row in rows] == [b.id for b in lives]
    assert overlapping(lives, {row["id"]: int(row["offset"]) for row in rows}) == []
    again = run("allocate", str(out), "--capacity", "500", "--json")
    assert again.data["offsets"] == {row["id"]: int(row["offset"]) for row in rows}
    page = tmp_path / "map.html"
    assert run("allocate", str(out), "--plot", str(page), "-o", str(tmp_path / "a.json")).code == 0
    assert "Addresses of 40 buffers" in page.read_text()


def test_what_does_not_fit_exits_1_and_writes_no_offsets(
    run: Run, buffers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "offsets.csv"
    done = run("allocate", str(buffers), "--capacity", "499", "--json", "-o", str(out))
    assert done.code == 1
    assert done.data["status"] == "infeasible"
    assert done.data["gap_bytes"] == 1
    assert done.data["proof"]["kind"] == "load"
    assert done.data["proof"]["bound_bytes"] == 500
    assert not out.exists()
    assert "is not written: infeasible" in done.err
    assert (
        "buffers alive together need 500 B" in run("allocate", str(buffers), "--capacity", "9").out
    )


def test_alignment_and_seed(run: Run, buffers: Path) -> None:
    options = ["--seed", "3", "--node-limit", "500", "--json"]
    one = run("allocate", str(buffers), "--alignment", "64 B", *options).data
    assert all(at % 64 == 0 for at in one["offsets"].values())
    assert one == run("allocate", str(buffers), "--alignment", "64", *options).data


def test_every_fault_of_a_file_at_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "id,lower,upper,size,alignment,offset\n"
        "a,0,3,10,,\n"
        "a,0,3,10,,\n"
        "b,3,3,10,,\n"
        ",0,1,4,,\n"
        "c,0,1.5,-4,,\n"
        "d,0,1,-4,,\n"
        "e,0,1,,0,\n"
        "f,0,1,8,16,8\n"
        "g,0,1,8,x,\n"
    )
    done = run("allocate", str(path), "--capacity", "10 parsecs", "-o", str(tmp_path / "x.png"))
    assert done.code == 2
    assert done.out == ""
    assert list(tmp_path.iterdir()) == [path]
    for place in (
        ":3:1: id: 'a'",
        ":4:5: upper: 3",
        ":5:1: id:",
        ":6:5: upper: '1.5'",
        ":7:7: size: -4",
        ":8:7: size: an empty cell",
        ":9:12: offset: 8",
        ":10:9: alignment: 'x'",
        "--capacity: ",
        "-o: ",
    ):
        assert place in done.err, place
    # What else is wrong with a row of which one cell cannot be read.
    assert ":6:9: size: -4" in done.err
    assert ":8:8: alignment: 0" in done.err
    assert len(done.faults) == 12


def test_rows_options_and_offsets_at_fault_are_told_together(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("id,lower,upper,size\na,0,3,10\nb,0,3\nc,0,3,x\nd,0,3,-4\na,0,2,1\n")
    done = run(
        "allocate",
        str(path),
        "--node-limit",
        "-3",
        "--time-limit",
        "nan",
        "--alignment",
        "0",
        "--capacity",
        "-1",
        "--plot",
        str(tmp_path / "x.png"),
    )
    assert (done.code, done.out) == (2, "")
    for words in (
        "--node-limit: -3",
        "--time-limit: nan",
        "--alignment: 0",
        "--capacity: '-1'",
        "--plot: 'x.png'",
        ":3:1: 3 cells",
        ":4:7: size: 'x'",
        ":5:7: size: -4",
        ":6:1: id: 'a' is also the name of line 2",
    ):
        assert words in done.err, words
    assert len(done.faults) == 9
    path.write_text("id,lower,upper\na,1\n")
    done = run("allocate", str(path))
    assert [word in done.err for word in ("no column 'size'", ":2:1: 2 cells")] == [True, True]
    path.write_text("id,lower,upper,size,offset\na,0,3,10,0\nb,0,3,5,5\n")
    done = run("allocate", str(path), "--node-limit", "-3")
    assert len(done.faults) == 2
    assert "'a' and 'b' overlap" in done.err


def test_a_header_alone_lacks_buffers(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("id,lower,upper,size\n")
    assert "a header and no rows; expected one row per buffer" in run("allocate", str(path)).err


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,lower,upper,sizes", "no column 'size'; expected column 'sizes' renamed"),
        ("id,lower,upper,size,gaps", "lifetimes with gaps are not supported"),
        ("id,lower,upper,size,ofset", "unknown column 'ofset'; did you mean 'offset'?"),
        ("id,buffer,lower,upper,size", "mean the same"),
        ("id;lower;upper;size", "columns are separated by ';'"),
        ("id,lower,upper,size,zzz", "unknown column 'zzz'; expected columns id, lower"),
    ],
)
def test_headers(run: Run, tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    done = run("allocate", str(path))
    assert done.code == 2
    assert message in done.err


def test_other_names_of_columns_and_hints(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("buffer_id,start,end,size,hint\nx,0,2,4,8\ny,1,3,4,0\n")
    found = run("allocate", str(path), "--json").data
    assert found["offsets"] == {"x": 4, "y": 0}
    assert found["method"] == "first fit by hints"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--capacity", "-1"],
        ["--capacity", "1.5"],
        ["--capacity", "0.3 B"],
        ["--time-limit", "-1"],
        ["--alignment", "0"],
        ["--seed", "x"],
        ["--node-limit", "-3"],
        ["--time-limit", "nan"],
    ],
)
def test_bad_options(run: Run, buffers: Path, arguments: list[str]) -> None:
    done = run("allocate", str(buffers), *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.faults


def test_no_such_file(run: Run, tmp_path: Path) -> None:
    assert "no such file" in run("allocate", str(tmp_path / "none.csv")).err


def test_what_is_not_decided_exits_3(run: Run, tmp_path: Path) -> None:
    """Full at every moment: first fit does not fit it, and forty nodes do not prove anything."""
    path = tmp_path / "brimful.csv"
    lives = brimful(random.Random(11), 60, 30, 8)
    rows = [f"{b.id},{b.lower},{b.upper},{b.size_bytes}" for b in lives]
    path.write_text("\n".join(["id,lower,upper,size", *rows]) + "\n")
    stopped = run("allocate", str(path), "--capacity", "60", "--node-limit", "40", "--json")
    assert (stopped.code, stopped.data["status"], stopped.data["proof"]) == (3, "not found", None)
    assert run("allocate", str(path), "--capacity", "59", "--node-limit", "40").code == 1
    assert run("allocate", str(path), "--capacity", "600", "--node-limit", "40").code == 0
