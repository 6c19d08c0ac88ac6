"""Task of a worker: predict the points of one chunk, then filter, summarise and encode the rows.

`perfmodel.sweep.run` creates one `ChunkTask` for a sweep; an executor calls it with the index of
each chunk, in this or in another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.expressions import Expression
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.plan import REASON, SweepPlan, pieces_points
from perfmodel.sweep.summary import Summary
from perfmodel.sweep.table_transfer import PackedTable, pack
from perfmodel.table import Table
from perfmodel.table.table_files import encoded

#: Form of rows kept in memory; the other forms are file suffixes.
IN_MEMORY = "memory"


class ChunkResult(NamedTuple):
    """Result of a chunk, as returned from a worker.

    Attributes
    ----------
    points : int
        Points of the chunk.
    summary : Summary
        Summary of its rows.
    rows : PackedTable, bytes or None
        Its rows for memory, or encoded for a file; `None` if only the summary is needed.
    reasons : bool
        Whether the rows have the column of reasons for failures.
    """

    points: int
    summary: Summary
    rows: PackedTable | bytes | None = None
    reasons: bool = False


@dataclass(frozen=True)
class ChunkTask:
    """Computes chunks of a plan; small when pickled, and sent to every worker once.

    Attributes
    ----------
    plan : SweepPlan
    where : Expression or None
        Rows to keep.
    questions : Summary
        An empty summary that defines the questions.
    form : str
        `IN_MEMORY`, a file suffix, or empty if no rows are needed.
    """

    plan: SweepPlan
    where: Expression | None
    questions: Summary
    form: str = ""

    def __call__(self, index: int) -> ChunkResult:
        """Compute the chunk with the given index."""
        computed = evaluate(self.plan, self.plan.chunks[index])
        table = computed if self.where is None else computed.where(self.where)
        table = _without_reasons(table)
        summary = self.questions.empty_copy()
        summary.refuse(computed, _refused_points(computed))
        points = pieces_points(self.plan.chunks[index])
        summary.add(table, points)
        rows = pack(table) if self.form == IN_MEMORY else None
        if self.form and rows is None:
            return ChunkResult(points, summary, encoded(table, self.form), REASON in table)
        return ChunkResult(points, summary, rows, REASON in table)

    def read_back(self, index: int, table: Table, refused: int) -> ChunkResult:
        """Return the result of a chunk whose rows were stored by an earlier run."""
        summary = self.questions.empty_copy()
        summary.refuse(table, refused)
        points = pieces_points(self.plan.chunks[index])
        summary.add(table, points)
        return ChunkResult(points, summary)


def _refused_points(table: Table) -> int:
    """Return the number of rows that state a reason for their lack of numbers."""
    return int((table[REASON] != "").sum()) if REASON in table else 0


def _without_reasons(table: Table) -> Table:
    """Return the table without the column of reasons if that is empty."""
    if REASON not in table or _refused_points(table):
        return table
    return table.select(*[name for name in table if name != REASON])
