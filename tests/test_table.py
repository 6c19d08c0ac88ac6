"""The columnar table: questions against brute force, ways out and back."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.table import Table
from perfmodel.table.table_files import csv_columns, csv_line, csv_text


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "device": ["a100", "m1", "pi", "a100"],
            "batch": [1, 1, 1, 2],
            "memories.main.bandwidth": [1e9, 2e9, 3e9, 4e9],
            "latency_s": [0.001, 0.02, 0.5, 0.0015],
            "energy_j": [1.0, np.nan, 0.2, 1.5],
            "tokens_per_s": [1000.0, 50.0, 2.0, 1333.0],
            "feasible": [True, True, False, True],
        },
        axes=("device", "batch"),
    )


def test_a_column_a_row_a_table(table: Table) -> None:
    assert len(table) == 4
    assert table["latency_s"].tolist() == [0.001, 0.02, 0.5, 0.0015]
    row = table[1]
    assert (row["device"], row.batch, row.feasible) == ("m1", 1, True)
    assert table[-1].device == "a100"
    assert table[1:3]["device"].tolist() == ["m1", "pi"]
    assert table[np.array([3, 0])]["batch"].tolist() == [2, 1]
    assert list(table) == list(dict(table))
    with pytest.raises(KeyError, match="did you mean 'latency_s'"):
        table["latency"]


def test_units_follow_names(table: Table) -> None:
    assert table.units == {
        "device": "",
        "batch": "",
        "memories.main.bandwidth": "B/s",
        "latency_s": "s",
        "energy_j": "J",
        "tokens_per_s": "1/s",
        "feasible": "",
    }


def test_where(table: Table) -> None:
    assert table.where("latency_s <= 20 ms and device == 'a100'")["batch"].tolist() == [1, 2]
    assert table.where(table["batch"] == 2)["device"].tolist() == ["a100"]
    assert len(table.where("latency_s > 1 h")) == 0
    for bad in ("latency <= 1", "latency_s <= 5 GB", "latency_s + 1", "device", "batch"):
        with pytest.raises(InputError):
            table.where(bad)


def test_best_skips_what_does_not_fit_and_what_is_unknown(table: Table) -> None:
    with pytest.warns(UserWarning, match="1 of 3 rows have no number in energy_j"):
        best = table.best("energy_j")
    assert best is not None
    assert best.device == "a100"
    assert best.batch == 1
    with pytest.warns(UserWarning, match="1 of 4 rows have no number in energy_j"):
        anything = table.best("energy_j", feasible=False)
    assert anything is not None
    assert anything.device == "pi"
    fastest = table.best("tokens_per_s")  # a rate: more is better
    assert fastest is not None
    assert fastest.batch == 2
    slowest = table.best("tokens_per_s", maximize=False)
    assert slowest is not None
    assert slowest.device == "m1"
    assert table.where("energy_j > 100").best("energy_j") is None
    with pytest.raises(InputError, match="did you mean 'energy_j'"):
        table.best("energy")
    with pytest.raises(InputError, match="holds texts"):
        table.best("device")


def test_pareto_is_sorted_and_in_the_right_direction(table: Table) -> None:
    with pytest.warns(UserWarning, match="no number in latency_s or energy_j"):
        found = table.pareto("latency_s", "energy_j", feasible=False)
    assert found["device"].tolist() == ["a100", "pi"]
    assert table.pareto("latency_s", "tokens_per_s")["batch"].tolist() == [1, 2]


numbers = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=30
)


@given(numbers)
def test_best_and_pareto_against_brute_force(rows: list[tuple[int, int, bool]]) -> None:
    latency, energy, fits = zip(*rows, strict=True)
    table = Table({"latency_s": latency, "energy_j": energy, "feasible": fits})
    fit = [(r[0], r[1]) for r in rows if r[2]]
    best = table.best("energy_j")
    assert (best is None) == (not fit)
    if best is not None:
        assert best.energy_j == min(e for _, e in fit)
    front = [p for p in fit if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in fit)]
    found = table.pareto("latency_s", "energy_j")
    assert sorted(zip(found["latency_s"], found["energy_j"], strict=True)) == sorted(front)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(allow_infinity=False)), max_size=20))
def test_sort_is_stable_with_nan_last(rows: list[tuple[int, float]]) -> None:
    table = Table({"a": [r[0] for r in rows], "b": [r[1] for r in rows], "i": np.arange(len(rows))})

    def key(i: int) -> tuple[int, bool, float, int]:
        a, b = rows[i]
        return a, bool(np.isnan(b)), 0.0 if np.isnan(b) else b, i

    expected = sorted(range(len(rows)), key=key)
    assert table.sort(["a", "b"])["i"].tolist() == expected


def test_concat_fills_gaps(table: Table) -> None:
    both = Table.concat([table, Table({"device": ["x"], "ttft_s": [0.25]})])
    assert len(both) == 5
    assert both["ttft_s"][-1] == 0.25
    assert np.isnan(both["ttft_s"][:4]).all()
    assert np.isnan(both["latency_s"][-1])
    assert Table.concat([]).columns == ()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_read_back_exactly(table: Table, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    values = np.random.default_rng(0).standard_normal(4) * 10.0 ** np.arange(-20, 20, 10)
    whole = Table({**dict(table), "x": values, "text": ["a,b", 'say "c"', "line\nbreak", ""]})
    path = tmp_path / f"t{suffix}"
    getattr(whole, f"to_{suffix[1:]}")(path)
    assert Table.read(path) == whole
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_is_left_alone(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("kept")
    with pytest.raises(InputError, match=r"ends in \.parquet"):
        table.to_parquet(path)
    with pytest.raises(InputError, match="no folder"):
        table.to_csv(tmp_path / "absent" / "t.csv")
    assert path.read_text() == "kept"


def test_parquet_carries_units(table: Table, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table.to_parquet(tmp_path / "t.parquet")
    schema = parquet.read_schema(tmp_path / "t.parquet")
    assert schema.field("latency_s").metadata[b"unit"] == b"s"
    assert schema.field("memories.main.bandwidth").metadata[b"unit"] == b"B/s"


def test_pandas(table: Table) -> None:
    pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert frame["latency_s"].tolist() == table["latency_s"].tolist()
    assert frame.attrs["units"]["latency_s"] == "s"


def test_a_missing_library_is_named(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, expected in (
        ("pandas", r"perfmodel\[notebook\]"),
        ("polars", "install polars"),
        ("xarray", "install xarray"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=expected):
            getattr(table, f"to_{module}")()


class FakeDataset:
    def __init__(self, variables: dict[str, Any], coords: dict[str, Any]) -> None:
        self.variables, self.coords = variables, coords


def test_xarray_spans_the_grid_of_the_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = type(sys)("xarray")
    fake.Dataset = FakeDataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xarray", fake)
    rows = [(b, c) for b in (1, 2, 4) for c in (10, 20)][::-1]
    columns = {
        "batch": [b for b, _ in rows],
        "context": [c for _, c in rows],
        "latency_s": [b * c * 1.0 for b, c in rows],
    }
    table = Table(columns, axes=("batch", "context"))
    made = table.to_xarray()
    dims, values, attributes = made.variables["latency_s"]
    assert dims == ("batch", "context")
    assert attributes == {"units": "s"}
    assert values.tolist() == [[10.0, 20.0], [20.0, 40.0], [40.0, 80.0]]
    assert made.coords["context"].tolist() == [10, 20]
    dims, values, _ = table[:5].to_xarray().variables["latency_s"]  # no full grid
    assert dims == ("row",)


def test_json_is_strict(table: Table) -> None:
    records = table.to_records()
    assert records[1]["energy_j"] is None
    assert records[0] == {
        "device": "a100",
        "batch": 1,
        "memories.main.bandwidth": 1e9,
        "latency_s": 0.001,
        "energy_j": 1.0,
        "tokens_per_s": 1000.0,
        "feasible": True,
    }


def test_text_and_html_show_units(table: Table) -> None:
    lines = repr(table).splitlines()
    assert lines[0].split()[:4] == ["device", "batch", "memories.main.bandwidth", "latency_s"]
    assert lines[1].split() == ["GB/s", "ms", "mJ", "1/s"]
    assert lines[2].split() == ["a100", "1", "1", "1", "1000", "1000", "yes"]
    assert "<script>" not in Table({"a": ["<script>"]}).to_html()
    assert repr(Table({})) == "Table (empty)"
    assert repr(Table({"x": np.arange(100)})).endswith("... 100 rows")


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows expected in column b"):
        Table({"a": [1, 2, 3], "b": [1, 2], "c": 5})
    assert Table({"a": [1, 2], "b": 5, "c": None})["b"].tolist() == [5, 5]


@pytest.mark.filterwarnings("ignore:.*have no number")
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([1.0, 2.0, np.nan]),
            st.one_of(st.integers(0, 5).map(float), st.just(np.nan)),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_the_best_of_each_group_against_brute_force(
    rows: list[tuple[str, float, float, bool]],
) -> None:
    names, batches, joules, fits = zip(*rows, strict=True) if rows else ((), (), (), ())
    table = Table(
        {
            "device": np.array(names, dtype=object),
            "batch": np.array(batches, dtype=float),
            "energy_j": np.array(joules, dtype=float),
            "feasible": np.array(fits, dtype=bool),
        }
    )
    expected: dict[tuple[str, str], float] = {}
    for name, batch, energy, fit in rows:
        if fit and energy == energy:
            group = (name, str(batch))
            expected[group] = min(expected.get(group, np.inf), energy)
    found = table.best("energy_j", per=["device", "batch"])
    assert {(r.device, str(r.batch)): r.energy_j for r in found.rows()} == expected
    assert len(found) == len(expected)
    assert list(found["device"]) == sorted(found["device"])
    dearest = table.best("energy_j", per="device", maximize=True, feasible=False)
    for row in dearest.rows():
        of_it = [e for name, _, e, _ in rows if name == row.device and e == e]
        assert row.energy_j == max(of_it)


def test_groups_of_unknown_columns_are_refused(table: Table) -> None:
    with pytest.raises(InputError) as refused:
        table.best("energy", per=["devic", "batch"])
    assert len(refused.value.faults) == 2
    assert "did you mean 'device'?" in str(refused.value)


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_wins_nothing(unknown: float) -> None:
    table = Table(
        {
            "device": ["a", "b", "c"],
            "energy_j": [unknown, 2.0, 1.0],
            "tokens_per_s": [9.0, unknown, 5.0],
        }
    )
    for column, winner in (("energy_j", "c"), ("tokens_per_s", "a")):
        with pytest.warns(UserWarning, match=f"1 of 3 rows have no number in {column}"):
            best = table.best(column)
        assert best is not None
        assert best.device == winner
    with pytest.warns(UserWarning, match="2 of 3 rows have no number"):
        assert table.pareto("energy_j", "tokens_per_s")["device"].tolist() == ["c"]
    nothing = Table({"energy_j": [unknown, unknown]})
    assert nothing.best("energy_j") is None
    assert len(nothing.pareto("energy_j")) == 0
    for descending in (False, True):
        order = Table({"x": [np.nan, 1.0, 2.0]}).sort("x", descending=descending)["x"]
        assert np.isnan(order[-1])


TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "-x",
    "@x",
    "\tx",
    "\rx",
    "'",
    "'=1",
    "''@x",
    "=",
    "-",
    "'x",
    "a=b",
    "",
    '=HYPERLINK("http://x","y")',
    'x,"y"',
    "-1.5",
    "a\r\nb",
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_texts_that_a_spreadsheet_would_compute(suffix: str, tmp_path: Path) -> None:
    """No cell of a CSV is a formula, and reading gives every text back."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t{suffix}"
    table = Table({"name": TEXTS, "=x": [-1.5] * len(TEXTS)})
    table.write(path)
    assert Table.read(path) == table
    if suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        assert header == ["name", "'=x"]
        assert not [cell for cell, _ in lines if len(cell) > 1 and cell[0] in "=+-@\t\r"]
        assert {number for _, number in lines} == {"-1.5"}  # a number stays one


@given(st.lists(st.text(st.sampled_from("ab'=+-@\t\r\n,\" ")), min_size=1))
def test_any_text_of_a_csv_reads_back(texts: list[str]) -> None:
    table = Table({"name": np.array(texts, dtype=object), "x": np.zeros(len(texts))})
    text = csv_line(table.columns) + csv_text(table)
    read = csv_columns(text, {"name": "text", "x": ""})
    assert read["name"].tolist() == texts
