"""Pareto: the front, the infeasible and the best are those of the table's own questions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.charts.sweeps import DRAWN
from perfmodel.errors import InputError
from perfmodel.table import Table


def rows_of(figure: Any, **wanted: Any) -> list[int]:
    found: list[int] = []
    for trace in figure.data:
        meta = trace.meta or {}
        if all(meta.get(key) == value for key, value in wanted.items()):
            found += [int(i) for i in trace.ids]
    return found


@pytest.mark.parametrize(
    ("x", "y"), [("tpot_s", "energy_j"), ("tpot_s", "tokens_per_s"), ("tokens_per_s", "energy_j")]
)
def test_the_front_is_the_table_s(grid: Table, x: str, y: str) -> None:
    figure = grid.plot.pareto(x, y)
    front = grid[np.array(rows_of(figure, front=True))]
    wanted = grid.pareto(x, y)
    assert sorted(front["tpot_s"]) == sorted(wanted["tpot_s"])
    assert len(front) == len(wanted) > 1
    for trace in figure.data:
        for i, px, py in zip(trace.ids, trace.x, trace.y, strict=True):
            assert (px, py) == (grid[x][int(i)], grid[y][int(i)])


def test_every_row_is_drawn_and_what_does_not_fit_is_apart(grid: Table) -> None:
    figure = grid.plot.pareto("tpot_s", "energy_j")
    fits = sorted(rows_of(figure, feasible=True))
    assert fits == np.flatnonzero(grid["feasible"]).tolist()
    assert sorted(rows_of(figure, feasible=False)) == np.flatnonzero(~grid["feasible"]).tolist()
    assert len(fits) not in (0, len(grid))
    names = {t.name for t in figure.data if t.meta.get("feasible")}
    assert names == set(grid["device"][grid["feasible"]])


def test_the_best_under_a_limit(grid: Table) -> None:
    limit = "tpot_s <= 60 ms"
    figure = grid.plot.pareto("tpot_s", "energy_j", under=limit, best="tokens_per_s")
    (star,) = rows_of(figure, best=True)
    wanted = grid.where(limit).best("tokens_per_s")
    assert wanted is not None
    assert grid[star] == wanted
    assert (
        sorted(rows_of(figure, within=True, feasible=True))
        == np.flatnonzero(grid["feasible"] & (grid["tpot_s"] <= 0.06)).tolist()
    )
    assert f"{wanted.device}" in figure.layout.meta["alt"]
    assert any("<b>" in (note.text or "") for note in figure.layout.annotations)


def test_no_row_within_the_limit(grid: Table) -> None:
    figure = grid.plot.pareto("tpot_s", "energy_j", under="tpot_s <= 1 us")
    assert rows_of(figure, best=True) == []
    assert "No point that fits meets tpot_s <= 1 us" in figure.layout.meta["alt"]


def test_bad_columns_and_limits_come_back_together(grid: Table) -> None:
    with pytest.raises(InputError) as found:
        grid.plot.pareto("tpt_s", "device", under="tpot_s <= 5 GB", color="devise")
    text = str(found.value)
    for part in ("tpot_s", "holds texts", "GB", "did you mean 'device'"):
        assert part in text


def test_labels_leave_out_what_follows_from_another_axis() -> None:
    square = ["engines.array.height", "engines.array.width"]
    capacity, bandwidth = "memories.sram.capacity", "memories.dram.bandwidth"
    axes = {name: [64, 8] for name in square} | {capacity: ["64 KiB", "1 MiB"]}
    table = pm.sweep(
        "mobilenet_v2",
        "scale_sim_32x32",
        {**axes, bandwidth: ["1 GB/s", "8 GB/s"]},
        zip=[square],
        metrics=["latency_s", "utilization"],
    )
    figure = table.plot.pareto(bandwidth, "latency_s")
    texts = [note.text for note in figure.layout.annotations if "height" in (note.text or "")]
    assert len(texts) == len(set(texts)) > 1
    assert all(" GB/s" in text and ", width" not in text for text in texts)


def test_a_large_sweep_is_thinned_but_keeps_its_front() -> None:
    n = 3 * DRAWN
    random = np.random.default_rng(0)
    table = Table({"latency_s": random.uniform(1, 2, n), "energy_j": random.uniform(1, 2, n)})
    figure = table.plot.pareto("latency_s", "energy_j")
    drawn = rows_of(figure, feasible=True)
    assert len(drawn) <= DRAWN + len(table.pareto("latency_s", "energy_j"))
    assert len(rows_of(figure, front=True)) == len(table.pareto("latency_s", "energy_j"))
    assert "left out" in figure.layout.title.text
