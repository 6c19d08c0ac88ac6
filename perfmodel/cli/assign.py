"""``perfmodel assign``: the plan of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from perfmodel.atomic import write_text
from perfmodel.cli.answer import Answer, Shown
from perfmodel.schedule.assign import DeviceAssignment


@dataclass(kw_only=True)
class AssignmentAnswer(Answer):
    """Engines of operators.

    Parameters
    ----------
    save_plan
        Write the plan of one run to a .json file.
    """

    ROW: ClassVar[str] = "kernel"
    PLOT: ClassVar[str] = "Write the timeline to an .html file."
    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {"save_plan": (".json",)}

    save_plan: Path | None = None

    def shown(self, result: DeviceAssignment) -> Shown:
        """Write the plan, where there is an assignment."""
        if result.feasible and self.save_plan is not None:
            write_text(self.save_plan, result.plan.to_json(indent=1) + "\n")
        return Shown()
