"""A metric over two axes: every cell is the best feasible row of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.table import Table


def cell(figure: Any, x: str, y: str) -> float | None:
    (trace,) = figure.data
    return trace.z[list(trace.y).index(y)][list(trace.x).index(x)]


@pytest.mark.parametrize(("metric", "best"), [("tpot_s", np.min), ("tokens_per_s", np.max)])
def test_a_cell_is_the_best_that_fits(grid: Table, metric: str, best: Any) -> None:
    figure = grid.plot.heatmap("batch", "device", metric)
    values = np.asarray(grid[metric], dtype=float)
    everything = [best(values[grid["feasible"]])]
    for batch in (1, 8, 64, 256):
        for device in ("rtx_4090", "jetson_agx_orin", "raspberry_pi_5"):
            mine = (grid["batch"] == batch) & (grid["device"] == device) & grid["feasible"]
            shown = cell(figure, f"{batch}", device)
            if not mine.any():
                assert shown is None
                continue
            # These span more than a factor of thirty: colours go by the logarithm.
            assert shown is not None
            assert 10**shown == pytest.approx(best(values[mine]), rel=1e-12)
    alt = figure.layout.meta["alt"]
    assert "Best: " in alt
    assert math.isfinite(everything[0])
    # Dark is good, whichever way that is.
    assert bool(figure.data[0].reversescale) == (metric == "tokens_per_s")


def test_what_cannot_be_drawn_is_refused(grid: Table) -> None:
    with pytest.raises(InputError) as refused:
        grid.plot.heatmap("bach", "device", "precision")
    assert len(refused.value.faults) == 2
    wide = Table({"a": np.arange(61.0), "b": np.zeros(61), "latency_s": np.ones(61)})
    with pytest.raises(InputError, match="too many values"):
        wide.plot.heatmap("a", "b", "latency_s")
