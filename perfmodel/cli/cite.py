"""``perfmodel cite``: BibTeX beside text and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from perfmodel.atomic import write_text
from perfmodel.cli import DONE
from perfmodel.cli.answer import Answer
from perfmodel.cli.common import say, to_json
from perfmodel.errors import Fault
from perfmodel.prediction.cited import Citations


@dataclass(kw_only=True)
class CitationsAnswer(Answer):
    """Documents.

    Parameters
    ----------
    bibtex
        Print BibTeX.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".txt", ".json", ".bib")

    bibtex: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the options: there is one form."""
        faults = super().faults(values)
        if self.bibtex and self.json:
            faults.append(Fault("--bibtex and --json exclude each other", expected="one of them"))
        return faults

    def give(self, result: Citations) -> int:
        """Write or print the documents in the form asked for."""
        form = self.output.suffix if self.output is not None else ""
        if self.bibtex or form == ".bib":
            text = result.bibtex()
        elif self.json or form == ".json":
            text = to_json(result.to_dict())
        else:
            text = f"{result}\n"
        if self.output is not None:
            write_text(self.output, text)
        else:
            say(text.removesuffix("\n"))
        return DONE
