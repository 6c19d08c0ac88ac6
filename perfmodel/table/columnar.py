"""A columnar table: NumPy columns with units, conditions, fronts, ways to other libraries."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt

from perfmodel.atomic import output_faults, replacing
from perfmodel.catalog import need
from perfmodel.columns import BASIS, BOUND, TEXT, TRUTH, dimension_of, more_is_better, unit_of
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.expressions import Expression, parse_expression
from perfmodel.table.faults import group_faults, objective_faults
from perfmodel.table.groups import first_of_groups
from perfmodel.table.text import as_html, as_text

Column: TypeAlias = npt.NDArray[Any]


class Row(dict[str, Any]):
    """One row of a table: column -> value, with the names as attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no column '{name}'") from None

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{k}={v!r}' for k, v in self.items())})"


class Table:
    """Columns of equal length.

    Parameters
    ----------
    columns : mapping of str to array_like
        Column by name; scalars are repeated. ``None`` stands for a column without numbers.
    dimensions : mapping of str to str, optional
        Dimension of columns whose name does not tell it (see `perfmodel.columns`).
    axes : sequence of str
        Columns that were varied, slowest first; what `to_xarray` spans its grid by.

    Notes
    -----
    ``table["latency_s"]`` is a column, ``table[3]`` a row, ``table[2:5]`` and ``table[mask]``
    tables. ``len(table)`` counts rows; iterating gives the names of columns.
    """

    __slots__ = ("_asked", "_columns", "_rows", "axes", "dimensions")

    def __init__(
        self,
        columns: Mapping[str, Any],
        dimensions: Mapping[str, str] | None = None,
        axes: Sequence[str] = (),
    ) -> None:
        arrays = {name: _array(name, value) for name, value in columns.items()}
        lengths = {name: len(a) for name, a in arrays.items() if a.ndim}
        rows = max(lengths.values(), default=1 if arrays else 0)
        odd = [name for name, n in lengths.items() if n != rows]
        if odd:
            raise ValueError(f"{rows} rows expected in column {', '.join(odd)}")
        self._columns: dict[str, Column] = {
            name: a if a.ndim else np.broadcast_to(a, (rows,)) for name, a in arrays.items()
        }
        self._rows = rows
        self.dimensions: dict[str, str] = {
            name: _dimension(name, a, dimensions or {}) for name, a in self._columns.items()
        }
        self.axes: tuple[str, ...] = tuple(axes)

    @classmethod
    def concat(cls, tables: Iterable[Table]) -> Table:
        """Stack tables; a column that one lacks is NaN there (an empty text, if of texts)."""
        parts = list(tables)
        if not parts:
            return cls({})
        names = dict.fromkeys(name for part in parts for name in part)
        dimensions: dict[str, str] = {}
        for part in parts:
            dimensions = part.dimensions | dimensions
        columns = {
            name: np.concatenate([_filled(part, name, dimensions[name]) for part in parts])
            for name in names
        }
        axes = dict.fromkeys(axis for part in parts for axis in part.axes)
        return cls(columns, dimensions, tuple(axes))

    # a mapping of columns, a sequence of rows

    @overload
    def __getitem__(self, key: str) -> Column: ...
    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> Row: ...
    @overload
    def __getitem__(self, key: slice | npt.NDArray[Any] | Sequence[int]) -> Table: ...
    def __getitem__(self, key: Any) -> Column | Row | Table:
        if isinstance(key, str):
            try:
                return self._columns[key]
            except KeyError:
                raise KeyError(_missing(key, self._columns)) from None
        if isinstance(key, int | np.integer):
            at = int(cast("int", key))
            return Row({name: _scalar(a[at]) for name, a in self._columns.items()})
        return self._take(np.asarray(key) if not isinstance(key, slice) else key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, key: object) -> bool:
        return key in self._columns

    def __bool__(self) -> bool:
        return self._rows > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return list(self) == list(other) and all(
            _same(self._columns[name], other._columns[name]) for name in self
        )

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> Iterable[str]:
        """Names of the columns, so that ``dict(table)`` gives them all."""
        return self._columns.keys()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    @property
    def units(self) -> dict[str, str]:
        """SI unit of each column; ``""`` for pure numbers and texts."""
        return {name: unit_of(name, dim) for name, dim in self.dimensions.items()}

    def rows(self) -> Iterator[Row]:
        """Rows, one after another."""
        return (self[i] for i in range(self._rows))

    def _take(self, chosen: Any) -> Table:
        return Table(
            {name: a[chosen] for name, a in self._columns.items()}, self.dimensions, self.axes
        )

    # questions

    def where(self, condition: str | Expression | npt.NDArray[np.bool_]) -> Table:
        """Rows that satisfy a condition.

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
            faults = condition.condition_faults(self._columns, self.dimensions)
            if faults:
                raise InputError(faults)
            found = np.asarray(condition(self._columns), dtype=bool)
            return self._take(np.broadcast_to(found, (self._rows,)))
        return self._take(np.asarray(condition, dtype=bool))

    @overload
    def best(
        self, column: str, *, per: None = None, maximize: bool | None = None, feasible: bool = True,
        bounds: bool = False,
    ) -> Row | None: ...  # fmt: skip
    @overload
    def best(
        self, column: str, *, per: str | Sequence[str], maximize: bool | None = None,
        feasible: bool = True, bounds: bool = False,
    ) -> Table: ...  # fmt: skip
    def best(
        self, column: str, *, per: str | Sequence[str] | None = None,
        maximize: bool | None = None, feasible: bool = True, bounds: bool = False,
    ) -> Row | Table | None:  # fmt: skip
        """Row that is best in a column; ``None`` where no row qualifies.

        Parameters
        ----------
        column : str
        per : str or sequence of str, optional
            Columns whose values make groups: a table with the best row of each group instead, by
            these columns ascending; a group in which no row qualifies is left out.
        maximize : bool, optional
            By default rates (``tokens_per_s``) and utilization are maximised, all else minimised.
        feasible : bool
            Consider only rows whose ``feasible`` is true, where there is such a column.
        bounds : bool
            Consider bounds beside predictions, which no bound beats otherwise: rows whose ``basis``
            is ``bound`` are considered where there are no others.

        Warns
        -----
        UserWarning
            Some rows that qualify have no number, so that the best is of the others alone.

        Raises
        ------
        InputError
            Unknown columns; a column of texts as the objective.
        """
        keys = [per] if isinstance(per, str) else list(per or ())
        values = self._objective(column, maximize, keys)[:, None]
        values = self._numbered(values, [column], feasible, bounds)[:, 0]
        if per is not None:
            return self._take(first_of_groups([self._columns[key] for key in keys], values))
        if np.isnan(values).all():
            return None
        return self[int(np.nanargmin(values))]

    def pareto(
        self, *columns: str, maximize: Iterable[str] | None = None, feasible: bool = True,
        bounds: bool = False,
    ) -> Table:  # fmt: skip
        """Rows that no other row beats in every column at once, by the first column ascending.

        Parameters
        ----------
        *columns : str
            Objectives.
        maximize : iterable of str, optional
            Those of them where more is better; by default as `best` decides.
        feasible, bounds : bool
            As for `best`, which also says of what it warns.
        """
        from perfmodel.pareto import front

        if not columns:
            raise input_error("no objectives", expected="such as latency_s, energy_j")
        upward = None if maximize is None else set(maximize)
        values = np.stack(
            [self._objective(c, None if upward is None else c in upward) for c in columns], axis=1
        )
        values = self._numbered(values, columns, feasible, bounds)
        chosen = np.flatnonzero(front(values))
        order = np.lexsort(values[chosen].T[::-1])
        return self._take(chosen[order])

    def numbered(self, *columns: str) -> npt.NDArray[np.bool_]:
        """Tell which rows have a finite number in every one of some columns."""
        each = [np.isfinite(np.asarray(self._columns[c], dtype=np.float64)) for c in columns]
        return np.logical_and.reduce(each) if each else np.ones(self._rows, dtype=bool)

    def _numbered(
        self, values: npt.NDArray[np.float64], names: Sequence[str], feasible: bool, bounds: bool
    ) -> npt.NDArray[np.float64]:
        """Objectives with NaN in rows that do not qualify; a warning where one lacks a number."""
        candidates = self._candidates(feasible, bounds)
        known = candidates & np.isfinite(values).all(axis=1)
        lacking = int(candidates.sum() - known.sum())
        if lacking and known.any():
            warnings.warn(
                f"{lacking} of {int(candidates.sum())} rows have no number in "
                f"{' or '.join(names)}: they are left out",
                stacklevel=3,
            )
        return np.where(known[:, None], values, np.nan)

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Tell which rows are no mere bounds, by their ``basis``."""
        if BASIS not in self._columns:
            return np.ones(self._rows, dtype=bool)
        return np.asarray(self._columns[BASIS] != BOUND, dtype=bool)

    def _candidates(self, feasible: bool, bounds: bool) -> npt.NDArray[np.bool_]:
        candidates = np.ones(self._rows, dtype=bool)
        if feasible and "feasible" in self._columns:
            candidates = np.asarray(self._columns["feasible"], dtype=bool)
        predicted = candidates & self.predicted
        return candidates if bounds or not predicted.any() else predicted

    def objective_faults(self, names: Iterable[str], option: str = "") -> list[Fault]:
        """Faults of column names that `best` or `pareto` are to be asked for."""
        return objective_faults(names, self.dimensions, option)

    def _objective(
        self, column: str, maximize: bool | None, groups: Sequence[str] = ()
    ) -> npt.NDArray[np.float64]:
        faults = self.objective_faults([column]) + group_faults(groups, self.dimensions)
        if faults:
            raise InputError(faults)
        upward = more_is_better(column) if maximize is None else maximize
        values = np.array(self._columns[column], dtype=np.float64)
        return -values if upward else values

    def sort(self, by: str | Sequence[str], *, descending: bool = False) -> Table:
        """Rows in the order of one or more columns (stable; NaN last)."""
        keys = [by] if isinstance(by, str) else list(by)
        absent = [key for key in keys if key not in self._columns]
        if absent:
            raise InputError([Fault(_missing(key, self._columns)) for key in absent])
        order = np.arange(self._rows)
        for key in reversed(keys):
            values = self._columns[key][order]
            if values.dtype.kind in "fiub":
                numbers = values.astype(np.float64)
                step = np.argsort(-numbers if descending else numbers, kind="stable")
            else:
                step = np.argsort(values.astype(str), kind="stable")
                step = step[::-1] if descending else step
            order = order[step]
        return self._take(order)

    def select(self, *columns: str) -> Table:
        """The table with these columns alone, in this order."""
        absent = [name for name in columns if name not in self._columns]
        if absent:
            raise InputError([Fault(_missing(name, self._columns)) for name in absent])
        return Table({name: self._columns[name] for name in columns}, self.dimensions, self.axes)

    def head(self, rows: int = 10) -> Table:
        """The first rows."""
        return self._take(slice(0, rows))

    @property
    def plot(self) -> Any:
        """Plots: ``pareto(x, y, under="tpot_s <= 50 ms")``."""
        from perfmodel.catalog import plots_of

        return plots_of(self, "table")

    # ways out

    def report(self, path: str | Path, asked: Any = None, **options: Any) -> None:
        """Write a report of a sweep, one HTML file that needs nothing else.

        Parameters
        ----------
        path, asked
            As for `perfmodel.report.write`.
        **options
            ``best``, ``pareto``: columns that matter; as for `perfmodel.report.of_sweep`.
        """
        from perfmodel.catalog import write_report

        write_report("sweep", self, path, asked, **options)

    def to_dict(self) -> dict[str, list[Any]]:
        """Column -> list of plain values, ready for JSON (NaN as ``None``)."""
        return {name: _plain(a) for name, a in self._columns.items()}

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary a row, ready for JSON (NaN as ``None``)."""
        lists = self.to_dict()
        return [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]

    def to_pandas(self) -> Any:
        """A pandas DataFrame; units in ``attrs["units"]``."""
        pandas = need("pandas")
        frame = pandas.DataFrame({name: np.array(a) for name, a in self._columns.items()})
        frame.attrs["units"] = self.units
        return frame

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        polars = need("polars")
        return polars.DataFrame(
            {name: a.tolist() if a.dtype.kind == "O" else np.array(a)
             for name, a in self._columns.items()}
        )  # fmt: skip

    def to_xarray(self) -> Any:
        """An xarray Dataset: over the grid of `axes` where the rows fill one, else over ``row``."""
        xarray = need("xarray")
        grid = self._grid()
        dims = tuple(grid) or ("row",)
        shape = tuple(len(v) for v in grid.values()) or (self._rows,)
        order = self.sort(list(grid))._columns if grid else self._columns
        variables = {
            name: (dims, np.array(a).reshape(shape), {"units": self.units[name]})
            for name, a in order.items()
            if name not in grid
        }
        return xarray.Dataset(variables, coords=dict(grid))

    def _grid(self) -> dict[str, Column]:
        grid = {a: np.unique(self._columns[a]) for a in self.axes if a in self._columns}
        rows = np.unique(
            np.stack([np.unique(self._columns[a], return_inverse=True)[1] for a in grid], axis=1),
            axis=0,
        ) if grid else np.empty((0, 0))  # fmt: skip
        full = int(np.prod([len(v) for v in grid.values()])) if grid else 0
        return grid if full == self._rows == len(rows) else {}

    def to_arrow(self) -> Any:
        """A pyarrow Table; units in the metadata of its fields."""
        from perfmodel.table.files import arrow_table

        return arrow_table(self)

    def to_parquet(self, path: str | Path) -> None:
        """Write a Parquet file, whole or not at all."""
        self._write(path, (".parquet",))

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV file (shortest digits that read back as the same numbers)."""
        self._write(path, (".csv",))

    def _write(self, path: str | Path, suffixes: tuple[str, ...]) -> None:
        from perfmodel.table.files import writer

        faults = output_faults(path, suffixes, "path")
        if faults:
            raise InputError(faults)
        with replacing(path) as temporary, writer(temporary, self) as write:
            write(self)

    @classmethod
    def read(cls, path: str | Path) -> Table:
        """Read a table that `to_csv` or `to_parquet` wrote."""
        from perfmodel.table.files import read_table

        columns, dimensions = read_table(path)
        return cls(columns, dimensions)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_json(self) -> str:
        """JSON text of `to_records` with the units: ``{"units": {...}, "rows": [...]}``."""
        return json.dumps({"units": self.units, "rows": self.to_records()})


