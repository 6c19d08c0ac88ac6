"""What a design takes of a part; `Prediction.resources` says whether it fits and what is scarce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perfmodel.arrays import Value
from perfmodel.cost.totals import total

if TYPE_CHECKING:
    from perfmodel.workload.lower import OperatorTable


def of_rows(table: OperatorTable, by_row: Mapping[str, Value]) -> dict[str, Value]:
    """Return `Terms.resources` of a design in which each row has hardware of its own.

    Parameters
    ----------
    by_row
        Resource -> amount of one copy of each row, ``(rows, points)``; a row that is executed
        several times stands for as many copies.
    """
    return {name: total(table.count, amount) for name, amount in by_row.items()}
