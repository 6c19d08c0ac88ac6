"""Output of ``predict``, which starts without what the answers of other commands need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfmodel.cli.answer import Answer, DisplayOverrides
from perfmodel.cli.typed_values import Count

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction


@dataclass(kw_only=True)
class PredictionAnswer(Answer):
    """Output of ``predict``: the prediction, and its kernels if they are to be explained.

    Parameters
    ----------
    rows
        Number of kernels that --explain shows in detail.
    """

    rows: Count = 8

    def overrides(self, result: Prediction) -> DisplayOverrides:
        """Return the prediction, with an explanation if requested."""
        if not self.explain:
            return DisplayOverrides()
        arithmetic = result.explain(self.rows)
        data = {**result.to_dict(), "table": result.table.to_records(), "explain": arithmetic}
        return DisplayOverrides(f"{arithmetic}\n\n{result.table}", data)
