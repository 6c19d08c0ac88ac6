"""Output of ``perfmodel schedule``: the schedule, its plan, integer programme and alternatives.

The schedule itself is computed by the public function `perfmodel.schedule.run.schedule`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from perfmodel.atomic import write_text
from perfmodel.cli.answer import Answer, DisplayOverrides
from perfmodel.cli.printing import note
from perfmodel.errors import Fault
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.result import Schedule


@dataclass(kw_only=True)
class ScheduleAnswer(Answer):
    """Output of ``schedule``: a schedule, or a curve of schedules over capacities.

    Parameters
    ----------
    alternatives
        Also show the effect of fusion, tiles, patches and more capacity.
    curve
        Also find every capacity at which the least number of spilled bytes falls, with that number.
    save_plan
        Write the plan to a .json file, which `perfmodel predict --plan` reads.
    lp
        Write the integer programme of the evictions, for the order of this schedule, to an .lp
        file.
    """

    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {"save_plan": (".json",), "lp": (".lp",)}

    alternatives: bool = False
    curve: bool = False
    save_plan: Path | None = None
    lp: Path | None = None

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options; a curve has no plan."""
        faults = super().faults(values)
        capacity = str(values.get("capacity", ""))
        if "," in capacity or ".." in capacity:
            faults += [
                Fault(f"{subject} of one capacity", file=option, expected="a single --capacity")
                for wanted, subject, option in (
                    (self.save_plan, "a plan is", "--save-plan"),
                    (self.lp, "an LP file is", "--lp"),
                    (self.alternatives, "alternatives are", "--alternatives"),
                    (self.curve, "this curve is", "--curve"),
                )
                if wanted
            ]
        if self.curve and (values.get("objective", "bytes") != "bytes" or values.get("tiles")):
            message = "a curve is of fewest bytes, of whole operators"
            expected = "no --tiles, and --objective bytes"
            faults.append(Fault(message, file="--curve", expected=expected))
        return faults

    def overrides(self, result: Schedule | Curve) -> DisplayOverrides:
        """Return the schedule with the requested additions; write the plan and the programme."""
        if isinstance(result, Curve):
            return super().overrides(result)
        self._write(result)
        overrides = DisplayOverrides(
            result.explain() if self.explain else str(result), result.to_dict()
        )
        if self.alternatives:
            changes = result.alternatives()
            overrides.data["alternatives"] = changes.to_records()
            overrides.text += f"\n\n{changes}"
        if self.curve:
            steps = result.curve()
            overrides.data["curve"] = steps.to_dict()
            overrides.text += f"\n\n{steps}"
            overrides.more, overrides.report = (steps.curve,), {"steps": steps}
        return overrides

    def _write(self, result: Schedule) -> None:
        """Write the plan and the integer programme, if requested and available."""
        if self.save_plan is not None:
            if result.feasible:
                write_text(self.save_plan, result.plan.to_json(indent=1) + "\n")
            else:
                note(f"{self.save_plan} is not written: infeasible")
        if self.lp is not None:
            if result.outcome.solution is None:
                note(f"{self.lp} is not written: infeasible")
            elif result.trace.cost_bytes == 0:
                note(f"{self.lp} is not written: everything fits, there is nothing to decide")
            else:
                result.write_lp(self.lp)

    def emit(self, result: Schedule | Curve) -> int:
        """Write and print it; for a curve also the shortfall of infeasible capacities."""
        code = super().emit(result)
        if isinstance(result, Curve):
            # Ascending: the shortfall of the largest infeasible capacity applies to smaller ones
            # too.
            failed = [s.infeasible for s in result.schedules if s.infeasible is not None]
            if failed:
                note(failed[-1].text())
        return code