def _array(name: str, value: Any) -> Column:
    if value is None:
        return np.asarray(np.nan)
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        array = array.astype(object, copy=False)  # a repeated text stays one object
    if array.ndim > 1:
        raise ValueError(f"column {name} has {array.ndim} dimensions")
    return array


def _dimension(name: str, array: Column, given: Mapping[str, str]) -> str:
    if array.dtype.kind == "O":
        return TEXT
    if array.dtype.kind == "b":
        return TRUTH
    known = given.get(name)
    return dimension_of(name) if known is None or known in (TEXT, TRUTH) else known


def _filled(part: Table, name: str, dimension: str) -> Column:
    if name in part:
        return part[name]
    if dimension == TEXT:
        return np.full(len(part), "", dtype=object)
    return np.full(len(part), np.nan)


def _missing(name: str, known: Iterable[str]) -> str:
    meant = nearest(name, known)
    return f"there is no column '{name}'" + (f"; did you mean '{meant}'?" if meant else "")


def _scalar(value: Any) -> Any:
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def _same(left: Column, right: Column) -> bool:
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        return bool(np.array_equal(left, right, equal_nan=True))
    return bool(np.array_equal(left, right))


def _plain(array: Column) -> list[Any]:
    values = cast("list[Any]", array.tolist())
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [v if np.isfinite(v) else None for v in values]
    return values
