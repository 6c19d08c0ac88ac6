"""Output of a command's answer: text, JSON, files, pictures, exit code."""

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
    """Overrides of an answer's own text, dictionary and table.

    Attributes
    ----------
    text, data, table
        Replacements for its text, its `to_dict` and its `table`.
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
    """Options common to all commands, and their effect; subclasses add options as fields.

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

    #: Help text of `--output`, if it does not write all forms of an answer.
    OUTPUT: ClassVar[str] = ""
    #: Suffixes of files in which the answer can be written.
    SUFFIXES: ClassVar[tuple[str, ...]] = SUFFIXES
    #: Options for further files -> their suffixes.
    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the answer's options.

        Parameters
        ----------
        values
            Arguments of the question, by parameter.
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
            The public function with its arguments bound.
        values
            The same arguments by parameter, for answers that need more than the function returns.
        """
        del values
        return call()

    def explained(self, result: Any) -> str:
        """Return the text of the explanation."""
        return result.explain()

    def shown(self, result: Any) -> Shown:
        """Return overrides of the result's output, and carry out further options."""
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
        """Print remarks after the answer.

        Parameters
        ----------
        ask
            Repeats the question, with keyword arguments replacing those typed.
        """


def write_page(path: Path | None, result: Result, *more: Result, **options: Any) -> None:
    """Write a page of a result's pictures, if requested and available.

    Parameters
    ----------
    more, options
        As in `perfmodel.charts.face.Plots.page`.
    """
    if path is None:
        return
    others = (each.plot.shown() for each in more)
    if any(True for _ in chain(result.plot.shown(**options), *others)):
        write_text(path, result.plot.page(*more, **options))
    else:
        note(f"{path} is not written: infeasible")
