"""``perfmodel request``: the arithmetic of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import Count
from perfmodel.errors import Fault
from perfmodel.system.request import Request


@dataclass(kw_only=True)
class RequestAnswer(Answer):
    """A request, or several.

    Parameters
    ----------
    explain
        Show how the parts add up, and the kernels of both phases.
    rows
        How many kernels --explain opens in each phase.
    """

    ROW: ClassVar[str] = "question"

    explain: bool = False
    rows: Count = 4

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the options: one request is explained."""
        faults = super().faults(values)
        sizes = [values[name] for name in ("prompt", "generate", "batch") if name in values]
        if self.explain and any(np.size(size) > 1 for size in sizes):
            faults.append(
                Fault(
                    "shows the arithmetic of one request",
                    file="--explain",
                    expected="one prompt, generate and batch",
                )
            )
        return faults

    def shown(self, result: Request) -> Shown:
        """Return the arithmetic, where that is asked for."""
        if not self.explain:
            return Shown()
        text = result.explain(self.rows)
        return Shown(text, {**result.to_dict(), "explain": text})
