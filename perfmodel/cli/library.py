"""Answers about the library and about files: lists, sheets, checks, new specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.ask.library import LibraryAnswer
from perfmodel.atomic import write_text
from perfmodel.cli import BAD_INPUT, DONE
from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import fact_value, note, print_json, to_json
from perfmodel.cli.reporting import write_report
from perfmodel.errors import Fault
from perfmodel.hardware.copying.spec import NewSpec, saving_faults
from perfmodel.settings import FaultList
from perfmodel.table import Result
from perfmodel.table.result import SUFFIXES
from perfmodel.table.text import as_text

_YAML = (".yaml", ".yml")


def read_rate(text: str, name: str, faults: FaultList) -> str | float:
    """Read a rate: a plain number is in SI units, as everywhere on the command line."""
    del name, faults
    return fact_value(text)


@dataclass(kw_only=True)
class ListAnswer(Answer):
    """A list, one row per entry."""

    def shown(self, result: Result) -> Shown:
        """Return the rows without a headline."""
        return Shown("\n".join(map(str, result.sections())) or result.headline)


@dataclass(kw_only=True)
class CheckAnswer(ListAnswer):
    """Faults of files."""

    def give(self, result: LibraryAnswer) -> int:
        """Print the valid files, and every fault on stderr."""
        if result.body or self.json or self.output is not None:
            super().give(result)
        note(*(f"error: {fault}" for fault in result.faults))
        return BAD_INPUT if result.faults else DONE


@dataclass(kw_only=True)
class SchemaAnswer(Answer):
    """Answer of ``hardware schema``: JSON."""

    def shown(self, result: LibraryAnswer) -> Shown:
        """Return the JSON also as text."""
        return Shown(to_json(result.data).removesuffix("\n"))


@dataclass(kw_only=True)
class FileAnswer(Answer):
    """An answer that can be written as a file in the library's own format."""

    SUFFIXES: ClassVar[tuple[str, ...]] = (*_YAML, *SUFFIXES)
    OUTPUT: ClassVar[str] = (
        "Write the answer to a file: .yaml in the library's own form, .json and .txt as printed, "
        ".csv and .parquet as a table, .html as a report."
    )

    def give(self, result: LibraryAnswer) -> int:
        """Write and print it."""
        if self.output is None or self.output.suffix not in _YAML or result.spec is None:
            return super().give(result)
        write_text(self.output, result.spec())
        write_report(self.report, result)
        if self.json:
            print_json(result)
        return DONE


@dataclass(kw_only=True)
class SheetAnswer(FileAnswer):
    """A device or a runtime.

    Parameters
    ----------
    yaml
        Print the spec as a file that `check` accepts.
    """

    yaml: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: the output formats are exclusive."""
        faults = super().faults(values)
        if self.yaml and self.json:
            faults.append(Fault("--yaml and --json exclude each other", expected="one of them"))
        return faults

    def shown(self, result: LibraryAnswer) -> Shown:
        """Return the file's text, if requested."""
        if not self.yaml or result.spec is None:
            return Shown()
        return Shown(result.spec().removesuffix("\n"))


@dataclass(kw_only=True)
class WorkloadAnswer(FileAnswer):
    """A model.

    Parameters
    ----------
    operators
        List the operators (JSON always does).
    """

    operators: bool = False

    def shown(self, result: LibraryAnswer) -> Shown:
        """Return the operators below the sheet, if requested."""
        table = result.table
        return Shown(f"{result}\n\n{as_text(table, rows=len(table))}" if self.operators else "")


@dataclass(kw_only=True)
class NewSpecAnswer(Answer):
    """A spec of a device of one's own.

    Parameters
    ----------
    force
        Replace a file that is there.
    """

    OUTPUT: ClassVar[str] = "File to write; NAME.yaml by default."

    force: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults that prevent writing the file, and store its path."""
        name = str(values.get("name", ""))
        plain = name.replace("_", "").isalnum() and len(name) < 100
        self._place = self.output or Path(f"{name if plain else 'device'}.yaml")
        return saving_faults(self._place, self.force)

    def give(self, result: NewSpec) -> int:
        """Write the spec, and print the copied and the changed facts."""
        result.save(self._place, force=self.force)
        self.output = None
        return super().give(result)

    def shown(self, result: NewSpec) -> Shown:
        """Return the copied and the changed facts, with the file."""
        data = {"file": str(self._place), **result.to_dict()}
        return Shown(f"{self._place}: {result}", data)
