"""Timelines: bars are what runs, lanes say how busy they are."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.charts.activity_lanes import ActivityBar, lanes
from perfmodel.errors import InputError
from perfmodel.schedule.assign import DeviceAssignment, assign


@pytest.fixture(scope="module")
def found() -> DeviceAssignment:
    return assign("mobilenet_v3_small", "kv260", precision="int8")


def test_every_kernel_and_transfer_is_a_bar(found: DeviceAssignment) -> None:
    drawn = found.plot.timeline()
    run = found.result.solution
    assert run is not None
    spans: dict[str, list[tuple[float, float]]] = {}
    for trace in drawn.data:
        for lane, start, length in zip(trace.y, trace.base, trace.x, strict=True):
            spans.setdefault(lane.partition(" (")[0], []).append((start, start + length))
    assert set(spans) == {"dpu", "cpu", "dram"}
    scale = 1e-3
    for e, name in enumerate(found.network.problem.engines):
        mine = sorted(
            (s / scale, t / scale)
            for s, t, k in zip(run.start_s, run.end_s, run.engine, strict=True)
            if k == e
        )
        assert np.array(sorted(spans[name])) == pytest.approx(np.array(mine))
    assert len(spans["dram"]) == len(run.tensor)
    alt = drawn.layout.meta["alt"]
    assert "Timeline of mobilenet_v3_small on the engines of kv260" in alt
    assert f"{found.network.problem.count + len(run.tensor)} bars" in alt
    assert "proved least" in drawn.layout.title.text


def test_lanes_show_what_is_never_used_and_how_busy_the_others_are() -> None:
    bars = [
        ActivityBar("dma", "w", 0.0, 1.0, "transfer"),
        ActivityBar("npu", "conv", 1.0, 4.0, "conv"),
    ]
    drawn = lanes(bars, "Two bars", order=["npu", "dma", "cpu"])
    said = list(drawn.layout.yaxis.categoryarray)
    assert drawn.layout.yaxis.range == (2.5, -0.5)  # the first one on top
    assert said == ["npu (75 %)", "dma (25 %)", "cpu (0.0 %)"]
    assert [trace.name for trace in drawn.data] == ["conv", "transfer"]


def test_what_has_no_length_or_no_sense_is_refused(found: DeviceAssignment) -> None:
    with pytest.raises(InputError, match="nothing runs"):
        lanes([], "Nothing")
    with pytest.raises(InputError, match="'x' ends before it starts"):
        lanes([ActivityBar("a", "x", 2.0, 1.0, "conv")], "Backwards")
    none = assign("vit_b_16", "kv260", precision="int8", engines=["dpu"])
    with pytest.raises(InputError, match="no assignment"):
        none.plot.timeline()
    assert "timeline" in repr(found.plot)


def test_a_moment_alone_is_drawn() -> None:
    drawn = lanes([ActivityBar("a", "x", 1.0, 1.0, "view")], "A moment")
    assert len(drawn.data) == 1
