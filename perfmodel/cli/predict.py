"""``perfmodel predict``: the arithmetic behind an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import Count
from perfmodel.prediction import Prediction


@dataclass(kw_only=True)
class PredictionAnswer(Answer):
    """A prediction.

    Parameters
    ----------
    rows
        How many kernels --explain opens.
    """

    ROW: ClassVar[str] = "kernel"
    PLOT: ClassVar[str] = (
        "Write the kernels under the roofline, what binds them, and memory over time to an .html "
        "file."
    )
    EXPLAIN: ClassVar[str] = (
        "Show the arithmetic behind the latency, with sources, and the table of kernels."
    )

    rows: Count = 8

    def shown(self, result: Prediction) -> Shown:
        """Return the prediction, explained where that is asked for."""
        if not self.explain:
            return Shown()
        arithmetic = result.explain(self.rows)
        data = {**result.to_dict(), "table": result.table.to_records(), "explain": arithmetic}
        return Shown(f"{arithmetic}\n\n{result.table}", data)
