"""The report of a result that has none of its own: its numbers, what stands below, its rows."""

from __future__ import annotations

from contextlib import suppress

from perfmodel.errors import InfeasibleError
from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.write import ReportInvocation
from perfmodel.table import Result
from perfmodel.table.html import cards, items
from perfmodel.table.text import data_table


def result_report(found: Result, asked: ReportInvocation) -> ReportDocument:
    """Return the report of any result."""
    made = ReportDocument(found.headline, date=asked.date)
    made.head(question(asked))
    made.head(cards((label, text, "") for label, text in found.glance()))
    made.head(items(found.cautions(), "note"))
    if found.verdict == "ok":
        made.part("Pictures", *(made.picture(getattr(found.plot, n)) for n in found.pictures))
    made.part("Answer", found.html_sections())
    with suppress(InfeasibleError):  # nothing fits, as the headline says
        made.part("Rows", data_table(found.table))
    return made
