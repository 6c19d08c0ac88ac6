"""Output of ``perfmodel hardware``, ``workload`` and ``format``: lists, sheets, checks, new specs.

The contents are computed by `perfmodel.ask.library`, `perfmodel.ask.sheets` and
`perfmodel.hardware.own`; the classes here print them or write them as YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.ask.library import LibraryAnswer
from perfmodel.atomic import write_text
from perfmodel.cli import BAD_INPUT, DONE
from perfmodel.cli.answer import Answer, DisplayOverrides
from perfmodel.cli.printing import note, print_json, to_json
from perfmodel.cli.report_option import write_report
from perfmodel.cli.typed_values import fact_value
from perfmodel.errors import Fault
from perfmodel.hardware.spec_copy.device_copy import NewSpec, saving_faults
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
    """Output of lists: one row per entry, without a headline."""

    def overrides(self, result: Result) -> DisplayOverrides:
        """Return the rows without a headline."""
        return DisplayOverrides("\n".join(map(str, result.sections())) or result.headline)


@dataclass(kw_only=True)
class CheckAnswer(ListAnswer):
    """Output of checks: valid files on stdout, faults on stderr, exit code 2 if there are any."""

    def emit(self, result: LibraryAnswer) -> int:
        """Print the valid files, and every fault on stderr."""
        if result.body or self.json or self.output is not None:
            super().emit(result)
        note(*(f"error: {fault}" for fault in result.faults))
        return BAD_INPUT if result.faults else DONE


@dataclass(kw_only=True)
class SchemaAnswer(Answer):
    """Output of ``hardware schema``: JSON."""

    def overrides(self, result: LibraryAnswer) -> DisplayOverrides:
        """Return the JSON also as text."""
        return DisplayOverrides(to_json(result.data).removesuffix("\n"))


@dataclass(kw_only=True)
class FileAnswer(Answer):
    """Output of an answer that can also be written as YAML in the form of the library's files."""

    SUFFIXES: ClassVar[tuple[str, ...]] = (*_YAML, *SUFFIXES)
    OUTPUT: ClassVar[str] = (
        "Write the answer to a file: .yaml in the form of the library's files, .json or .txt as "
        "printed, .csv or .parquet as a table, .html as a report."
    )

    def emit(self, result: LibraryAnswer) -> int:
        """Write and print it."""
        if self.output is None or self.output.suffix not in _YAML or result.spec is None:
            return super().emit(result)
        write_text(self.output, result.spec())
        write_report(self.report, result)
        if self.json:
            print_json(result)
        return DONE


@dataclass(kw_only=True)
class SheetAnswer(FileAnswer):
    """Output of ``hardware show``: facts of a device or a runtime.

    Parameters
    ----------
    yaml
        Print the spec as a YAML file that `perfmodel hardware check` accepts.
    """

    yaml: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: the output formats are exclusive."""
        faults = super().faults(values)
        if self.yaml and self.json:
            faults.append(Fault("--yaml and --json exclude each other", expected="one of them"))
        return faults

    def overrides(self, result: LibraryAnswer) -> DisplayOverrides:
        """Return the file's text, if requested."""
        if not self.yaml or result.spec is None:
            return DisplayOverrides()
        return DisplayOverrides(result.spec().removesuffix("\n"))


@dataclass(kw_only=True)
class WorkloadAnswer(FileAnswer):
    """Output of ``workload show`` and ``import``: counts and operators of a model.

    Parameters
    ----------
    operators
        Also list the operators (JSON always contains them).
    """

    operators: bool = False

    def overrides(self, result: LibraryAnswer) -> DisplayOverrides:
        """Return the operators below the sheet, if requested."""
        table = result.table
        return DisplayOverrides(
            f"{result}\n\n{as_text(table, rows=len(table))}" if self.operators else ""
        )


@dataclass(kw_only=True)
class NewSpecAnswer(Answer):
    """Output of ``hardware new``: the new spec file, with the facts copied and changed.

    Parameters
    ----------
    force
        Replace an existing file.
    """

    OUTPUT: ClassVar[str] = "File to write. By default NAME.yaml."

    force: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults that prevent writing the file, and store its path."""
        name = str(values.get("name", ""))
        plain = name.replace("_", "").isalnum() and len(name) < 100
        self._place = self.output or Path(f"{name if plain else 'device'}.yaml")
        return saving_faults(self._place, self.force)

    def emit(self, result: NewSpec) -> int:
        """Write the spec, and print the copied and the changed facts."""
        result.save(self._place, force=self.force)
        self.output = None
        return super().emit(result)

    def overrides(self, result: NewSpec) -> DisplayOverrides:
        """Return the copied and the changed facts, with the file."""
        data = {"file": str(self._place), **result.to_dict()}
        return DisplayOverrides(f"{self._place}: {result}", data)
