"""The report of two predictions side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from perfmodel.asked import asked_for
from perfmodel.report.document import Document
from perfmodel.report.html import data_table, items
from perfmodel.report.of_prediction import answer, verdict
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import Asked

if TYPE_CHECKING:
    from perfmodel.compare import Comparison

__all__ = ["comparison_report"]

_WORDS = ("latency", "energy", "traffic", "utilization", "bound by", "memory", "interval")


def comparison_report(found: Comparison, asked: Asked) -> Document:
    """Return the report of a comparison: why first, then metrics, kernels, facts, both sides."""
    a, b = found.a, found.b
    names = [f"{p.device} ({p.precision}, {p.runtime})" for p in (a, b)]
    made = Document(
        f"{a.workload.name}: {a.device} and {b.device}", " and ".join(names), asked.date
    )
    if not asked.command and not asked.python:
        asked = asked._replace(python=asked_for(found))
    made.head(question(asked))
    first, *rest = found.reasons
    kind = "fits" if a.feasible and b.feasible else "fails"
    made.head(f'<div class="verdict {kind}"><b>{escape(first)}</b>{items(rest)}</div>')
    made.part("Metrics", data_table(found.metrics, "a and b in SI units; ratio is b over a"))
    made.part("Kernels", data_table(found.table, "the largest difference first", most=400))
    made.part("Facts that differ and matter here", data_table(found.used_facts, most=400))
    for side, p in (("a", a), ("b", b)):
        made.part(f"{side}: {p.device}", verdict(p), answer(p),
                  made.picture(p.plot.roofline()), made.picture(p.plot.bottlenecks()))  # fmt: skip
    made.part("What the words mean", terms(_WORDS))
    return made
