"""The report of two predictions side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from perfmodel.charts.style import quantity, si
from perfmodel.columns import dimension_of
from perfmodel.report.document import ReportDocument
from perfmodel.report.of_prediction import answer, verdict
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
from perfmodel.table.html import HtmlCell, items, rows
from perfmodel.table.text import data_table
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.compare import Comparison

_MOST = 400
_WORDS = ("latency", "energy", "traffic", "utilization", "bound by", "memory", "interval",
          "basis")  # fmt: skip


def comparison_report(found: Comparison, asked: ReportInvocation) -> ReportDocument:
    """Return the report of a comparison: why first, then metrics, kernels, facts, both sides."""
    a, b = found.a, found.b
    names = [f"{p.device} ({p.precision}, {p.runtime})" for p in (a, b)]
    made = ReportDocument(
        f"{a.workload.name}: {a.device} and {b.device}", " and ".join(names), asked.date
    )
    made.head(question(asked))
    first, *rest = found.sentences
    kind = "fits" if a.feasible and b.feasible else "fails"
    made.head(f'<div class="verdict {kind}"><b>{escape(first)}</b>{items(rest)}</div>')
    made.part("Metrics", _metrics(found))
    made.part("Kernels", _kernels(found))
    made.part("Facts that differ and matter here", data_table(found.used_facts, most=400))
    for side, p in (("a", a), ("b", b)):
        made.part(f"{side}: {p.device}", verdict(p), answer(p),
                  made.picture(p.plot.roofline), made.picture(p.plot.bottlenecks))  # fmt: skip
    made.part("What the words mean", terms(_WORDS))
    return made


def _metrics(found: Comparison) -> str:
    body: list[list[HtmlCell | str]] = []
    for row in found.metrics.rows():
        name = str(row["metric"])
        dimension = dimension_of(name.split()[0])
        sides = [HtmlCell("" if v != v else _shown(v, dimension), v) for v in (row.a, row.b)]
        ratio = "" if row.ratio != row.ratio else f"{row.ratio:.4g}"
        body.append([name, *sides, HtmlCell(ratio, row.ratio)])
    return rows(("metric", "a", "b", "b over a"), body)


def _kernels(found: Comparison) -> str:
    body: list[list[HtmlCell | str]] = []
    table = found.table
    for row in table.head(_MOST).rows():
        seconds = [HtmlCell(show(v, "time"), v) for v in (row.a_s, row.b_s, row.difference_s)]
        share = "" if row.share != row.share else f"{100 * row.share:.1f} %"
        body.append([str(row.kernel), *seconds, HtmlCell(share, row.share), str(row.bound_by_a),
                     str(row.bound_by_b)])  # fmt: skip
    said = f"{len(table)} kernels, the largest difference first"
    heads = ("kernel", "a", "b", "a less b", "of the difference", "a bound by", "b bound by")
    return rows(heads, body, said, sorts=True)


def _shown(value: float, dimension: str) -> str:
    return si(value, "") if not dimension and value >= 1e4 else quantity(value, dimension)
