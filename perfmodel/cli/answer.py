"""What a command does with the answer of its question: text, JSON, files, pictures, exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli.common import answer, note
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.errors import Fault
from perfmodel.table import Table
from perfmodel.table.result import SUFFIXES


@dataclass
class Shown:
    """How an answer is shown, where that is not its own text, dictionary and table.

    Attributes
    ----------
    text, data, table
        Instead of its text, of its `to_dict` and of its `table`.
    page
        The HTML page of ``--plot``; None where there is nothing to draw.
    report
        Options of its report.
    """

    text: str = ""
    data: Any = None
    table: Table | None = None
    page: str | None = None
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
        Write a picture of the answer to an .html file.
    """

    report: Path | None = None
    json: bool = False
    output: Path | None = None
    plot: Path | None = None

    #: What a row of the answer's table is, such as "kernel".
    ROW: ClassVar[str] = ""
    #: What `--output` writes, where that is not all forms of an answer.
    OUTPUT: ClassVar[str] = ""
    #: What a picture shows; empty where there is none.
    PLOT: ClassVar[str] = ""
    #: Pictures of `--plot`, where the answer has no page of its own.
    PICTURES: ClassVar[tuple[str, ...]] = ()
    #: Forms in which the answer can be written.
    SUFFIXES: ClassVar[tuple[str, ...]] = SUFFIXES
    #: Options that name further files -> their endings.
    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def without(cls) -> set[str]:
        """Return the shared options that the command does not have."""
        return set() if cls.PLOT else {"plot"}

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

    def shown(self, result: Any) -> Shown:
        """Return how the result is shown, and do what else was asked for."""
        return Shown(page=self.page(result) if self.plot is not None else None)

    def page(self, result: Any) -> str:
        """Return the HTML page of the answer's pictures."""
        if not self.PICTURES:
            return result.plot.page()
        from perfmodel.charts.page import page

        charts = [getattr(result.plot, name).chart() for name in self.PICTURES]
        return page(result.headline, result.to_html(), charts)

    def give(self, result: Any) -> int:
        """Write and print a result, and return the exit code."""
        shown = self.shown(result)
        if self.plot is not None and shown.page is not None:
            write_text(self.plot, shown.page)
        elif self.plot is not None:
            note(f"{self.plot} is not written: infeasible")
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
