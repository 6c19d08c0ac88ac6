"""The command line: ``perfmodel``.

Exit codes: 0 done, 1 infeasible, 2 bad input or an answer that could not be printed, 3 not decided
within the limit. Results go to stdout; faults, notes and progress to stderr.
"""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Sequence

from perfmodel.cli.streams import console, failure, prepare, silence

__all__ = ["BAD_INPUT", "DONE", "INFEASIBLE", "UNDECIDED", "main", "run_words"]

DONE = 0
INFEASIBLE = 1
BAD_INPUT = 2
#: Nothing that fits was found within the limit, nor proved not to be there.
UNDECIDED = 3
#: As shells report a program that a signal ended.
INTERRUPTED = 130
BROKEN_PIPE = 141
_HELP = frozenset({"--help", "-h", "--version"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    if arguments is None:
        prepare()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = contextvars.copy_context().run(_typed, given)
        error = failure()
    except BrokenPipeError as broken:
        code, error = DONE, broken
    except KeyboardInterrupt:
        code, error = INTERRUPTED, failure()
        sys.stderr.write("interrupted\n")
    if error is None:
        return code
    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):
        # The reader has gone (`perfmodel ... | head`): say nothing.
        return BROKEN_PIPE
    if code in (BAD_INPUT, INTERRUPTED):
        return code
    return _refuse(f"standard output: {error.strerror}")


def _typed(given: list[str]) -> int:
    """Run what was typed; a report says it, and remarks on its settings follow."""
    from perfmodel.cli.reporting import TYPED
    from perfmodel.settings import REMARKS

    TYPED.set(tuple(given))
    said: list[str] = []
    REMARKS.set(said)
    code = run_words(given)
    for remark in said if code != BAD_INPUT else ():
        sys.stderr.write(f"note: {remark}\n")
    return code


def run_words(given: list[str]) -> int:
    """Run a command line and return its exit code; its faults are told on stderr."""
    from cyclopts.exceptions import CycloptsError

    from perfmodel.cli.app import app
    from perfmodel.errors import InputError, PerfmodelError

    given = _of_today(given)
    try:
        code = app(
            given,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
            console=console() if _asks_for_help(given) else None,
        )
    except CycloptsError as error:
        from perfmodel.cli.refusal import parse_faults

        return _refuse(*map(str, parse_faults(error, given)))
    except InputError as error:
        return _refuse(*map(str, error.faults))
    except PerfmodelError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{place}{error.strerror or error}")
    except (MemoryError, RecursionError, OverflowError) as error:
        return _refuse(f"the input is too large or too deep ({type(error).__name__}: {error})")
    except Exception as error:
        if os.environ.get("PERFMODEL_DEBUG"):
            raise
        return _refuse(
            f"internal error, which is a bug: {type(error).__name__}: {error} "
            "(PERFMODEL_DEBUG=1 shows where)"
        )
    return code if isinstance(code, int) else DONE


def _of_today(given: list[str]) -> list[str]:
    """Return a command line with options of today in place of their former names."""
    from perfmodel.cli.app import FORMER

    former = FORMER.get(given[0] if given else "", {})
    words: list[str] = []
    for word in given:
        name, mark, value = word.partition("=")
        today = former.get(name)
        if today is not None:
            sys.stderr.write(f"note: {name} of perfmodel {given[0]} is called {today} now\n")
        words.append(word if today is None else f"{today}{mark}{value}")
    return words


def _asks_for_help(given: list[str]) -> bool:
    """Whether the parser itself may print; else rich need not be loaded."""
    from perfmodel.cli.app import COMMANDS

    return not given or given[0] not in COMMANDS or not _HELP.isdisjoint(given)


def _refuse(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    return BAD_INPUT
