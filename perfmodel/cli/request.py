"""``perfmodel request`` and ``perfmodel serve``: times of one question or of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from perfmodel.cli.answer import Answer
from perfmodel.cli.common import Count
from perfmodel.errors import Fault


@dataclass(kw_only=True)
class RequestAnswer(Answer):
    """A request, or several.

    Parameters
    ----------
    rows
        How many kernels --explain opens in each phase.
    """

    ROW: ClassVar[str] = "question"
    PLOT: ClassVar[str] = "Write what takes the time of prompt and answer to an .html file."
    EXPLAIN: ClassVar[str] = "Show how the parts add up, and the kernels of both phases."
    #: What may have several values.
    SIZES: ClassVar[tuple[str, ...]] = ("prompt", "generate", "batch")

    rows: Count = 4

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the options: one request is explained."""
        faults = super().faults(values)
        if self.explain and any(np.size(values.get(name, 0)) > 1 for name in self.SIZES):
            *first, last = self.SIZES
            faults.append(
                Fault(
                    "shows the arithmetic of one request",
                    file="--explain",
                    expected=f"one {', '.join(first)} and {last}",
                )
            )
        return faults

    def explained(self, result: Any) -> str:
        """Return the arithmetic."""
        return result.explain(self.rows)


@dataclass(kw_only=True)
class LoadAnswer(RequestAnswer):
    """A server under a load, or under several.

    Parameters
    ----------
    rows
        How many kernels --explain opens in each phase.
    """

    ROW: ClassVar[str] = "load"
    PLOT: ClassVar[str] = "Write parts of TTFT and TPOT, and both over load, to an .html file."
    SIZES: ClassVar[tuple[str, ...]] = ("prompt", "generate", "concurrency")
