"""Base class of every result: a subclass states its parts, and all output forms follow.

A public function returns a subclass that states a headline, the most important numbers, cautions,
sections and a table. From these `Result` derives text, HTML, JSON, files, the report and the exit
code of the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from perfmodel.atomic import output_faults, write_text
from perfmodel.call_record import recorded_call
from perfmodel.catalog import BUILT_IN, plots_of, write_report
from perfmodel.errors import InputError
from perfmodel.table.json_values import json_text, plain, with_remarks
from perfmodel.table.text import as_text, data_table, labelled_lines, shorten

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

#: Outcome: something fits, nothing does, or time ran out before that was known.
Verdict = Literal["ok", "infeasible", "not decided"]
#: Largest number of rows of a table in a text.
_ROWS = 1000
_EXIT_CODES: dict[Verdict, int] = {"ok": 0, "infeasible": 1, "not decided": 3}
#: File formats of any result.
SUFFIXES = (".json", ".csv", ".parquet", ".txt", ".html")


class ShownPicture(NamedTuple):
    """A picture on the page and in the report of a result.

    Attributes
    ----------
    name
        Name of the picture among those of such results.
    words
        A sentence that explains it.
    options
        Arguments of the picture.
    """

    name: str
    words: str = ""
    options: Mapping[str, Any] = {}


class Result:
    """The answer of a public function.

    A subclass states

    - `headline`, the subject and, if one line can contain it, the answer;
    - `glance`, the most important numbers, with their labels;
    - `cautions`, remarks that qualify them;
    - `sections`, the text below: tables, and paragraphs;
    - `attributes`, those in its JSON, or its own `to_dict`; and `table`, its rows;
    - `feasible` and `decided`, whether something fits and whether that is known;
    - `noun`, the name of the kind of result: that of its pictures and of its report in
      `perfmodel.catalog`; and `pictures`, its default pictures, if not all of them;
    - `explain`, the arithmetic or the proof behind the answer, if there is any.

    Everything else is derived: ``str`` is all of it as text and ``repr`` at most 15 lines of that;
    a notebook shows HTML; `to_json` is strict; `save` writes the format of the file's suffix;
    `exit_code` is that of the command line; it pickles. A class whose text has another form
    overrides ``__str__``.

    `perfmodel.testing.check_result` verifies this interface for an object.
    """

    noun: ClassVar[str] = ""
    attributes: ClassVar[Sequence[str]] = ()

    # stated by subclasses

    @property
    def headline(self) -> str:
        """Subject, and the answer if one line can contain it."""
        raise NotImplementedError

    def glance(self) -> Sequence[tuple[str, str]]:
        """Return (label, text) pairs of the most important numbers."""
        return ()

    def cautions(self) -> Sequence[str]:
        """Return qualifying remarks: ``! ...`` if the answer is infeasible, else ``note: ...``."""
        return ()

    def sections(self) -> Iterable[str | Table]:
        """Return the parts below the numbers, in order."""
        return ()

    def html_sections(self) -> str:
        """Return `sections` as HTML."""
        from perfmodel.table.html import preformatted

        return "".join(
            preformatted(part) if isinstance(part, str) else data_table(part, most=20, sorts=False)
            for part in self.sections()
        )

    def pictures(self) -> Sequence[ShownPicture] | None:
        """Return the pictures of its page and report; ``None`` for all without required options."""
        return None

    def explain(self) -> str:
        """Return the arithmetic or the proof behind the answer, if there is any."""
        return str(self)

    def to_dict(self) -> Any:
        """Return all contents as JSON-ready values, unknown ones as ``None``."""
        return plain({name: getattr(self, name) for name in self.attributes})

    @cached_property
    def table(self) -> Table:
        """The answer as rows; for a result that is not a list, one row of its numbers and texts."""
        from perfmodel.table.columnar import Table

        single = {
            name: np.nan if value is None else value
            for name, value in self.to_dict().items()
            if value is None or isinstance(value, str | bool | int | float)
        }
        return Table({name: [value] for name, value in single.items()})

    @property
    def feasible(self) -> Any:
        """Whether something fits; an array if the answer has many points."""
        return True

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a solution was found, or proved not to exist."""
        return True

    # derived

    @property
    def verdict(self) -> Verdict:
        """``ok``, ``infeasible``, or ``not decided``: time ran out before it was known."""
        if np.any(self.feasible):
            return "ok"
        return "infeasible" if self.decided else "not decided"

    @property
    def exit_code(self) -> int:
        """Exit code of the command that returns it: 0 ok, 1 infeasible, 3 not decided."""
        return _EXIT_CODES[self.verdict]

    @property
    def question(self) -> str:
        """The Python call that returned it; empty if it cannot be written down."""
        return recorded_call(self)

    @property
    def plot(self) -> Any:
        """Its pictures, one method each, which returns a plotly figure.

        Raises
        ------
        AttributeError
            Such results have no pictures.
        """
        if f"perfmodel.{self.noun}_plots" not in BUILT_IN:
            raise AttributeError(f"{type(self).__name__} has no pictures; its numbers: .table")
        return plots_of(self, self.noun)

    def report(self, path: str | Path, invocation: Any = None, **options: Any) -> None:
        """Write a report, one self-contained HTML file.

        Parameters
        ----------
        path, invocation
            As for `perfmodel.report.base`.
        **options
            Further options of the report, such as ``best`` and ``pareto`` of a sweep.
        """
        write_report(self.noun, self, path, invocation, **options)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict` as strict JSON."""
        return json_text(with_remarks(self.to_dict()), indent=indent)

    def save(
        self, path: str | Path, *, text: str = "", data: Any = None, table: Table | None = None
    ) -> None:
        """Write it to a file atomically, in the format of the suffix.

        Parameters
        ----------
        path
            ``.json`` has `to_dict`, ``.csv`` and ``.parquet`` the `table`, ``.html`` the report,
            ``.txt`` (and a pipe without a suffix) the printed text.
        text, data, table
            Replacements for its own text, dictionary and table.

        Raises
        ------
        InputError
            The file cannot be written there, or its suffix is unknown.
        InfeasibleError
            A table is requested of an infeasible answer without one.

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
        lines = [self.headline, *labelled_lines(self.glance())]
        lines += [f"  {caution}" for caution in self.cautions()]
        below = [p if isinstance(p, str) else as_text(p, _ROWS) for p in self.sections()]
        return "\n\n".join(["\n".join(lines), *below])

    def __repr__(self) -> str:
        return shorten(str(self), "print(result), or result.save('answer.txt')")

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return an HTML fragment that needs no style sheet and no script."""
        from perfmodel.table.html import items, labelled_table, paragraph

        head = paragraph(self.headline) + items(self.cautions(), "note")
        return f"<div>{head}{labelled_table(self.glance())}{self.html_sections()}</div>"
