"""Write the report of a result: what ``.report(path)`` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from perfmodel.atomic import output_faults, write_text
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.report.base import ResultReport


class ReportInvocation(NamedTuple):
    """What a report answers, in the words that ask it again.

    Attributes
    ----------
    command
        As it is typed; empty where there is none.
    python
        As Python has it; empty where nothing is known of it.
    date
        To be written into the page; none by default, so that the same question gives the same file.
    """

    command: str = ""
    python: str = ""
    date: str = ""


def write(
    report: ResultReport, path: str | Path, invocation: ReportInvocation | str | None = None
) -> None:
    """Write a report to a file, whole or not at all.

    Parameters
    ----------
    path
        Ends in ``.html``.
    invocation
        The question; a text alone is its date.

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
