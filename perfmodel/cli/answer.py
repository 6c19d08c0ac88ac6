"""What a command does with the answer of its question: text, JSON, files, pictures, exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli.common import answer, note
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.errors import Fault
from perfmodel.table import Result, Table
from perfmodel.table.result import SUFFIXES


@dataclass
class Shown:
    """How an answer is shown, where that is not its own text, dictionary and table.

    Attributes
    ----------
    text, data, table
        Instead of its text, of its `to_dict` and of its `table`.
    more
        Further results whose pictures are drawn.
    report
        Options of its report.
    """

    text: str = ""
    data: Any = None
    table: Table | None = None
    more: tuple[Result, ...] = ()
    report: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(kw_only=True)
class Answer:
    """What every command does with its answer. A subclass adds options as fields.

    Parameters
    ----------
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the answer to a file.
    plot
        Write pictures of the answer to an .html file.
    explain
        Print the arithmetic or the proof behind the answer.
    """

    report: Path | None = None
    json: bool = False
    output: Path | None = None
    plot: Path | None = None
    explain: bool = False

    #: What `--output` writes, where that is not all forms of an answer.
    OUTPUT: ClassVar[str] = ""
    #: Forms in which the answer can be written.
    SUFFIXES: ClassVar[tuple[str, ...]] = SUFFIXES
    #: Options that name further files -> their endings.
    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the options of the answer.

        Parameters
        ----------
        values
            What the question is asked with, by parameter.
        """
        del values
        faults = output_faults(self.output, self.SUFFIXES)
        faults += output_faults(self.plot, (".html",), "--plot")
        for name, suffixes in self.FILES.items():
            option = f"--{name.replace('_', '-')}"
            faults += output_faults(getattr(self, name), suffixes, option)
        return [*faults, *report_faults(self.report)]

    def ask(self, call: Callable[..., Any], values: dict[str, Any]) -> Any:
        """Ask the question.

        Parameters
        ----------
        call
            The public function with what was typed.
        values
            The same by parameter, for an answer that needs more of it than the function returns.
        """
        del values
        return call()

    def explained(self, result: Any) -> str:
        """Return the explanation that is printed."""
        return result.explain()

    def shown(self, result: Any) -> Shown:
        """Return how the result is shown, and do what else was asked for."""
        if not self.explain:
            return Shown()
        text = self.explained(result)
        return Shown(text, {**result.to_dict(), "explain": text} if self.json else None)

    def give(self, result: Any) -> int:
        """Write and print a result, and return the exit code."""
        shown = self.shown(result)
        write_page(self.plot, result, *shown.more)
        write_report(self.report, result, **shown.report)
        answer(
            result,
            json=self.json,
            output=self.output,
            text=shown.text,
            data=shown.data,
            table=shown.table,
        )
        return result.exit_code

    def after(self, result: Any, ask: Callable[..., Any]) -> None:
        """Say what is to be said after the answer.

        Parameters
        ----------
        ask
            Asks the question again, with parameters that are given in place of those typed.
        """


def write_page(path: Path | None, result: Result, *more: Result, **options: Any) -> None:
    """Write a page of a result's pictures, where it is asked for and there are some.

    Parameters
    ----------
    more, options
        As for `perfmodel.charts.face.Plots.page`.
    """
    if path is None:
        return
    others = (each.plot.shown() for each in more)
    if any(True for _ in chain(result.plot.shown(**options), *others)):
        write_text(path, result.plot.page(*more, **options))
    else:
        note(f"{path} is not written: infeasible")
