"""The report of two predictions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from perfmodel.charts.style import quantity, si
from perfmodel.columns import dimension_of
from perfmodel.compare import Comparison
from perfmodel.report.base import Part, ResultReport, drawn, verdict
from perfmodel.report.document import ReportDocument
from perfmodel.report.of_prediction import answer, prediction_verdict
from perfmodel.table import Row
from perfmodel.table.html import HtmlCell, items, rows
from perfmodel.table.text import data_table

_MOST = 400


@dataclass
class ComparisonReport(ResultReport):
    """Why first, then metrics, kernels, facts, both sides."""

    WORDS: ClassVar = (
        "latency",
        "energy",
        "traffic",
        "utilization",
        "bound by",
        "memory",
        "interval",
        "basis",
    )

    result: Comparison

    @property
    def title(self) -> str:
        """The workload, and both devices."""
        a, b = self.result.a, self.result.b
        return f"{a.workload.name}: {a.device} and {b.device}"

    @property
    def subtitle(self) -> str:
        """How both run it."""
        sides = (self.result.a, self.result.b)
        return " and ".join(f"{p.device} ({p.precision}, {p.runtime})" for p in sides)

    def answer(self) -> str:
        """Return why one is faster."""
        first, *others = self.result.sentences
        fits = self.result.a.feasible and self.result.b.feasible
        return verdict(fits, first, items(others))

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield metrics, kernels, facts, and both sides."""
        result = self.result
        heads = ("metric", "a", "b", "b over a")
        yield "Metrics", [rows(heads, map(_metric, result.metrics.rows())), *self.pictures(page)]
        words = f"{len(result.table)} kernels, the largest difference first"
        yield "Kernels", [data_table(result.table, words, most=_MOST)]
        yield "Facts that differ and matter here", [data_table(result.used_facts, most=_MOST)]
        for side, p in (("a", result.a), ("b", result.b)):
            yield (
                f"{side}: {p.device}",
                [prediction_verdict(p), answer(p), *drawn(page, p)],
            )


def _metric(row: Row) -> list[HtmlCell | str]:
    dimension = dimension_of(str(row.metric).split()[0])

    def written(value: float) -> str:
        if value != value:
            return ""
        return si(value, "") if not dimension and value >= 1e4 else quantity(value, dimension)

    ratio = "" if row.ratio != row.ratio else f"{row.ratio:.4g}"
    sides = [HtmlCell(written(value), value) for value in (row.a, row.b)]
    return [str(row.metric), *sides, HtmlCell(ratio, row.ratio)]
