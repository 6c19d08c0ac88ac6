"""Dry run: estimate of the time and the output size of a sweep from a few of its chunks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from perfmodel.expressions import Expression
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.plan import SweepPlan, pieces_points
from perfmodel.table import Table


class DryRun(NamedTuple):
    """Estimated time and size of a sweep.

    Attributes
    ----------
    points, cases, chunks : int
    pilot_points : int
        Number of points in the pilot.
    seconds : float
        Estimated wall-clock time.
    bytes : int
        Estimated size of the output; 0 if there is none.
    """

    points: int
    cases: int
    chunks: int
    pilot_points: int
    seconds: float
    bytes: int


def dry_run(
    plan: SweepPlan,
    *,
    where: Expression | None = None,
    output: Path | None = None,
    workers: int = 1,
    budget_s: float = 1.0,
) -> DryRun:
    """Estimate a sweep from a pilot of a few chunks, evenly distributed over it.

    Parameters
    ----------
    budget_s
        Time after which no further chunk of the pilot starts.
    """
    last = len(plan.chunks) - 1
    wanted = dict.fromkeys(round(last * share) for share in (0.0, 0.5, 1.0, 0.25, 0.75))
    clock = time.perf_counter()
    points, size, seconds = 0, 0, 0.0
    for index in wanted:
        begin = time.perf_counter()
        table = evaluate(plan, plan.chunks[index])
        seconds += time.perf_counter() - begin
        if where is not None:
            table = table.where(where)
        points += pieces_points(plan.chunks[index])
        size += _size(table, output)
        if time.perf_counter() - clock > budget_s:
            break
    scale = plan.points / max(points, 1)
    return DryRun(
        plan.points,
        len(plan.cases),
        len(plan.chunks),
        points,
        seconds * scale / min(workers, max(1, len(plan.chunks))),
        round(size * scale),
    )


def _size(table: Table, output: Path | None) -> int:
    """Return the bytes of rows as stored."""
    if output is None:
        return 0
    if output.suffix == ".csv":
        from perfmodel.table.table_files import csv_text

        return len(csv_text(table).encode())
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pilot.parquet"
        table.to_parquet(path)
        return path.stat().st_size
