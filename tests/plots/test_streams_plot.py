"""Streams and placements drawn: bars are the numbers of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.charts.streams import pipeline_timeline
from perfmodel.errors import InputError
from perfmodel.schedule.stream import Load, pipeline


def test_a_placement_in_its_levels() -> None:
    found = pm.place(
        "qwen3_30b_a3b",
        "ufs_4_phone",
        precision="w4a16",
        set={"phase": "decode"},
        popularity=0.9,
        cached="dram",
        capacities={"dram": "8 GB"},
    )
    figure: Any = found.plot.levels()
    shares = {t.name: dict(zip(t.y, t.x, strict=True)) for t in figure.data if t.xaxis != "x2"}
    for level in found.levels:
        stored = sum(
            r.stored_bytes for r in found.rows if r.level == level.name and r.role == "weight"
        )
        assert shares["weights"][level.name] == pytest.approx(100 * stored / level.capacity_bytes)
        used = found.used_bytes[level.name] + found.cache_bytes.get(level.name, 0)
        filled = sum(part[level.name] for part in shares.values())
        assert filled == pytest.approx(100 * used / level.capacity_bytes)
        assert used <= level.capacity_bytes
    assert shares["cache of experts"]["dram"] > 50
    (seconds,) = [t for t in figure.data if t.xaxis == "x2"]
    assert dict(zip(seconds.y, seconds.x, strict=True)) == found.level_s
    assert "storage holds" in figure.layout.meta["alt"]
    with pytest.raises(InputError, match="too much"):
        pm.place("llama_3_70b", "rtx_4090", precision="w4a16").plot.levels()


def test_a_stream_over_time() -> None:
    found = pm.stream("llama_3_8b", "ufs_4_phone", precision="w4a16", memory="3 GB", runs=3)
    figure: Any = found.plot.timeline(loads=20)
    line = found.timeline
    assert line is not None
    chosen = [i for i in line.order if line.items[i].name.startswith("2/")][:20]
    (transfers,) = [t for t in figure.data if t.meta["kind"] == "transfer"]
    (work,) = [t for t in figure.data if t.meta["kind"] == "compute"]
    loaded = [line.items[i].io_s for i in chosen if line.items[i].io_s > 0]
    scale = 1e-3 if "(ms)" in figure.layout.xaxis.title.text else 1.0
    assert np.array(transfers.x) * scale == pytest.approx(loaded)
    assert len(work.x) == sum(line.items[i].compute_s > 0 for i in chosen)
    assert min((*transfers.base, *work.base)) == 0.0
    assert "from storage" in figure.layout.title.text
    with pytest.raises(InputError, match="no run"):
        found.plot.timeline(run=3)
    small = pm.stream("llama_3_8b", "ufs_4_phone", precision="w4a16", memory="1 MB")
    with pytest.raises(InputError, match="nothing was simulated"):
        small.plot.timeline()


def test_a_pipeline_over_time() -> None:
    items = [Load("a", 2.0, 1.0), Load("there", 0.0, 1.0), Load("b", 1.0, 3.0)]
    figure: Any = pipeline_timeline(pipeline(items, slots=2))
    bars = {
        (t.meta["kind"], name.partition(" (")[0]): (base, width)
        for t in figure.data
        for name, base, width in zip(t.hovertext, t.base, t.x, strict=True)
    }
    assert bars == {
        ("transfer", "a"): (0.0, 2.0),
        ("transfer", "b"): (2.0, 1.0),
        ("compute", "a"): (2.0, 1.0),
        ("compute", "there"): (3.0, 1.0),
        ("compute", "b"): (4.0, 3.0),
    }
