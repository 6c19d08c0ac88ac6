"""Seconds of several predictions as a function of the multipliers of their classes of seconds.

A fit of multipliers asks for the same networks hundreds of times. Their kernels are therefore
costed once, and the rows of all networks are scaled together as the rows of one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.calibrate.few_shot import NAMES, multipliers
from perfmodel.calibrate.lock_step import Matrix
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import per_run_overhead_s, total
from perfmodel.hardware.runtime import SCALE_CLASSES
from perfmodel.kinds.class_multipliers import class_of, scaled
from perfmodel.kinds.distinct_columns import Places, distinct
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction import Prediction
from perfmodel.workload.operator_table import OperatorTable


class ScaledPredictions:
    """Seconds of predictions under factors of their device and of each class.

    The forward model of `perfmodel.calibrate.few_shot.few_shot`.

    Parameters
    ----------
    predictions
        Predictions of one point each, in which every multiplier is 1.
    """

    def __init__(self, predictions: Sequence[Prediction]) -> None:
        self._count = len(predictions)
        alike: dict[tuple[Any, ...], list[tuple[int, Prediction]]] = {}
        for place, each in enumerate(predictions):
            alike.setdefault(_key(each), []).append((place, each))
        self._parts = [_ScaledRows.of(part) for part in alike.values()]

    def __call__(self, constants: Mapping[str, float]) -> Matrix:
        """Return the seconds of all predictions, shape ``(predictions,)``."""
        return self.points({name: np.array([value]) for name, value in constants.items()})[0]

    def points(self, constants: Mapping[str, Matrix]) -> Matrix:
        """Return seconds for factors of shape ``(points,)``: ``(points, predictions)``."""
        out = np.empty((len(constants[NAMES[0]]), self._count))
        for part in self._parts:
            part.add_seconds(out, multipliers(constants))
        return out


class _ScaledRows(NamedTuple):
    """Distinct rows of predictions whose seconds compose alike, as the rows of one table.

    Attributes
    ----------
    places
        Place of each prediction among all.
    rows
        Row of `table` for each row of each prediction: many rows of similar networks are alike.
    counts
        Times that each row of each prediction is executed.
    per_run_s
        Seconds of each prediction that no multiplier changes.
    """

    places: Sequence[int]
    rows: Sequence[Places]
    counts: Sequence[Value]
    per_run_s: Sequence[Value]
    table: OperatorTable
    terms: Terms
    setting: Setting

    @classmethod
    def of(cls, predictions: Sequence[tuple[int, Prediction]]) -> _ScaledRows:
        """Return the rows of predictions, each with its place among all."""
        tables, terms = zip(*(each.opened for _, each in predictions), strict=True)
        rows = [row for table in tables for row in table.rows]
        fields = np.concatenate(
            [
                np.hstack([np.broadcast_to(part, (len(table.rows), 1)) for part in _seconds(own)])
                for table, own in zip(tables, terms, strict=True)
            ]
        )
        classes = [SCALE_CLASSES.index(class_of(row.kind)) for row in rows]
        first, which = distinct(np.column_stack([fields, classes]).T)
        columns = iter(np.ascontiguousarray(fields[first].T)[..., None])
        return cls(
            [place for place, _ in predictions],
            np.split(which, np.cumsum([len(table.rows) for table in tables[:-1]])),
            [table.count for table in tables],
            [per_run_overhead_s(each.setting) for _, each in predictions],
            replace(tables[0], rows=tuple(rows[i] for i in first), structure={}),
            replace(
                terms[0],
                compute=dict(zip(terms[0].compute, columns, strict=False)),
                memory=dict(zip(terms[0].memory, columns, strict=False)),
                overhead=dict(zip(terms[0].overhead, columns, strict=False)),
                row_s=next(columns),
                cold=next(columns, None),
            ),
            predictions[0][1].setting,
        )

    def add_seconds(self, out: Matrix, scale: Mapping[str, Value]) -> None:
        """Write the seconds of the predictions under multipliers to their places."""
        row_s = self.terms.row_s
        if not self.setting.bare:
            table = replace(self.table, points=len(out))
            row_s = scaled(table, self.terms, self.setting, scale).row_s
        parts = zip(self.places, self.rows, self.counts, self.per_run_s, strict=True)
        for place, rows, count, per_run_s in parts:
            out[:, place] = total(count, row_s[rows]) + per_run_s


def _seconds(terms: Terms) -> list[Value]:
    """Return the seconds that multipliers scale, in the order of the terms."""
    parts = [*terms.compute.values(), *terms.memory.values(), *terms.overhead.values(), terms.row_s]
    return parts if terms.cold is None else [*parts, terms.cold]


def _key(prediction: Prediction) -> tuple[Any, ...]:
    """Return what decides how the seconds of rows compose."""
    setting, (_, terms) = prediction.setting, prediction.opened
    memories = setting.main_memory, setting.weights_memory
    names = tuple(terms.compute), tuple(terms.memory), tuple(terms.overhead)
    return setting.bare, setting.overlap, terms.cold is None, memories, names
