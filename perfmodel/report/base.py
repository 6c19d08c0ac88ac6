"""The report of any result: question, numbers, pictures, what stands below, rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from perfmodel.errors import InfeasibleError
from perfmodel.report.document import ReportDocument
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
from perfmodel.table import Result
from perfmodel.table.html import cards, items, paragraph, preformatted
from perfmodel.table.text import data_table

#: A heading, and the pieces of HTML below it.
Part = tuple[str, Sequence[str]]


@dataclass
class ResultReport:
    """The report of a result; a subclass states what a class of results has beside.

    Attributes
    ----------
    result
        The result; the fields of subclasses are what their reports are asked for beside.
    """

    #: Words that are explained, of `perfmodel.report.terms.TERMS`.
    WORDS: ClassVar[Sequence[str]] = ()

    result: Any

    @property
    def title(self) -> str:
        """What it is of."""
        return self.result.headline

    @property
    def subtitle(self) -> str:
        """Everything else that was chosen."""
        return ""

    def invocation(self, invocation: ReportInvocation) -> ReportInvocation:
        """Return the question, made up for where it is not known."""
        return invocation

    def answer(self) -> str:
        """Return what stands above the first heading."""
        result: Result = self.result
        return numbers(result) + items(result.cautions(), "note")

    def pictures(self, page: ReportDocument, **options: Any) -> list[str]:
        """Return the pictures of the result; see `perfmodel.charts.face.Plots.shown`."""
        return drawn(page, self.result, **options)

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield the parts below the answer."""
        result: Result = self.result
        yield "Pictures", self.pictures(page)
        yield "Answer", [result.html_sections()]
        with suppress(InfeasibleError):  # nothing fits, as the headline says
            yield "Rows", [data_table(result.table)]

    def left_out(self) -> Sequence[str]:
        """Return what the model leaves out."""
        return ()

    def document(self, invocation: ReportInvocation) -> ReportDocument:
        """Return the page that answers a question."""
        page = ReportDocument(self.title, self.subtitle, invocation.date)
        asked = self.invocation(invocation)
        texts = filter(None, (asked.command, asked.python))
        question = "".join(preformatted(text, "ask") for text in texts)
        unknown = "Made from objects in memory: no command by names gives it."
        page.head(question or paragraph(unknown, "soft"))
        page.head(self.answer())
        for title, pieces in self.parts(page):
            page.part(title, *pieces)
        page.part("What the words mean", terms(self.WORDS) if self.WORDS else "")
        page.part("What the model leaves out", items(self.left_out()))
        return page


def numbers(result: Result) -> str:
    """Return the numbers of a result as cards."""
    return cards((label, text, "") for label, text in result.glance())


def drawn(page: ReportDocument, result: Result, **options: Any) -> list[str]:
    """Return the pictures of a result on a page; none where there are none of such a result."""
    if not hasattr(result, "plot"):
        return []
    return [page.picture(chart, words) for chart, words in result.plot.shown(**options)]


def verdict(fits: bool, head: str, *more: str) -> str:
    """Return what a reader wants to know first, in the colour of what fits or does not.

    Parameters
    ----------
    head
        Plain text.
    more
        HTML below it.
    """
    kind = "fits" if fits else "fails"
    return f'<div class="verdict {kind}"><b>{escape(head)}</b>{"".join(more)}</div>'
