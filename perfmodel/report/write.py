"""Write the report of a result: what ``.report(path)`` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from perfmodel.asked import asked_for
from perfmodel.atomic import output_faults, write_text
from perfmodel.errors import InputError
from perfmodel.report.document import ReportDocument


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
    made: Callable[[Any, ReportInvocation], ReportDocument], found: Any, path: str | Path,
    asked: ReportInvocation | str | None = None, **options: Any,
) -> None:  # fmt: skip
    """Write a report to a file, whole or not at all.

    Parameters
    ----------
    made
        What puts the document together.
    found
        The result.
    path
        Ends in ``.html``.
    asked
        The question; a text alone is its date.

    Raises
    ------
    InputError
        The file cannot be written there.
    """
    faults = output_faults(path, (".html",), "path")
    if faults:
        raise InputError(faults)
    question = (
        ReportInvocation(date=asked) if isinstance(asked, str) else asked or ReportInvocation()
    )
    if not question.command and not question.python:
        question = question._replace(python=asked_for(found))
    write_text(path, made(found, question, **options).render())
