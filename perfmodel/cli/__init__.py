"""The command line: ``perfmodel``.

Exit codes: 0 done, 1 infeasible, 2 bad input or unwritable output, 3 not decided within the limit.
Results go to stdout; faults, notes and progress to stderr.
"""

from __future__ import annotations

import contextvars
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.cli.postponed_imports import postpone_imports
from perfmodel.cli.streams import console, failure, prepare, silence

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["BAD_INPUT", "DONE", "INFEASIBLE", "UNDECIDED", "main", "run_words"]

DONE = 0
INFEASIBLE = 1
BAD_INPUT = 2
#: Neither a feasible answer nor a proof of infeasibility was found within the limit.
UNDECIDED = 3
#: Exit codes that shells report for programs ended by a signal.
INTERRUPTED = 130
BROKEN_PIPE = 141
_HELP = frozenset({"--help", "-h", "--version"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line words; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    only = arguments is None
    if only:
        prepare()
        _quick_start()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = contextvars.copy_context().run(_typed, words, only)
        error = failure()
    except BrokenPipeError as broken:
        code, error = DONE, broken
    except KeyboardInterrupt:
        code, error = INTERRUPTED, failure()
        sys.stderr.write("interrupted\n")
    if only:
        # The interpreter looks for cycles once more when it exits, although all memory is freed.
        gc.freeze()
    if error is None:
        return code
    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):
        # The reader has closed the pipe (`perfmodel ... | head`): no message.
        return BROKEN_PIPE
    if code in (BAD_INPUT, INTERRUPTED):
        return code
    return _refuse(f"standard output: {error.strerror}")


def _quick_start() -> None:
    """Postpone work of the interpreter and of pydantic that no command needs.

    Imports and specs make some hundred thousand objects that live as long as the process: the first
    look for cycles among them waits until a command has made more. Plug-ins of pydantic observe
    validation, and a search for them reads the metadata of every installed distribution.
    """
    postpone_imports()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(200_000, 20, 20)
    gc.callbacks.append(_collect_as_usual)


def _collect_as_usual(_phase: str, _state: dict[str, int]) -> None:
    """Spare what exists at the first look for cycles, and look for later ones more often.

    Modules, specs and the graph of the network live as long as the process; looking through them
    once took longer than making a schedule of them.
    """
    gc.callbacks.remove(_collect_as_usual)
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _typed(words: list[str], only: bool) -> int:
    """Run the typed command, record it for reports, and print remarks on its settings."""
    from perfmodel.cli.report_option import ONLY, TYPED
    from perfmodel.settings import REMARKS

    TYPED.set(tuple(words))
    ONLY.set(only)
    remarks: list[str] = []
    REMARKS.set(remarks)
    code = run_words(words)
    for remark in remarks if code != BAD_INPUT else ():
        sys.stderr.write(f"note: {remark}\n")
    return code


def run_words(words: list[str]) -> int:
    """Run a command line and return its exit code; faults are printed on stderr."""
    from cyclopts.exceptions import CycloptsError

    from perfmodel.cli.app import app
    from perfmodel.errors import InputError, PerfmodelError

    words = _of_today(words)
    try:
        code = app(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
            console=_help_console() if _asks_for_help(words) else None,
        )
    except CycloptsError as error:
        from perfmodel.cli.parse_faults import parse_faults

        return _refuse(*map(str, parse_faults(error, words)))
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


def _of_today(typed: list[str]) -> list[str]:
    """Return a command line with former option names replaced by current ones."""
    from perfmodel.cli.app import FORMER

    former = FORMER.get(typed[0] if typed else "", {})
    words: list[str] = []
    for word in typed:
        name, mark, value = word.partition("=")
        today = former.get(name)
        if today is not None:
            sys.stderr.write(f"note: {name} of perfmodel {typed[0]} is called {today} now\n")
        words.append(word if today is None else f"{today}{mark}{value}")
    return words


def _asks_for_help(words: list[str]) -> bool:
    """Return whether the parser itself may print; if not, rich need not be loaded."""
    from perfmodel.cli.app import COMMANDS

    return not words or words[0] not in COMMANDS or not _HELP.isdisjoint(words)


def _help_console() -> Console:
    """Return the console for help, and make the parser print it in our format."""
    from perfmodel.cli.app import app
    from perfmodel.cli.help_formatter import Flowing

    app.help_formatter = Flowing()
    return console()


def _refuse(*lines: str) -> int:
    """Print lines as errors, and return the exit code of bad input."""
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    return BAD_INPUT
