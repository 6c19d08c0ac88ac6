"""Output of ``perfmodel validate``: prediction errors, the accuracy page, the evidence file.

The errors are computed by the public function `perfmodel.evaluate.validate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.atomic import write_text
from perfmodel.cli import DONE
from perfmodel.cli.answer import Answer, write_page
from perfmodel.cli.printing import note, print_json, say
from perfmodel.cli.report_option import write_report
from perfmodel.errors import Fault
from perfmodel.evaluate import Validations, data_folder, evidence_of, reproduce


@dataclass(kw_only=True)
class ValidationAnswer(Answer):
    """Output of ``validate``. Large errors are a result, not a failure: the exit code is 0.

    Parameters
    ----------
    trust
        Write a page (Markdown) with the errors of all predictions, including those of published
        results.
    evidence
        Write the residuals by runtime (YAML), from which prediction intervals and their basis
        follow.
    """

    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "trust": (".md",),
        "evidence": (".yaml", ".yml"),
    }

    trust: Path | None = None
    evidence: Path | None = None

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options, and store the location of the data."""
        self.data, self.suffix = values.get("data"), values.get("suffix", "")
        return super().faults(values)

    def emit(self, result: Validations) -> int:
        """Write the requested pages, and print the errors."""
        if self.output is not None:
            result.save(self.output)
        known: Any = evidence_of(result) if self.trust or self.evidence else None
        if self.evidence is not None:
            write_text(self.evidence, known.to_yaml())
        if self.trust is not None:
            from perfmodel.evaluate.trust import trust_page

            root = data_folder(self.data, self.suffix).root
            write_text(self.trust, trust_page(result, reproduce(), root, known))
        if result:
            write_page(self.plot, result, *result)
            write_report(self.report, result)
        if self.json:
            print_json(result)
        elif self.output is None and self.trust is None and self.evidence is None:
            say(*map(str, result))
        if not result:
            note("no data set was found")
        return DONE
