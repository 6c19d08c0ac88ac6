"""Map of a memory: rectangles where the buffers lie, the bytes alive, the capacity."""

from __future__ import annotations

import json
import random

import pytest

from perfmodel.charts import style
from perfmodel.charts.memory_map import Stay, memory_map
from perfmodel.errors import InputError
from perfmodel.schedule.allocate import Allocation, Lifetime, allocate
from tests.schedule.allocate.packings import full


@pytest.fixture(scope="module")
def found() -> Allocation:
    return allocate(full(random.Random(4), 40, 500, 30), 500)


def test_rectangles_are_the_buffers(found: Allocation) -> None:
    drawn = found.plot.memory_map()
    bars, load = drawn.data
    corners = {
        (x - w / 2, x + w / 2, base, base + y)
        for x, w, base, y in zip(bars.x, bars.width, bars.base, bars.y, strict=True)
    }
    assert corners == {
        (b.lower, b.upper, found.offsets[b.id], found.offsets[b.id] + b.size_bytes)
        for b in found.buffers
    }
    # Cut from a full rectangle: the load is the capacity at every moment, and so is the area.
    assert set(load.y) == {500}
    assert sum(w * y for w, y in zip(bars.width, bars.y, strict=True)) == 500 * 30
    assert drawn.layout.shapes[0].y0 == 500
    assert drawn.layout.yaxis.range[1] >= 500
    alt = drawn.layout.meta["alt"]
    assert "40 rectangles" in alt
    assert "capacity 500 B, 0 beyond it" in alt
    assert "no packing is lower" in drawn.layout.title.text
    assert "NaN" not in drawn.to_json()
    json.loads(drawn.to_json())
    assert "memory_map" in repr(found.plot)


def test_what_lies_beyond_the_capacity_is_outlined() -> None:
    lives = [Lifetime("a", 0, 2, 60), Lifetime("b", 1, 3, 50), Lifetime("c", 0, 3, 1, offset=0)]
    drawn = allocate(lives, 100).plot.memory_map()
    outlines = {
        text.split("<br>")[0]: color
        for trace in drawn.data[:-1]
        for text, color in zip(trace.hovertext, trace.marker.line.color, strict=True)
    }
    assert sorted(outlines.values()) == [style.VERMILION, "white", "white"]
    assert outlines["c"] == "white"
    assert [trace.name for trace in drawn.data] == ["free to move", "held", "bytes alive"]
    assert max(drawn.data[-1].y) == 111
    assert "1 beyond it" in drawn.layout.meta["alt"]
    assert "infeasible" in drawn.layout.title.text


def test_stays_of_a_schedule() -> None:
    """A tensor may come and go, and be of a kind."""
    stays = [Stay("w", 0, 9, 0, 64), ("x", 0, 2, 64, 64), ("x", 5, 7, 128, 64)]
    drawn = memory_map(stays, 256, kinds={"w": "weights"}, time="step", title="On chip")
    assert [trace.name for trace in drawn.data] == ["weights", "other", "bytes alive"]
    assert list(drawn.data[1].base) == [64, 128]
    assert list(drawn.data[-1].x) == [0, 2, 5, 7, 9]
    assert list(drawn.data[-1].y) == [128, 64, 128, 64, 64]
    assert drawn.layout.xaxis.title.text == "step"
    assert list(drawn.data[0].text) == ["w"]


def test_a_capacity_far_above_is_named_and_not_drawn() -> None:
    stays = [Stay("a", 0, 2, 0, 100), Stay("b", 1, 3, 100, 100)]
    near, far = memory_map(stays, 800), memory_map(stays, 801)
    assert near.layout.shapes[0].y0 == 800
    assert near.layout.yaxis.range[1] > 800
    assert not far.layout.shapes
    assert 200 < far.layout.yaxis.range[1] < 220
    (note,) = far.layout.annotations
    assert note.text == "capacity<br>801 B,<br>far above"
    assert note.y == 200


def test_nothing_and_nonsense_are_refused() -> None:
    with pytest.raises(InputError, match="nothing lies"):
        memory_map([])
    with pytest.raises(InputError) as caught:
        memory_map([("a", 2, 2, 0, 1), ("b", 0, 1, -1, 1), ("c", 0, 1, 0, 1)])
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="no buffers"):
        allocate([]).plot.memory_map()
