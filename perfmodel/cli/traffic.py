"""``perfmodel traffic``: the table, and what does not fit the smallest buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from perfmodel.cli import INFEASIBLE
from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import note
from perfmodel.table import Table
from perfmodel.units import show


@dataclass(kw_only=True)
class TrafficAnswer(Answer):
    """Traffic against capacity."""

    ROW: ClassVar[str] = "capacity (with --layers per layer and capacity)"

    def shown(self, result: Table) -> Shown:
        """Return the table and its conventions."""
        shown = result.select(*(name for name in result if name != "model"))
        return Shown(
            f"{shown}\n{result['model'][0]}",
            result.to_records(),
        )

    def give(self, result: Table) -> int:
        """Write and print it; where not even the smallest tile fits, nothing does."""
        code = super().give(result)
        return code if np.all(np.isfinite(result["traffic_bytes"])) else INFEASIBLE

    def after(self, result: Table, ask: Any) -> None:
        """Name the layers of which not even the smallest tile fits the largest such buffer."""
        unfit = ~np.isfinite(result["traffic_bytes"])
        if not unfit.any():
            return
        size = float(result["capacity_bytes"][unfit].max())
        layers = ask(capacity=size, layers=True)
        names = layers["name"][~np.isfinite(layers["traffic_bytes"])]
        note(f"in {show(size, 'bytes')} not even the smallest tile fits: {', '.join(names[:5])}")
