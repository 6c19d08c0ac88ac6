"""The kind `roofline` as specs name it: a roofline whose runtime may state launches by class.

Other kinds take the plain roofline for the rows that they do not model, and count launches of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.roofline import Roofline
from perfmodel.workload.lower import OperatorTable, Row

__all__ = ["KIND", "DispatchedRoofline"]


class DispatchedRoofline(Roofline):
    """A roofline, and a time of each kernel by its class."""

    equations: Mapping[str, Equation] = {
        **Roofline.equations,
        "kernel": Equation("kernels * launch, of the row's class", "runtime.kernels"),
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        terms = super().cost(table, setting)
        launches = None if setting.bare else _launches(table, setting)
        if launches is None:
            return terms
        extra = table.kernels * launches * setting.fact("runtime.host_slowdown", 1.0)
        return replace(
            terms, overhead={**terms.overhead, "kernel": extra}, row_s=terms.row_s + extra
        )


def _launches(table: OperatorTable, setting: Setting) -> Value:
    """Return the launch of each row's class, ``(rows, points or 1)``; None where none is stated."""
    keys = table.once("launches", lambda: _keys(table.rows))
    stated = [
        next((setting.facts[k] for k in pair if k in setting.facts), None) for pair in keys.names
    ]
    if all(value is None for value in stated):
        return None
    values = [0.0 if value is None else value for value in stated]
    return by_row(values, table.points, setting.xp)[keys.of]


class _Keys:
    """Facts of launches, and which of them each row reads."""

    def __init__(self, names: Sequence[tuple[str, ...]], of: npt.NDArray[np.intp]) -> None:
        self.names = names
        self.of = of


def _keys(rows: Sequence[Row]) -> _Keys:
    places: dict[tuple[str, ...], int] = {}
    of: list[int] = []
    for row in rows:
        names = [row.kind, *([f"{row.kind}.{row.function}"] if row.function else [])]
        key = tuple(f"runtime.kernels.{name}.launch" for name in reversed(names))
        of.append(places.setdefault(key, len(places)))
    return _Keys(tuple(places), np.array(of, dtype=np.intp))


KIND = DispatchedRoofline()
