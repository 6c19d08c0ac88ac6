"""One point of a prediction, as charts and reports read it: rows, rates, title and subtitle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import is_array
from perfmodel.errors import input_error, nearest, one_of
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.presentation import row_columns, seconds_by_bound
from perfmodel.units import UnitError, parse

Column = npt.NDArray[np.float64]


class PredictionPoint:
    """One point of a prediction, row by row.

    Attributes
    ----------
    prediction
        The point (the first one of an array-valued prediction).
    columns
        Columns of `Prediction.table`.
    levels
        Memories with traffic, nearest the engine first.
    """

    def __init__(self, prediction: Prediction) -> None:
        self.many = prediction.shape
        self.prediction = prediction.at(0) if prediction.shape else prediction
        self.columns: dict[str, Any] = row_columns(self.prediction)
        self.table, self.terms = self.prediction.opened
        self.setting = self.prediction.setting
        self.job = self.prediction.job
        self.levels = tuple(
            level
            for level in self.terms.traffic
            # Time of a memory's bytes may be in another term (cold weights from a drive).
            if np.any(self.columns[f"{level}_bytes"] > 0) and f"{level}_s" in self.columns
        )

    @property
    def names(self) -> list[str]:
        """Names of the rows."""
        return [str(name) for name in self.columns["name"]]

    @property
    def bounds(self) -> list[str]:
        """Bottlenecks among the rows, in descending order of their seconds."""
        spent = seconds_by_bound(self.prediction)
        return sorted(spent, key=lambda name: -spent[name])

    @property
    def operations(self) -> Column:
        """Operations of each row: two per multiply-accumulate, plus vector operations."""
        return 2.0 * self.columns["macs"] + self.columns["vector_ops"]

    def formats(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return executed compute format -> mask of rows with products in it."""
        every = {
            name: (np.asarray(done, dtype=float)[:, 0] > 0) & (self.columns["macs"] > 0)
            for name, done in self.terms.operations.items()
            if name != "vector"
        }
        return {name: rows for name, rows in every.items() if rows.any()}

    def latency(self, level: str) -> float:
        """Return the latency of a memory in seconds."""
        if self.setting.bare:
            return 0.0
        return float(np.asarray(self.setting.fact(f"memories.{level}.latency", 0.0)))

    def pick(self, rows: Any, weights: Any, wanted: str | None, *, path: str, lacks: str) -> int:
        """Return the index, among some rows, of the named one, or of the one with most weight.

        Parameters
        ----------
        rows
            Indices of rows.
        weights
            Weight of each of them.
        path, lacks
            Parameter name and predicate for the error message.

        Raises
        ------
        InputError
            The row is not among them.
        """
        names = [self.names[int(i)] for i in rows]
        if wanted is None and names:
            return int(np.argmax(weights))
        if wanted is None or wanted not in names:
            raise input_error(
                f"no row '{wanted}' {lacks}" if wanted else f"no row {lacks}",
                path if wanted else "prediction",
                expected=one_of(dict.fromkeys(names)),
                suggestion=nearest(wanted or "", names),
            )
        return names.index(wanted)

    @property
    def unit(self) -> str:
        """``FLOP`` if all products are in floating point, else ``OP``."""
        return unit_of(self.formats())

    @property
    def title(self) -> str:
        """Workload and device."""
        p = self.prediction
        return f"{p.workload.name} on {p.machine.device.name}"

    @property
    def subtitle(self) -> str:
        """Remaining inputs: parameters, precision, runtime."""
        p = self.prediction
        bound = [f"{k} {_brief(v)}" for k, v in p.workload.parameters.items()]
        runtime = "bare roofline" if self.setting.bare else f"runtime {p.machine.runtime.name}"
        text = ", ".join([*bound, p.precision, runtime])
        if self.many:
            text += f" (first of {int(np.prod(self.many))} points)"
        return text


def unit_of(formats: Iterable[str]) -> str:
    """Return ``FLOP`` if all formats are floating point, else ``OP``."""
    return "FLOP" if all(name.startswith(("fp", "bf", "tf")) for name in formats) else "OP"


def _brief(value: Any) -> str:
    """Return the first number of a parameter as text."""
    number = np.asarray(value).reshape(-1)[0] if is_array(value) else value
    return f"{number:g}" if isinstance(number, float) else f"{number}"


def size_of(size: float | str, path: str, noun: str) -> float:
    """Return a size in bytes, from a number or a text.

    Raises
    ------
    InputError
        The size is invalid; `path` is its location.
    """
    try:
        value = parse(size, "bytes") if isinstance(size, str) else float(size)
    except UnitError as error:
        raise input_error(
            error.message, path, expected=error.expected, suggestion=error.suggestion
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise input_error(f"{size} is not a valid {noun}", path, expected="bytes above 0")
    return value
