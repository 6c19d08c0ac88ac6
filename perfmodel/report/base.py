"""Report of any result: question, headline numbers, pictures, sections, rows, glossary.

`ResultReport` assembles an HTML page (`perfmodel.report.document`) from what every result provides;
subclasses in ``of_*.py`` add sections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from perfmodel.atomic import output_faults, write_text
from perfmodel.errors import InfeasibleError, InputError
from perfmodel.report.document import ReportDocument
from perfmodel.table import Result
from perfmodel.table.html import cards, items, paragraph, preformatted, table
from perfmodel.table.text import data_table

#: A heading, and the pieces of HTML below it.
Part = tuple[str, Sequence[str]]


@dataclass
class ResultReport:
    """Report of a result; a subclass adds the specific parts of its class of results.

    Attributes
    ----------
    result
        The result; further fields of subclasses are options of their reports.
    """

    #: Terms to explain, from `perfmodel.report.base.TERMS`.
    WORDS: ClassVar[Sequence[str]] = ()

    result: Any

    @property
    def title(self) -> str:
        """Subject of the result."""
        return self.result.headline

    @property
    def subtitle(self) -> str:
        """Remaining inputs."""
        return ""

    def invocation(self, invocation: ReportInvocation) -> ReportInvocation:
        """Return the call that gave the result, reconstructed if it is unknown."""
        return invocation

    def answer(self) -> str:
        """Return the HTML above the first heading."""
        result: Result = self.result
        return number_cards(result) + items(result.cautions(), "note")

    def pictures(self, page: ReportDocument, **options: Any) -> list[str]:
        """Return the pictures of the result; see `perfmodel.charts.result_plots.Plots.shown`."""
        return picture_figures(page, self.result, **options)

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield the parts below the answer."""
        result: Result = self.result
        yield "Pictures", self.pictures(page)
        yield "Answer", [result.html_sections()]
        with suppress(InfeasibleError):  # nothing fits, as the headline says
            yield "Rows", [data_table(result.table)]

    def left_out(self) -> Sequence[str]:
        """Return the limitations of the model."""
        return ()

    def document(self, invocation: ReportInvocation) -> ReportDocument:
        """Return the page of the result, with the call that gave it."""
        page = ReportDocument(self.title, self.subtitle, invocation.date)
        complete = self.invocation(invocation)
        texts = filter(None, (complete.command, complete.python))
        question = "".join(preformatted(text, "ask") for text in texts)
        unknown = "Made from objects in memory: no command by names gives it."
        page.head(question or paragraph(unknown, "soft"))
        page.head(self.answer())
        for title, pieces in self.parts(page):
            page.part(title, *pieces)
        page.part("What the words mean", terms(self.WORDS) if self.WORDS else "")
        page.part("What the model leaves out", items(self.left_out()))
        return page


def number_cards(result: Result) -> str:
    """Return the headline numbers of a result as cards."""
    return cards((label, text, "") for label, text in result.glance())


def picture_figures(page: ReportDocument, result: Result, **options: Any) -> list[str]:
    """Return the pictures of a result on a page; empty if such results have none."""
    if not hasattr(result, "plot"):
        return []
    return [page.picture(chart, words) for chart, words in result.plot.shown(**options)]


def verdict(fits: bool, head: str, *more: str) -> str:
    """Return the most important statement, coloured by feasibility.

    Parameters
    ----------
    head
        Plain text.
    more
        HTML below the statement.
    """
    kind = "fits" if fits else "fails"
    return f'<div class="verdict {kind}"><b>{escape(head)}</b>{"".join(more)}</div>'


class ReportInvocation(NamedTuple):
    """The question of a report, in reproducible form.

    Attributes
    ----------
    command
        Command line; empty if there is none.
    python
        Python call; empty if unknown.
    date
        Date to write into the page; none by default, so that equal questions yield equal files.
    """

    command: str = ""
    python: str = ""
    date: str = ""


def write(
    report: ResultReport, path: str | Path, invocation: ReportInvocation | str | None = None
) -> None:
    """Write a report to a file atomically.

    Parameters
    ----------
    path
        Ends in ``.html``.
    invocation
        The question; a plain string is its date.

    Raises
    ------
    InputError
        The file cannot be written there.
    """
    faults = output_faults(path, (".html",), "path")
    if faults:
        raise InputError(faults)
    if not isinstance(invocation, ReportInvocation):
        invocation = ReportInvocation(date=invocation or "")
    if not invocation.command and not invocation.python:
        invocation = invocation._replace(python=report.result.question)
    write_text(path, report.document(invocation).render())


#: Term -> its meaning and its equation.
TERMS: dict[str, tuple[str, str]] = {
    "latency": (
        "time of one run: one decode step, one prefill, one request, one batch of frames",
        "sum over kernels of count x row_s, and what a run costs once",
    ),
    "row": (
        "one kernel as the runtime executes it; operators may be fused into one",
        "row_s from its terms, composed as stated below",
    ),
    "TTFT, TPOT": (
        "time to first token, time per output token",
        "seconds of the prefill; seconds of the decoding / tokens generated",
    ),
    "energy": (
        "joule of one run, within the boundary named beside it",
        "operations, bytes and latency x their energies; else busy power x latency",
    ),
    "traffic": (
        "bytes that cross the boundary of a memory in one run",
        "each operand once where it fits; see the traffic model below",
    ),
    "utilization": (
        "share of the latency that the multiply-accumulates would take at their peak",
        "(2 x MACs / peak) / latency",
    ),
    "bound by": (
        "the largest of a row's arithmetic, memory levels and overheads",
        "argmax(arithmetic, bytes / bandwidth of each level, overheads)",
    ),
    "operational intensity": ("operations for each byte from a memory", "operations / traffic"),
    "ridge point": (
        "intensity at which arithmetic takes as long as the memory",
        "peak / bandwidth",
    ),
    "memory": (
        "what must be held: weights, KV cache or state, activations at their peak",
        "weight bytes + KV bytes + peak of live activations",
    ),
    "interval": (
        "ends between which that share of measurements would lie",
        "prediction x quantiles of measured / predicted, devices counting alike",
    ),
    "basis": ("rows that it rests on: of this device (measured), others (transferred), none", ""),
    "spill, reload": (
        "bytes stored because they did not fit, and fetched back",
        "off chip = compulsory + spill + reload",
    ),
    "front": ("rows that no other row beats in both metrics at once (Pareto)", ""),
    "price": ("objective that one unit less of a limit costs, in the relaxation of the bound", ""),
}


def terms(words: Iterable[str]) -> str:
    """Return a table of terms with their meaning and equation."""
    return table(("word", "means", "equation"), [(word, *TERMS[word]) for word in words])
