"""Other libraries read a table by the names of its columns: pandas, polars, duckdb, Arrow."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.table import Table

TABLE = Table(
    {"device": ["a", "b", "a"], "latency_s": [1.0, 2.0, np.nan], "fits": [True, False, True]}
)
EMPTY = TABLE[:0]


@pytest.mark.parametrize("table", [TABLE, EMPTY])
def test_pandas_takes_it_by_names(table: Table) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table)
    assert list(frame.columns) == list(table.columns)
    assert len(frame) == len(table)
    assert frame["device"].tolist() == table["device"].tolist()
    np.testing.assert_array_equal(frame["latency_s"].to_numpy(), table["latency_s"])
    frame["latency_s"] = 0.0
    assert list(pandas.DataFrame(table, columns=["fits"]).columns) == ["fits"]
    assert TABLE["latency_s"][0] == 1.0, "a frame is a copy"


def test_polars_takes_it_by_names() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(TABLE)
    assert frame.columns == list(TABLE.columns)
    assert frame["device"].to_list() == TABLE["device"].tolist()
    assert frame.schema["latency_s"] == polars.Float64


def test_duckdb_finds_it_by_its_variable() -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = TABLE
    query = "select device, min(latency_s) from rows where fits group by device"
    assert duckdb.sql(query).fetchall() == [("a", 1.0)]
    assert len(rows) == 3


@pytest.mark.parametrize("table", [TABLE, EMPTY])
def test_arrow_takes_the_stream_with_its_units(table: Table) -> None:
    arrow = pytest.importorskip("pyarrow")
    read = arrow.RecordBatchReader.from_stream(table).read_all()
    assert read.column_names == arrow.table(table).column_names == list(table.columns)
    assert read.num_rows == len(table)
    assert read.schema.field("latency_s").metadata[b"unit"] == b"s"


def test_without_arrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"perfmodel\[parquet\]"):
        TABLE.__arrow_c_stream__()


def test_it_is_a_mapping_whose_columns_do_not_change() -> None:
    assert dict(TABLE) == {**TABLE} == {name: TABLE[name] for name in TABLE.columns}
    assert TABLE.get("energy_j") is None
    for change in (
        lambda: TABLE.__setitem__("x", np.zeros(3)),
        lambda: TABLE.pop("fits"),
        lambda: TABLE.update(x=np.zeros(3)),
        TABLE.clear,
    ):
        with pytest.raises(TypeError, match="do not change"):
            change()
    with pytest.raises(KeyError, match="did you mean 'fits'"):
        TABLE["fit"]
    assert TABLE[:] == TABLE
    assert TABLE != EMPTY


def test_copies_are_whole_tables() -> None:
    grid = Table({"batch": [1.0, 2.0]}, {"batch": "count"}, ("batch",))
    for again in (pickle.loads(pickle.dumps(grid)), copy.copy(grid), copy.deepcopy(grid)):
        assert again == grid
        assert (again.axes, again.dimensions, len(again)) == (("batch",), grid.dimensions, 2)
