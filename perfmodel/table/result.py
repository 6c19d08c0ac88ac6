"""The base of every answer: what a result states, and what follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from perfmodel.asked import asked_for
from perfmodel.atomic import output_faults, write_text
from perfmodel.catalog import BUILT_IN, plots_of, write_report
from perfmodel.errors import InputError
from perfmodel.table.html import items, labels, paragraph, preformatted
from perfmodel.table.plain import json_text, plain, with_remarks
from perfmodel.table.text import as_text, data_table, labelled, shortened

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

#: What an answer is: something fits, nothing does, or time ran out before that was known.
Verdict = Literal["ok", "infeasible", "not decided"]
#: Rows of a table in a text; more are read from a file.
_ROWS = 1000
_EXIT_CODES: dict[Verdict, int] = {"ok": 0, "infeasible": 1, "not decided": 3}
#: Forms in which any result is written.
SUFFIXES = (".json", ".csv", ".parquet", ".txt", ".html")


class ShownPicture(NamedTuple):
    """A picture on the page and in the report of a result.

    Attributes
    ----------
    name
        Of the picture among those of such results.
    words
        A sentence to read it by.
    options
        Arguments of the picture.
    """

    name: str
    words: str = ""
    options: Mapping[str, Any] = {}


class Result:
    """What a public function answers with.

    A result states

    - `headline`, what it is of and, where a line can say so, the answer;
    - `glance`, the numbers that a reader looks for first, with their labels;
    - `cautions`, what a reader must know beside them;
    - `sections`, what stands below: tables, and paragraphs of text;
    - `attributes`, those that are its JSON, or a `to_dict` of its own; and `table`, its rows;
    - `feasible` and `decided`, whether something fits and whether that is known;
    - `noun`, what such a result is called: the name of its pictures and of its report in
      `perfmodel.catalog`; and `pictures`, those that show it, where that is not all of them;
    - `explain`, the arithmetic or the proof behind the answer, where there is more than it says.

    Everything else follows: ``str`` is all of it as text and ``repr`` at most 15 lines of that; a
    notebook shows HTML; `to_json` is strict; `save` writes whatever the name of the file says;
    `exit_code` is that of the command line; it pickles. Where ``str`` is no such list, a class
    writes its own.

    `perfmodel.testing.check_result` holds an object to all of this.
    """

    noun: ClassVar[str] = ""
    attributes: ClassVar[Sequence[str]] = ()

    # what a result states

    @property
    def headline(self) -> str:
        """What it is of, and the answer where a line can say it."""
        raise NotImplementedError

    def glance(self) -> Sequence[tuple[str, str]]:
        """Return (label, text) pairs of the numbers that a reader looks for first."""
        return ()

    def cautions(self) -> Sequence[str]:
        """Return what a reader must know: ``! ...`` where it cannot be so, else ``note: ...``."""
        return ()

    def sections(self) -> Iterable[str | Table]:
        """Return what stands below the numbers, one after another."""
        return ()

    def html_sections(self) -> str:
        """Return `sections` as HTML."""
        return "".join(
            preformatted(part) if isinstance(part, str) else data_table(part, most=20, sorts=False)
            for part in self.sections()
        )

    def pictures(self) -> Sequence[ShownPicture] | None:
        """Return the pictures of its page and report; ``None`` for all that need nothing else."""
        return None

    def explain(self) -> str:
        """Return the arithmetic or the proof behind the answer, as far as there is one."""
        return str(self)

    def to_dict(self) -> Any:
        """Return everything, ready for JSON: plain values, what is not known as ``None``."""
        return plain({name: getattr(self, name) for name in self.attributes})

    @cached_property
    def table(self) -> Table:
        """The answer as rows; of a result that is no list, one row with its numbers and texts."""
        from perfmodel.table.columnar import Table

        single = {
            name: np.nan if value is None else value
            for name, value in self.to_dict().items()
            if value is None or isinstance(value, str | bool | int | float)
        }
        return Table({name: [value] for name, value in single.items()})

    @property
    def feasible(self) -> Any:
        """Whether something fits; an array where the answer has many points."""
        return True

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return True

    # what follows from it

    @property
    def verdict(self) -> Verdict:
        """``ok``, ``infeasible``, or ``not decided``: time ran out before it was known."""
        if np.any(self.feasible):
            return "ok"
        return "infeasible" if self.decided else "not decided"

    @property
    def exit_code(self) -> int:
        """Exit code of the command that answers with it: 0 ok, 1 infeasible, 3 not decided."""
        return _EXIT_CODES[self.verdict]

    @property
    def question(self) -> str:
        """The call that gave it, as Python has it; empty where it cannot be written down."""
        return asked_for(self)

    @property
    def plot(self) -> Any:
        """Its pictures, a method for each, which returns a plotly figure.

        Raises
        ------
        AttributeError
            There are none of such a result.
        """
        if f"perfmodel.{self.noun}_plots" not in BUILT_IN:
            raise AttributeError(f"{type(self).__name__} has no pictures; its numbers: .table")
        return plots_of(self, self.noun)

    def report(self, path: str | Path, asked: Any = None, **options: Any) -> None:
        """Write a report, one HTML file that needs nothing else.

        Parameters
        ----------
        path, asked
            As for `perfmodel.report.base`.
        **options
            What such a report takes beside, such as ``best`` and ``pareto`` of a sweep.
        """
        write_report(self.noun, self, path, asked, **options)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict` as strict JSON."""
        return json_text(with_remarks(self.to_dict()), indent=indent)

    def save(
        self, path: str | Path, *, text: str = "", data: Any = None, table: Table | None = None
    ) -> None:
        """Write it to a file, whole or not at all, in the form that the name ends in.

        Parameters
        ----------
        path
            ``.json`` has `to_dict`, ``.csv`` and ``.parquet`` the `table`, ``.html`` the report,
            ``.txt`` (and a pipe without a suffix) the text that is printed.
        text, data, table
            Instead of its own text, dictionary and table.

        Raises
        ------
        InputError
            The file cannot be written there, or its name says no form.
        InfeasibleError
            A table is wanted of an answer that has none, since nothing fits.

        Examples
        --------
        >>> import perfmodel as pm
        >>> pm.predict("resnet18", "a100").save("resnet18.json")  # doctest: +SKIP
        """
        faults = output_faults(path, SUFFIXES, "path")
        if faults:
            raise InputError(faults)
        match Path(path).suffix:
            case ".json":
                answer = json_text(with_remarks(data), indent=2) if data else self.to_json(indent=2)
                write_text(path, answer + "\n")
            case ".csv" | ".parquet":
                (self.table if table is None else table).write(path)
            case ".html":
                self.report(path)
            case _:
                write_text(path, (text or str(self)) + "\n")

    def __str__(self) -> str:
        lines = [self.headline, *labelled(self.glance())]
        lines += [f"  {caution}" for caution in self.cautions()]
        below = [p if isinstance(p, str) else as_text(p, _ROWS) for p in self.sections()]
        return "\n\n".join(["\n".join(lines), *below])

    def __repr__(self) -> str:
        return shortened(str(self), "print(result), or result.save('answer.txt')")

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return it as an HTML fragment that needs no style sheet and no script."""
        head = paragraph(self.headline) + items(self.cautions(), "note")
        return f"<div>{head}{labels(self.glance())}{self.html_sections()}</div>"
