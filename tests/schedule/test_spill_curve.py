"""The curve of a schedule against schedules at every single capacity."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.schedule.spill_curve import SpillStaircase


def drawn(seed: int) -> dict[str, Any]:
    """A graph of eleven operators with sizes of 1 to 9 bytes; each reads one or two before it."""
    draw = random.Random(seed)
    operators: list[dict[str, Any]] = []
    for i in range(11):
        inputs = sorted(draw.sample(range(i), min(i, draw.choice((1, 1, 2)))))
        operators.append(
            {
                "name": f"o{i}",
                "inputs": inputs,
                "output_size": draw.randint(1, 9),
                "inplace": None,
                "free_store": i in (0, 10),
            }
        )
    return {"name": f"drawn{seed}", "unit": "B", "operators": operators}


@pytest.mark.parametrize("seed", [1, 3, 6, 8, 9, 13, 14])
def test_every_step_is_where_single_schedules_have_it(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(drawn(seed)))
    whole = sum(operator["output_size"] for operator in drawn(seed)["operators"])
    found = pm.schedule(str(path), capacity=whole).curve()
    assert found.exact
    table = found.curve.table
    steps = {int(row.capacity_bytes): row.spill_bytes + row.reload_bytes for row in table.rows()}
    single = {size: pm.schedule(str(path), capacity=size) for size in range(1, whole + 1)}
    fitting = {size: s.trace.cost_bytes for size, s in single.items() if s.feasible}
    assert min(fitting) == min(steps)
    for size, cost in fitting.items():
        assert cost == min(moved for least, moved in steps.items() if least <= size), size
    # As few rows as there are costs.
    assert sorted(steps.values()) == sorted(set(fitting.values()))


def test_it_says_what_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(drawn(14)))
    asked = pm.schedule(str(path), capacity=60)
    whole = asked.curve()
    assert whole.curve.table["capacity_bytes"].tolist() == [17, 19, 22]
    monkeypatch.setattr("perfmodel.schedule.spill_curve._MOST", 1)
    rough: SpillStaircase = asked.curve()
    assert not rough.exact
    assert rough.curve.table["capacity_bytes"].tolist() == [17, 22]
    assert rough.resolution_bytes > 1
    assert "may be missing" in repr(rough)
    # What it has is true all the same: no step lies below the whole curve.
    known = {
        row.capacity_bytes: row.spill_bytes + row.reload_bytes for row in whole.curve.table.rows()
    }
    for row in rough.curve.table.rows():
        least = min(moved for size, moved in known.items() if size <= row.capacity_bytes)
        assert row.spill_bytes + row.reload_bytes >= least


def test_a_curve_is_of_fewest_bytes(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(drawn(1)))
    with pytest.raises(InputError, match="no curve is made of schedules of 'peak'"):
        pm.schedule(str(path), capacity=60, objective="peak").curve()
