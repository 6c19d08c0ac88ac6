"""Output of ``perfmodel calibrate``: multipliers as an overlay file, and the next measurements.

The multipliers are fitted by the public function `perfmodel.evaluate.calibration.calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from perfmodel.atomic import write_text
from perfmodel.calibrate import Calibration
from perfmodel.calibrate.next_rows import NextMeasurements
from perfmodel.cli import DONE
from perfmodel.cli.answer import Answer
from perfmodel.cli.printing import print_json, say
from perfmodel.cli.report_option import write_report
from perfmodel.cli.typed_values import listed
from perfmodel.errors import Fault


@dataclass(kw_only=True)
class CalibrationAnswer(Answer):
    """Output of ``calibrate``: multipliers, and on request the next measurements.

    Parameters
    ----------
    next
        Propose this many further measurements (by default one): those that would narrow the
        predictions most, each chosen after the ones before it.
    candidates
        Models that may be measured, separated by commas. By default a varied list of the library's
        models of the type that was measured.
    targets
        Models whose predictions are to be narrowed, separated by commas. By default the candidates.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".yaml", ".yml")
    OUTPUT: ClassVar[str] = (
        "Write the multipliers to a .yaml file, for perfmodel predict --overlay."
    )

    next: list[int] | None = None
    candidates: str | None = None
    targets: str | None = None

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options, including options that require others."""
        faults = super().faults(values)
        if "measurements" not in values and self.next is None:
            expected = "one, or --device and --next: what to measure"
            faults.append(Fault("no file of measurements", expected=expected))
        faults += [
            Fault("applies to proposed measurements only", file=f"--{name}", expected="--next")
            for name, text in (("candidates", self.candidates), ("targets", self.targets))
            if text is not None and self.next is None
        ]
        return faults

    def compute(
        self, call: Callable[..., Any], values: dict[str, Any]
    ) -> tuple[Calibration, NextMeasurements | None]:
        """Return the calibration, and the next measurements if requested."""
        del values
        candidates = listed(self.candidates) or ()
        result: Calibration = call(models=candidates)
        if self.next is None:
            return result, None
        count = self.next[0] if self.next else 1
        return result, result.next(count, candidates, listed(self.targets) or ())

    def emit(self, result: tuple[Calibration, NextMeasurements | None]) -> int:
        """Write the overlay, and print the multipliers with the next measurements."""
        calibration, following = result
        if self.output is not None:
            write_text(self.output, calibration.to_yaml())
        write_report(self.report, calibration)
        if self.json:
            more: dict[str, Any] = {} if following is None else following.to_dict()
            print_json({**calibration.to_dict(), **more})
        elif following is not None:
            say(f"{calibration}\n{following}")
        elif self.output is None:
            say(str(calibration))
        return DONE
