"""``perfmodel report``: another command, with its answer as a page."""

from __future__ import annotations

from contextvars import copy_context
from typing import Annotated, Final

from cyclopts import Parameter

from perfmodel.cli.questions import QUESTIONS
from perfmodel.cli.reporting import DATE, OPTION
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of

#: Commands that take ``--report FILE``.
REPORTED: Final = tuple(sorted(QUESTIONS))


def report(
    command: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
) -> int:
    """Run a command and write its answer as one HTML file that needs nothing else.

    The same as COMMAND ... --report FILE.

    Parameters
    ----------
    command
        Any that asks a question: predict, sweep, compare, schedule, search, validate, ...
    words
        What follows that command; and -o FILE (.html) for the report, --date TEXT to be written
        into it.
    """
    rest, output, date = _taken(list(words))
    faults: list[Fault] = []
    if command not in REPORTED:
        meant = nearest(command, REPORTED)
        faults.append(Fault(f"perfmodel report has no command '{command}'", suggestion=meant,
                            expected="" if meant else one_of(REPORTED)))  # fmt: skip
    if output is None and "--help" not in rest:
        faults.append(Fault("the file of the report is missing", file="-o",
                            expected="-o FILE.html"))  # fmt: skip
    if faults:
        raise InputError(faults)
    # In a context of its own: what follows is another command line.
    return copy_context().run(
        _run, [command, *rest, *(["--report", output] if output else [])], date
    )


def _run(words: list[str], date: str) -> int:
    from perfmodel.cli import run_words

    DATE.set(date)
    OPTION.set("-o")
    return run_words(words)


def _taken(words: list[str]) -> tuple[list[str], str | None, str]:
    """Return the words without the report's own, its file and its date."""
    output: str | None = None
    date = ""
    rest: list[str] = []
    while words:
        word = words.pop(0)
        name, mark, value = word.partition("=")
        if name in ("-o", "--output", "--date"):
            if not mark:
                if not words:
                    raise input_error(
                        f"{name} has no value", file="perfmodel report", expected=f"{name} VALUE"
                    )
                value = words.pop(0)
            if name == "--date":
                date = value
            else:
                output = value
        else:
            rest.append(word)
    return rest, output, date
