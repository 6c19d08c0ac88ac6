"""A columnar table: NumPy columns with units, filters, Pareto fronts, and export.

The answer to every question about many points, such as a sweep. A `Table` is an immutable
dictionary of columns; it selects rows by conditions with units, finds best rows and fronts, and
converts to pandas, polars, xarray, Arrow, CSV and Parquet.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import numpy.typing as npt

from perfmodel.atomic import output_faults, replacing
from perfmodel.catalog import need
from perfmodel.columns import BASIS, BOUND, more_is_better, unit_of
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.expressions import Expression, parse_expression
from perfmodel.table.column_arrays import (
    Column,
    column_array,
    column_dimension,
    filled_column,
    first_of_groups,
    group_faults,
    is_repeated,
    missing_column,
    objective_faults,
    plain_scalar,
    same_column,
    sorted_rows,
)
from perfmodel.table.json_values import json_text, plain
from perfmodel.table.result import Result, ShownPicture
from perfmodel.table.text import LONGEST, as_text, data_table

#: Rows in a `repr`, besides names, units, and the total number.
_GLANCE = LONGEST - 3


class Row(dict[str, Any]):
    """One row of a table: column -> value, also accessible as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no column '{name}'") from None

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{k}={v!r}' for k, v in self.items())})"


class Table(Result, dict[str, Column]):
    """Columns of equal length; the result of questions about many points.

    Parameters
    ----------
    columns : mapping of str to array_like
        Column by name; scalars are repeated. ``None`` is a column of NaN.
    dimensions : mapping of str to str, optional
        Dimension of columns that their name does not imply (see `perfmodel.columns`).
    axes : sequence of str
        Varied columns, slowest first; the axes of the grid of `to_xarray`.

    Notes
    -----
    ``table["latency_s"]`` is a column, ``table[3]`` a row, ``table[2:5]`` and ``table[mask]``
    tables. ``len(table)`` counts rows; iterating gives the names of columns. It is a dictionary of
    its columns, since ``pandas.DataFrame`` reads nothing else by names, and it speaks Arrow's
    capsule protocol (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html)
    for libraries that do. Its columns do not change.
    """

    noun = "table"

    def __init__(
        self,
        columns: Mapping[str, Any],
        dimensions: Mapping[str, str] | None = None,
        axes: Sequence[str] = (),
    ) -> None:
        arrays = {name: column_array(name, value) for name, value in columns.items()}
        lengths = {name: len(a) for name, a in arrays.items() if a.ndim}
        self._rows = rows = max(lengths.values(), default=1 if arrays else 0)
        odd = [name for name, n in lengths.items() if n != rows]
        if odd:
            raise ValueError(f"{rows} rows expected in column {', '.join(odd)}")
        super().__init__(
            {name: a if a.ndim else np.broadcast_to(a, (rows,)) for name, a in arrays.items()}
        )
        self.dimensions: dict[str, str] = {
            name: column_dimension(name, a, dimensions or {}) for name, a in self.items()
        }
        self.axes: tuple[str, ...] = tuple(axes)

    @classmethod
    def concat(cls, tables: Iterable[Table]) -> Table:
        """Stack tables; a missing column is filled with NaN (or empty texts)."""
        parts = list(tables)
        dimensions: dict[str, str] = {}
        for part in parts:
            dimensions |= part.dimensions | dimensions
        columns = {
            name: np.concatenate([filled_column(part, name, dim, len(part)) for part in parts])
            for name, dim in dimensions.items()
        }
        axes = dict.fromkeys(axis for part in parts for axis in part.axes)
        return cls(columns, dimensions, tuple(axes))

    # mapping of columns, sequence of rows

    @overload  # type: ignore[override]
    def __getitem__(self, key: str) -> Column: ...
    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> Row: ...
    @overload
    def __getitem__(self, key: slice | npt.NDArray[Any] | Sequence[int]) -> Table: ...
    def __getitem__(self, key: Any) -> Column | Row | Table:
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, int | np.integer):
            at = int(cast("int", key))
            return Row({name: plain_scalar(a[at]) for name, a in self.items()})
        return self._take(np.asarray(key) if not isinstance(key, slice) else key)

    def __missing__(self, key: str) -> Column:
        raise KeyError(missing_column(key, self))

    def __len__(self) -> int:
        return self._rows

    def _unchanging(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the columns of a table do not change; make another: Table({**table, ...})")

    __setitem__ = __delitem__ = __ior__ = _unchanging
    update = pop = popitem = setdefault = clear = _unchanging  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        # Unpickling a dictionary sets items one by one, which the immutable columns forbid.
        return type(self), (dict(self), self.dimensions, self.axes), self.__dict__

    def __bool__(self) -> bool:
        return self._rows > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return list(self) == list(other) and all(
            same_column(self[name], other[name]) for name in self
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self)

    @property
    def table(self) -> Table:  # type: ignore[override]
        """The table itself."""
        return self

    @property
    def units(self) -> dict[str, str]:
        """SI unit of each column; ``""`` for pure numbers and texts."""
        return {name: unit_of(name, dim) for name, dim in self.dimensions.items()}

    def rows(self) -> Iterator[Row]:
        """Return an iterator over the rows."""
        return (self[i] for i in range(self._rows))

    def _take(self, rows: Any) -> Table:
        return Table({name: a[rows] for name, a in self.items()}, self.dimensions, self.axes)

    # queries

    def where(self, condition: str | Expression | npt.NDArray[np.bool_]) -> Table:
        """Return the rows that satisfy a condition.

        Parameters
        ----------
        condition : str or ndarray of bool
            Such as ``"tpot_s <= 50 ms and device != 'a100'"``; a plain number is SI.

        Raises
        ------
        InputError
            Unknown columns, wrong units.
        """
        if isinstance(condition, str):
            condition = parse_expression(condition)
        if isinstance(condition, Expression):
            faults = condition.condition_faults(self, self.dimensions)
            if faults:
                raise InputError(faults)
            holds: Column = np.asarray(condition(self))
            condition = np.broadcast_to(holds, (self._rows,))
        return self._take(np.asarray(condition, dtype=bool))

    @overload
    def best(
        self,
        column: str,
        *,
        per: None = None,
        maximize: bool | None = None,
        feasible: bool = True,
        bounds: bool = False,
    ) -> Row | None: ...
    @overload
    def best(
        self,
        column: str,
        *,
        per: str | Sequence[str],
        maximize: bool | None = None,
        feasible: bool = True,
        bounds: bool = False,
    ) -> Table: ...
    def best(
        self,
        column: str,
        *,
        per: str | Sequence[str] | None = None,
        maximize: bool | None = None,
        feasible: bool = True,
        bounds: bool = False,
    ) -> Row | Table | None:
        """Return the row that is best in a column; ``None`` if no row qualifies.

        Parameters
        ----------
        column : str
        per : str or sequence of str, optional
            Columns that define groups: the result is a table with the best row of each group, in
            ascending order of these columns; groups without a qualifying row are omitted.
        maximize : bool, optional
            By default rates (``tokens_per_s``) and utilization are maximised, all else minimised.
        feasible : bool
            Consider only feasible rows, if there is a column ``feasible``.
        bounds : bool
            Consider bounds together with predictions. By default rows whose ``basis`` is ``bound``
            are considered only if there are no others.

        Warns
        -----
        UserWarning
            Some candidate rows have no number, and were excluded.

        Raises
        ------
        InputError
            Unknown columns; a column of texts as the objective.
        """
        keys = [per] if isinstance(per, str) else list(per or ())
        values = self._objective(column, maximize, keys)[:, None]
        values = self._numbered(values, [column], feasible, bounds)[:, 0]
        if per is not None:
            return self._take(first_of_groups([self[key] for key in keys], values))
        if np.isnan(values).all():
            return None
        return self[int(np.nanargmin(values))]

    def pareto(
        self,
        *columns: str,
        maximize: Iterable[str] | None = None,
        feasible: bool = True,
        bounds: bool = False,
    ) -> Table:
        """Return the rows of the Pareto front, in ascending order of the first column.

        Parameters
        ----------
        *columns : str
            Objectives.
        maximize : iterable of str, optional
            Objectives to be maximised; by default as in `best`.
        feasible, bounds : bool
            As in `best`, with the same warning.
        """
        from perfmodel.pareto import front

        if not columns:
            raise input_error("no objectives", expected="such as latency_s, energy_j")
        upward = None if maximize is None else set(maximize)
        values = np.stack(
            [self._objective(c, None if upward is None else c in upward) for c in columns], axis=1
        )
        values = self._numbered(values, columns, feasible, bounds)
        rows = np.flatnonzero(front(values))
        return self._take(rows[np.lexsort(values[rows].T[::-1])])

    def numbered(self, *columns: str) -> npt.NDArray[np.bool_]:
        """Return a mask of rows with finite numbers in all of the given columns."""
        each = [np.isfinite(np.asarray(self[c], dtype=np.float64)) for c in columns]
        return np.logical_and.reduce(each) if each else np.ones(self._rows, dtype=bool)

    def _numbered(
        self, values: npt.NDArray[np.float64], names: Sequence[str], feasible: bool, bounds: bool
    ) -> npt.NDArray[np.float64]:
        """Return objectives with NaN in excluded rows; warn if some rows lack a number."""
        candidates = self._candidates(feasible, bounds)
        known = np.logical_and.reduce([candidates, *(np.isfinite(each) for each in values.T)])
        lacking = int(candidates.sum() - known.sum())
        if lacking and known.any():
            warnings.warn(
                f"{lacking} of {int(candidates.sum())} rows have no number in "
                f"{' or '.join(names)}: they are left out",
                stacklevel=3,
            )
        return values if known.all() else np.where(known[:, None], values, np.nan)

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Mask of rows that are predictions and not bounds, by their ``basis``."""
        if BASIS not in self:
            return np.ones(self._rows, dtype=bool)
        basis = self[BASIS]
        if is_repeated(basis):
            return np.full(self._rows, basis[0] != BOUND)
        return np.asarray(basis != BOUND, dtype=bool)

    def _candidates(self, feasible: bool, bounds: bool) -> npt.NDArray[np.bool_]:
        candidates = np.ones(self._rows, dtype=bool)
        if feasible and "feasible" in self:
            candidates = np.asarray(self["feasible"], dtype=bool)
        predicted = candidates & self.predicted
        return candidates if bounds or not predicted.any() else predicted

    def objective_faults(self, names: Iterable[str], option: str = "") -> list[Fault]:
        """Return faults of column names as objectives of `best` or `pareto`."""
        return objective_faults(names, self.dimensions, option)

    def _objective(
        self, column: str, maximize: bool | None, groups: Sequence[str] = ()
    ) -> npt.NDArray[np.float64]:
        """Return a column of numbers to be minimised; negated if it is to be maximised."""
        faults = self.objective_faults([column]) + group_faults(groups, self.dimensions)
        if faults:
            raise InputError(faults)
        upward = more_is_better(column) if maximize is None else maximize
        values = np.array(self[column], dtype=np.float64)
        return -values if upward else values

    def sort(self, by: str | Sequence[str], *, descending: bool = False) -> Table:
        """Return the rows sorted by one or more columns (stable; NaN last)."""
        keys = [by] if isinstance(by, str) else list(by)
        self._check(keys)
        if not keys:
            return self
        return self._take(sorted_rows([self[key] for key in keys], descending))

    def select(self, *columns: str) -> Table:
        """Return the table with only these columns, in this order."""
        self._check(columns)
        return Table({name: self[name] for name in columns}, self.dimensions, self.axes)

    def _check(self, columns: Iterable[str]) -> None:
        faults = [Fault(missing_column(name, self)) for name in columns if name not in self]
        if faults:
            raise InputError(faults)

    def head(self, rows: int = 10) -> Table:
        """Return the first rows."""
        return self._take(slice(0, rows))

    # export

    @property
    def headline(self) -> str:
        """Numbers of rows and columns."""
        return f"{len(self)} rows, {len(self.columns)} columns"

    @property
    def feasible(self) -> Any:
        """Mask of feasible rows; all rows of a table without that column."""
        return self.get("feasible", True)

    def pictures(self, best: str = "", pareto: Sequence[str] = ()) -> Sequence[ShownPicture]:
        """Return the Pareto front and the metrics over varied columns; see `table.views`."""
        from perfmodel.table.sweep_views import sweep_pictures

        return sweep_pictures(self, best, pareto)

    def to_dict(self) -> dict[str, list[Any]]:
        """Column -> list of plain values, ready for JSON (NaN as ``None``)."""
        return {name: plain(a) for name, a in self.items()}

    def to_records(self) -> list[dict[str, Any]]:
        """Return one dictionary per row, ready for JSON (NaN as ``None``)."""
        lists = self.to_dict()
        return [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame; units in ``attrs["units"]``."""
        pandas = need("pandas")
        frame = pandas.DataFrame(self)
        frame.attrs["units"] = self.units
        return frame

    def to_polars(self) -> Any:
        """Return a polars DataFrame."""
        polars = need("polars")
        return polars.DataFrame(
            {name: a.tolist() if a.dtype.kind == "O" else np.array(a) for name, a in self.items()}
        )

    def to_xarray(self) -> Any:
        """Return an xarray Dataset: over the grid of `axes` if rows fill it, else over ``row``."""
        xarray = need("xarray")
        grid = self._grid()
        dims = tuple(grid) or ("row",)
        shape = tuple(len(v) for v in grid.values()) or (self._rows,)
        order = self.sort(list(grid)) if grid else self
        variables = {
            name: (dims, np.array(a).reshape(shape), {"units": self.units[name]})
            for name, a in order.items()
            if name not in grid
        }
        return xarray.Dataset(variables, coords=dict(grid))

    def _grid(self) -> dict[str, Column]:
        grid = {a: np.unique(self[a]) for a in self.axes if a in self}
        points = set(zip(*(self[a].tolist() for a in grid), strict=True))
        full = math.prod(len(v) for v in grid.values())
        return grid if full == self._rows == len(points) else {}

    def to_arrow(self) -> Any:
        """Return a pyarrow Table; units in the metadata of its fields."""
        from perfmodel.table.table_files import arrow_table

        return arrow_table(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the columns as an Arrow stream, as read by polars, duckdb and others."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_parquet(self, path: str | Path) -> None:
        """Write a Parquet file atomically."""
        self.write(path, (".parquet",))

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV file (shortest digits that read back as the same numbers)."""
        self.write(path, (".csv",))

    def write(self, path: str | Path, suffixes: tuple[str, ...] = (".csv", ".parquet")) -> None:
        """Write a file atomically, in the format of its suffix."""
        from perfmodel.table.table_files import writer

        faults = output_faults(path, suffixes, "path")
        if faults:
            raise InputError(faults)
        with replacing(path) as temporary, writer(temporary, self) as write:
            write(self)

    @classmethod
    def read(cls, path: str | Path) -> Table:
        """Read a table written by `to_csv` or `to_parquet`."""
        from perfmodel.table.table_files import read_table

        columns, dimensions = read_table(path)
        return cls(columns, dimensions)

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return as_text(self, _GLANCE)

    def to_html(self) -> str:
        """Return the first rows as an HTML table."""
        return data_table(self, most=20, sorts=False)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return JSON of `to_records` with the units: ``{"units": {...}, "rows": [...]}``."""
        return json_text({"units": self.units, "rows": self.to_records()}, indent=indent)
