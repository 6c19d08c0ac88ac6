"""Seconds of several predictions as a function of the multipliers of their classes of seconds.

A fit of multipliers asks for the same networks hundreds of times. Their kernels are therefore
costed once, and the rows of all networks are scaled together as the rows of one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.calibrate.few_shot import NAMES, multipliers
from perfmodel.calibrate.lock_step import Matrix
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import per_run_overhead_s, total
from perfmodel.kinds.class_multipliers import scaled
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
    """Rows of predictions whose seconds compose alike, as the rows of one table.

    Attributes
    ----------
    places
        Place of each prediction among all.
    ends
        First row of each prediction, and the end of the last.
    per_run_s
        Seconds of each prediction that no multiplier changes.
    """

    places: Sequence[int]
    ends: Sequence[int]
    per_run_s: Sequence[Value]
    table: OperatorTable
    terms: Terms
    setting: Setting

    @classmethod
    def of(cls, predictions: Sequence[tuple[int, Prediction]]) -> _ScaledRows:
        """Return the rows of predictions, each with its place among all."""
        tables, terms = zip(*(each.opened for _, each in predictions), strict=True)

        def stacked(columns: Sequence[Value]) -> Value:
            rows = [(len(table.rows), 1) for table in tables]
            return np.concatenate(list(map(np.broadcast_to, columns, rows)))

        def by_name(parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
            return {name: stacked([part[name] for part in parts]) for name in parts[0]}

        return cls(
            [place for place, _ in predictions],
            np.cumsum([0, *(len(table.rows) for table in tables)]).tolist(),
            [per_run_overhead_s(each.setting) for _, each in predictions],
            replace(
                tables[0],
                rows=tuple(row for table in tables for row in table.rows),
                count=stacked([table.count for table in tables]),
                structure={},
            ),
            replace(
                terms[0],
                compute=by_name([each.compute for each in terms]),
                memory=by_name([each.memory for each in terms]),
                overhead=by_name([each.overhead for each in terms]),
                cold=None if terms[0].cold is None else stacked([each.cold for each in terms]),
                row_s=stacked([each.row_s for each in terms]),
            ),
            predictions[0][1].setting,
        )

    def add_seconds(self, out: Matrix, scale: Mapping[str, Value]) -> None:
        """Write the seconds of the predictions under multipliers to their places."""
        count = self.table.count
        row_s = self.terms.row_s
        if not self.setting.bare:
            table = replace(self.table, points=len(out))
            row_s = scaled(table, self.terms, self.setting, scale).row_s
        rows = [slice(*ends) for ends in pairwise(self.ends)]
        for place, own, per_run_s in zip(self.places, rows, self.per_run_s, strict=True):
            out[:, place] = total(count[own], row_s[own]) + per_run_s


def _key(prediction: Prediction) -> tuple[Any, ...]:
    """Return what decides how the seconds of rows compose."""
    setting, (_, terms) = prediction.setting, prediction.opened
    memories = setting.main_memory, setting.weights_memory
    names = tuple(terms.compute), tuple(terms.memory), tuple(terms.overhead)
    return setting.bare, setting.overlap, terms.cold is None, memories, names
