"""Base class of the output of all commands: text, JSON, files, pictures, report, exit code.

`perfmodel.cli.generated_command` creates an `Answer` from the options typed, lets it compute the
result with the public function, and emits the result. Subclasses override single steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli.printing import note, print_or_save
from perfmodel.cli.report_option import report_faults, write_report
from perfmodel.errors import Fault
from perfmodel.table.result import SUFFIXES

if TYPE_CHECKING:
    from perfmodel.table import Result, Table


@dataclass
class DisplayOverrides:
    """Text, dictionary and table that are output in place of those of the result.

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
        Write the answer as a self-contained HTML file.
    json
        Print the answer as JSON.
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
            Arguments of the public function, by parameter.
        """
        del values
        faults = output_faults(self.output, self.SUFFIXES)
        faults += output_faults(self.plot, (".html",), "--plot")
        for name, suffixes in self.FILES.items():
            option = f"--{name.replace('_', '-')}"
            faults += output_faults(getattr(self, name), suffixes, option)
        return [*faults, *report_faults(self.report)]

    def compute(self, call: Callable[..., Any], values: dict[str, Any]) -> Any:
        """Return the result of the public function.

        Parameters
        ----------
        call
            The public function with its arguments bound.
        values
            The same arguments by parameter, for answers that need more than the function returns.
        """
        del values
        return call()

    def explanation(self, result: Any) -> str:
        """Return the text of the explanation."""
        return result.explain()

    def overrides(self, result: Any) -> DisplayOverrides:
        """Return overrides of the result's output, and carry out further options."""
        if not self.explain:
            return DisplayOverrides()
        text = self.explanation(result)
        return DisplayOverrides(text, {**result.to_dict(), "explain": text} if self.json else None)

    def emit(self, result: Any) -> int:
        """Write and print a result, and return the exit code."""
        overrides = self.overrides(result)
        write_page(self.plot, result, *overrides.more)
        write_report(self.report, result, **overrides.report)
        print_or_save(
            result,
            json=self.json,
            output=self.output,
            text=overrides.text,
            data=overrides.data,
            table=overrides.table,
        )
        return result.exit_code

    def print_remarks(self, result: Any, ask: Callable[..., Any]) -> None:
        """Print remarks after the answer.

        Parameters
        ----------
        ask
            Calls the public function again, with keyword arguments that replace those typed.
        """


def write_page(path: Path | None, result: Result, *more: Result, **options: Any) -> None:
    """Write a page of a result's pictures, if requested and available.

    Parameters
    ----------
    more, options
        As in `perfmodel.charts.result_plots.Plots.page`.
    """
    if path is None:
        return
    others = (each.plot.shown() for each in more)
    if any(True for _ in chain(result.plot.shown(**options), *others)):
        write_text(path, result.plot.page(*more, **options))
    else:
        note(f"{path} is not written: infeasible")
