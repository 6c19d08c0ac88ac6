"""Plots of schedules: rectangles are what is held, marks are what moves, the curve is proved."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.charts.schedule_memory import COLORS, MOVED, ResidencyRectangle, pieces
from perfmodel.errors import InputError
from perfmodel.schedule import problem_from_graph
from perfmodel.schedule.allocate import Lifetime, allocate
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.latency.timeline import required_stores
from perfmodel.schedule.result import Schedule
from perfmodel.units import parse
from tests.draws import draws
from tests.schedule.random_graphs import random_workload

KIB = 1024


def schedule(*arguments: Any, **options: Any) -> Schedule:
    """Return a schedule at one capacity."""
    found = pm.schedule(*arguments, **options)
    assert isinstance(found, Schedule)
    return found


def curve(*arguments: Any, **options: Any) -> Curve:
    """Return schedules at several."""
    found = pm.schedule(*arguments, **options)
    assert isinstance(found, Curve)
    return found


@pytest.fixture(scope="module")
def timed() -> Schedule:
    """With addresses, seconds, a spill and reloads."""
    found = schedule("transformer_base", "gemmini_16x16", capacity="384 KiB", precision="int8")
    assert found.spill_bytes
    return found


@pytest.fixture(scope="module")
def large() -> Schedule:
    """541 steps, many outputs in place, no addresses."""
    found = schedule("nasnet_a_mobile", capacity=788544, method="greedy", addresses=False)
    return found


@pytest.fixture(scope="module")
def over() -> Curve:
    sizes = ["512 KiB", "640 KiB", "772 KiB", "832 KiB", "900 KiB", "1280 KiB"]
    found = curve("nasnet_a_mobile", capacity=sizes, method="greedy", addresses=False)
    return found


def check(figure: Any) -> None:
    """Assert what each figure promises."""
    alt = figure.layout.meta["alt"]
    assert len(alt) > 60
    assert re.search(r"\d", alt)
    assert "<br>" not in alt
    assert "NaN" not in figure.to_json()
    json.loads(figure.to_json())
    assert figure.layout.title.text.startswith("<b>")


def part(trace: Any) -> str | None:
    meta: dict[str, Any] = trace.meta or {}
    return meta.get("part")


def held(found: list[ResidencyRectangle], at: float) -> int:
    return sum(p.size for p in found if p.lower <= at < p.upper)


def assert_apart(found: list[ResidencyRectangle]) -> None:
    """No two rectangles share a byte at a time."""
    for at in sorted({p.lower for p in found}):
        alive = sorted((p.offset, p.size) for p in found if p.lower <= at < p.upper)
        for (offset, size), (after, _) in pairwise(alive):
            assert offset + size <= after


def assert_held(s: Schedule, found: list[ResidencyRectangle]) -> None:
    """At each step the rectangles are as high as the replay counted."""
    heights = [max(held(found, k + 0.25), held(found, k + 0.75)) for k in range(len(s.order))]
    assert heights == list(s.trace.held_bytes)


def test_rectangles_are_what_the_replay_holds(timed: Schedule, large: Schedule) -> None:
    for s in (timed, large):
        found = pieces(s)
        assert any(p.lower % 1 for p in found)  # an output in the place of its input
        assert_held(s, found)
        assert_apart(found)
    stacked = pieces(large)
    # Stacked without gaps: as high as what is held.
    for k in range(len(large.order)):
        tops = [p.offset + p.size for p in stacked if p.lower <= k + 0.25 < p.upper]
        assert max(tops) == held(stacked, k + 0.25)


@pytest.mark.parametrize("weights", ["streamed", "scratch"])
def test_rectangles_of_random_graphs(weights: problem_from_graph.Weights) -> None:
    for seed in range(draws(25)):
        network = random_workload(random.Random(seed), 9)
        least = schedule(network, capacity=1, precision="int8", weights=weights)
        for room in (least.working_set_bytes, 2 * least.working_set_bytes):
            for addresses in (True, False):
                s = schedule(
                    network,
                    capacity=room,
                    precision="int8",
                    weights=weights,
                    method="greedy",
                    addresses=addresses,
                )
                found = pieces(s)
                assert_held(s, found)
                assert_apart(found)
                if s.layout is not None and s.layout.packed:
                    assert max(p.offset + p.size for p in found) <= room


def test_the_map_lies_at_the_addresses(timed: Schedule) -> None:
    figure: Any = timed.plot.memory()
    check(figure)
    drawn: Counter[tuple[str, int, int]] = Counter()
    for trace in figure.data:
        if trace.type == "bar":
            assert trace.marker.color == COLORS[trace.name]
            for said, base, high in zip(trace.hovertext, trace.base, trace.y, strict=True):
                name = re.match(r"<b>(.*?)</b>", said)
                assert name
                drawn[name[1], base, high] += 1
    stays = timed.residency
    assert drawn == Counter(
        (str(n), int(a), int(size))
        for n, a, size in zip(stays["tensor"], stays["address"], stays["size_bytes"], strict=True)
        if size
    )
    line = figure.layout.shapes[0]
    assert line.y0 == timed.capacity_bytes == 384 * KIB
    alive = next(t for t in figure.data if t.name == "bytes alive")
    assert max(alive.y) == timed.peak_bytes
    assert "address" in figure.layout.yaxis.title.text
    assert "proved: no schedule can spill fewer bytes" in figure.layout.title.text


def test_a_part_of_the_map(large: Schedule) -> None:
    figure: Any = large.plot.memory(steps=(0, 20))
    inside = [t for t in figure.data if t.type == "bar"]
    ends = [(x - w / 2, x + w / 2) for t in inside for x, w in zip(t.x, t.width, strict=True)]
    assert min(lower for lower, _ in ends) == 0
    assert max(upper for _, upper in ends) == 20  # what stays on is cut, so that names are in view
    check(figure)
    assert tuple(figure.layout.xaxis.range) == (0, 20)
    bars = [t for t in figure.data if t.type == "bar"]
    drawn = sum(len(t.x) for t in bars)
    assert drawn == sum(p.lower < 20 for p in pieces(large)) < len(pieces(large))
    spilled = next(t for t in figure.data if t.name == "spill")
    assert len(spilled.x) <= sum(i.spilled for i in large.trace.intervals)
    for wrong in ((20, 20), (-1, 4), (0, 10_000)):
        with pytest.raises(InputError, match="are not positions of the order"):
            large.plot.memory(steps=wrong)


@pytest.mark.parametrize("name", ["timed", "large"])
def test_marks_are_the_spills_and_reloads(name: str, request: pytest.FixtureRequest) -> None:
    s: Schedule = request.getfixturevalue(name)
    figure: Any = s.plot.memory()
    check(figure)
    counted = {"spill": s.spill_bytes, "reload": s.reload_bytes}
    sizes = {b.name: b.size_bytes for b in s.problem.buffers}
    for trace in figure.data:
        if trace.name in counted:
            tensors = [said.partition(" of ")[2].rpartition(": ")[0] for said in trace.hovertext]
            assert sum(sizes[t] for t in tensors) == counted.pop(trace.name)
    assert counted == {}
    moved = {p.name for p in pieces(s) if p.kind == MOVED}
    stays = s.trace.intervals
    assert moved == {s.problem.buffers[i.buffer].name for i in stays if i.spilled or i.reloaded}
    # A line from each place that a tensor left to the one where it comes back.
    gone = next(t for t in figure.data if t.name == "off chip")
    assert len([x for x in gone.x if x is None]) == sum(i.reloaded for i in stays)
    for begin, end in zip(gone.x[::3], gone.x[1::3], strict=True):
        assert begin <= end


def test_a_timeline_is_the_simulations(timed: Schedule) -> None:
    figure: Any = timed.plot.timeline()
    check(figure)
    assert timed.timing is not None
    line = timed.timing.timeline
    spent = {t.name: float(np.sum(t.x)) for t in figure.data}
    # Whatever the unit of the axis: shares of it.
    unit = {"time (ms)": 1e-3, "time (us)": 1e-6, "time (s)": 1.0}[figure.layout.xaxis.title.text]
    assert spent["compute"] * unit == pytest.approx(line.compute_s)
    moves = sum(v for k, v in spent.items() if k != "compute")
    assert moves * unit == pytest.approx(line.dma_s)
    counts = {t.name: len(t.x) for t in figure.data}
    must = required_stores(timed.problem)
    what = Counter(r.what for r in line.rows)
    outputs = sum(r.what == "store" and r.index in must for r in line.rows)
    assert counts == {
        "compute": what["run"],
        "input": what["load"],
        "weights": what["stream"],
        "reload": what["reload"],
        "output": outputs,
        "spill": what["store"] - outputs,
    }
    ends = max(float(np.max(np.add(t.base, t.x))) for t in figure.data)
    assert ends * unit == pytest.approx(timed.latency_s)


def test_what_tiles_move_is_told_apart() -> None:
    found = schedule("mobilenet_v2", "gemmini_16x16", precision="int8", tiles=True)
    figure: Any = found.plot.timeline()
    check(figure)
    counts = {t.name: len(t.x) for t in figure.data}
    # The image comes in tiles; what leaves at the end is whole.
    assert set(counts) == {"compute", "tiles", "weights", "output"}
    assert counts["output"] == 1
    assert found.tiled is not None
    assert counts["tiles"] >= len(found.tiled.tilings)
    assert "more for tiles" in figure.layout.title.text
    bytes_of = {"B": 1, "KiB": KIB, "MiB": KIB**2}
    moved = 0.0
    for trace in figure.data:
        for said in trace.hovertext if trace.name == "tiles" else ():
            number, unit = said.rpartition("<br>")[2].split()
            moved += float(number) * bytes_of[unit]
    # Tiles carry what they move beyond the compulsory, and the weights of their operators.
    assert moved >= found.tile_bytes


def test_without_seconds_it_is_the_order(large: Schedule) -> None:
    figure: Any = large.plot.timeline()
    check(figure)
    assert figure.layout.xaxis.title.text == "step of the order"
    by_kind = {t.name: t for t in figure.data}
    steps = by_kind["compute"]
    names = [large.problem.steps[n].name for n in large.script.order]
    loads = [large.problem.steps[n].load for n in large.script.order]
    assert [said.partition(" (")[0] for said in steps.hovertext] == [
        n for n, load in zip(names, loads, strict=True) if not load
    ]
    reloads = by_kind["reload"]
    assert len(reloads.x) == sum(i.reloaded for i in large.trace.intervals)
    # Those of one step share its unit.
    firsts = Counter(int(b) for b in reloads.base)
    assert firsts == Counter(i.first for i in large.trace.intervals if i.reloaded)
    for base, wide in zip(reloads.base, reloads.x, strict=True):
        assert wide == pytest.approx(1 / firsts[int(base)])


def test_side_by_side(timed: Schedule) -> None:
    roomy = schedule("transformer_base", "gemmini_16x16", capacity="1 MiB", precision="int8")
    figure: Any = timed.plot.compare(roomy)
    check(figure)
    maps = [{t.xaxis for t in figure.data if t.name == name} for name in ("kept", "bytes alive")]
    assert maps == [{"x", "x2"}] * 2
    bars = {t.meta["part"]: t for t in figure.data if part(t)}
    assert list(bars["spill"].x) == [timed.spill_bytes, 0]
    assert list(bars["reload"].x) == [timed.reload_bytes, 0]
    assert list(bars["spill"].y) == ["384 KiB", "1 MiB"]
    both = [np.add(bars["engine works"].x, bars["engine waits"].x)]
    assert both[0] == pytest.approx([timed.latency_s, roomy.latency_s])
    assert "1 MiB spills and reloads 384 KiB fewer" in figure.layout.title.text
    named: Any = timed.plot.compare(timed, ("a", "b"))
    assert "as many bytes" in named.layout.title.text
    assert [n.text for n in named.layout.annotations][:2] == ["<b>a</b>", "<b>b</b>"]


def test_side_by_side_without_seconds(large: Schedule) -> None:
    figure: Any = large.plot.compare(large)
    check(figure)
    assert not any(part(t) == "engine works" for t in figure.data)
    assert figure.layout.xaxis3.domain == (0.0, 1.0)


def test_the_curve_is_possible_and_its_shade_is_not(over: Curve) -> None:
    figure: Any = over.plot.curve()
    check(figure)
    by_what: dict[str, list[Any]] = {}
    for trace in figure.data:
        by_what.setdefault(trace.meta["what"], []).append(trace)
    line = by_what["line"][0]
    fitting = [s for s in over.schedules if s.feasible]
    assert len(fitting) == 4
    assert all(np.diff(line.y) <= 0)

    def possible(capacity: float) -> float:
        return min(y for x, y in zip(line.x, line.y, strict=True) if x <= capacity)

    for s in fitting:
        assert s.capacity_bytes is not None
        assert s.lower_bound_bytes <= possible(s.capacity_bytes) <= s.trace.cost_bytes
        # Each step of the line is a schedule that runs in so much.
        again = schedule(
            "nasnet_a_mobile",
            capacity=s.peak_bytes,
            incumbent=s.script,
            method="greedy",
            addresses=False,
        )
        assert again.trace.cost_bytes <= s.trace.cost_bytes
    failed = by_what["failed"][0]
    assert list(failed.x) == [512 * KIB, 640 * KIB]
    assert figure.layout.shapes[0].x1 == fitting[0].working_set_bytes
    points = {x: y for t in by_what["points"] for x, y in zip(t.x, t.y, strict=True)}
    assert points == {float(s.capacity_bytes or 0): float(s.trace.cost_bytes) for s in fitting}
    words = [note.text or "" for note in figure.layout.annotations]
    said = next(text for text in words if "no spill" in text)
    free = float(parse(said.partition("from ")[2], "bytes"))
    assert free == pytest.approx(fitting[-1].peak_bytes, rel=1e-3)


def test_bounds_are_shaded_and_seconds_below() -> None:
    found = curve(
        "transformer_base",
        "gemmini_16x16",
        precision="int8",
        capacity=["384 KiB", "448 KiB", "512 KiB"],
    )
    figure: Any = found.plot.curve()
    check(figure)
    bound = next(t for t in figure.data if t.meta["what"] == "bound")
    assert list(bound.y)[1:] == [s.lower_bound_bytes for s in found.schedules]
    assert list(bound.x)[1:] == [s.capacity_bytes for s in found.schedules]
    latency = next(t for t in figure.data if t.meta["what"] == "latency")
    assert list(latency.y)[:-1] == [s.latency_s for s in found.schedules]
    proved = next(t for t in figure.data if t.name == "found, proved best")
    assert len(proved.x) == 3


def test_what_does_not_fit_shows_what_each_step_needs() -> None:
    none = schedule("mobilenet_v2", capacity="256 KiB")
    figure: Any = none.plot.demand()
    check(figure)
    heights = {x: y for t in figure.data for x, y in zip(t.x, t.y, strict=True)}
    assert [heights[i] for i in range(len(heights))] == list(none.problem.working_set_bytes)
    over = next(t for t in figure.data if t.meta["over"])
    assert all(y > 256 * KIB for y in over.y)
    # The text above the figure on the page counts the same steps: loads of inputs do not run.
    assert f"{len(over.x)} of {len(heights) - 1} steps" in figure.layout.title.text
    assert f"{len(heights) - 1} steps" in none.plot.page()
    for name in ("memory", "timeline"):
        with pytest.raises(InputError, match="there is no schedule"):
            getattr(none.plot, name)()
    with pytest.raises(InputError, match="no schedule"):
        none.plot.compare(none)
    fits: Any = schedule("mobilenet_v2", capacity="2 MiB").plot.demand()
    assert "every step by itself fits" in fits.layout.title.text
    free: Any = schedule("mobilenet_v2", objective="peak").plot
    assert "largest working set is 1.436 MiB" in free.demand().layout.title.text
    assert not free.memory().layout.shapes
    nothing = curve("mobilenet_v2", capacity=["64 KiB", "128 KiB"])
    with pytest.raises(InputError, match="nothing fits"):
        nothing.plot.curve()
    assert "needs too much" in nothing.plot.page()


class Page(HTMLParser):
    """Collects tags, and whether they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_need_nothing_else(timed: Schedule, over: Curve) -> None:
    patched = pm.patches("mlperf_tiny_vww", capacity="30 KiB")
    none = schedule("mobilenet_v2", capacity="256 KiB")
    two = [Lifetime("one", 0, 2, 64), Lifetime("other", 1, 3, 64)]
    pages: tuple[tuple[Any, int, str], ...] = (
        (timed, 2, "proved: no schedule can spill fewer bytes"),
        (over, 2, "does not fit"),
        (none, 1, "needs 1.43555 MiB on chip at once"),
        (patched, 1, "in patches"),
        (pm.assign("resnet18", "kv260", precision="int8"), 1, "assignment"),
        (pm.assign("vit_b_16", "kv260", precision="int8", engines=["dpu"]), 0, "operator norm"),
        (allocate(two, 256), 1, "2 buffers in 256 B: packed"),
    )
    for found, figures, said in pages:
        text = found.plot.page()
        seen = Page(text).seen
        alts = [a["aria-label"] for tag, a in seen if tag == "figure"]
        assert len(alts) == figures
        assert all(alts)
        assert said in text
        scripts = [a for tag, a in seen if tag == "script"]
        assert len(scripts) >= figures + bool(figures)
        assert not any("src" in a for a in scripts)
        assert not any(tag in {"link", "img", "iframe"} for tag, _ in seen)
    assert "compare" in repr(timed.plot)
    assert "curve" in repr(over.plot)


def test_patches_beside_layer_by_layer() -> None:
    found = pm.patches("mlperf_tiny_vww", capacity="30 KiB")
    figure: Any = found.plot.memory()
    check(figure)
    plain, patched = figure.data
    assert found.plan is not None
    assert max(plain.y) == found.plain.peak_bytes
    assert max(patched.y) == found.plan.peak_bytes <= 30 * KIB < max(plain.y)
    assert "memory" in repr(found.plot)
