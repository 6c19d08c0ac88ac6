"""Command ``perfmodel report COMMAND ... -o FILE``: equivalent to ``COMMAND ... --report FILE``."""

from __future__ import annotations

from contextvars import copy_context
from typing import Annotated, Final

from cyclopts import Parameter

from perfmodel.cli.command_table import GENERATED_COMMANDS
from perfmodel.cli.report_option import DATE, OPTION
from perfmodel.errors import Fault, InputError, input_error, no_such

#: Commands that accept ``--report FILE``.
REPORTED: Final = tuple(sorted({word.partition(" ")[0] for word in GENERATED_COMMANDS}))

#: Options of the report itself.
_OWN: Final = {"-o": "output", "--output": "output", "--date": "date"}


def report(
    command: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
) -> int:
    """Run a command and write its answer as one self-contained HTML file.

    Equivalent to COMMAND ... --report FILE.

    Parameters
    ----------
    command
        A command that answers a question: predict, sweep, compare, schedule, search, validate, ...
    words
        Arguments and options of that command, and those of the report: -o FILE (.html), and --date
        TEXT for a date to show in it.
    """
    others, output, date = _separated(list(words))
    faults: list[Fault] = []
    if command not in REPORTED:
        message = f"perfmodel report has no command '{command}'"
        faults.append(no_such(message, command, REPORTED))
    if output is None and "--help" not in others:
        message = "the file of the report is missing"
        faults.append(Fault(message, file="-o", expected="-o FILE.html"))
    if faults:
        raise InputError(faults)
    report = ["--report", output] if output else []
    # In a separate context: the remainder is another command line.
    return copy_context().run(_run_with_date, [command, *others, *report], date)


def _run_with_date(words: list[str], date: str) -> int:
    """Run a command line whose report shows a date."""
    from perfmodel.cli import run_words

    DATE.set(date)
    OPTION.set("-o")
    return run_words(words)


def _separated(words: list[str]) -> tuple[list[str], str | None, str]:
    """Return the words without the report's own options, its file and its date."""
    own: dict[str, str] = {}
    others: list[str] = []
    ahead = iter(words)
    for word in ahead:
        name, mark, value = word.partition("=")
        if name not in _OWN:
            others.append(word)
            continue
        text = value if mark else next(ahead, None)
        if text is None:
            message = f"{name} has no value"
            raise input_error(message, file="perfmodel report", expected=f"{name} VALUE")
        own[_OWN[name]] = text
    return others, own.get("output"), own.get("date", "")
