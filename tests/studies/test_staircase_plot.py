"""Traffic against capacity: the curves are the staircases', the words tell their tiles."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from perfmodel_studies.staircase_plot import staircase as draw

from perfmodel.charts import style
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import Staircase, staircase
from perfmodel.errors import InputError

LAYER = TileNest(28, 28, 64, 32, 3, 3)


@pytest.fixture(scope="module")
def several() -> dict[str, Staircase]:
    return {
        "first": staircase(TileNest(112, 112, 64, 3, 7, 7, 2, 2), Widths()),
        "last": staircase(TileNest(1, 1, 1000, 512), Widths()),
        "uneven": staircase(LAYER, Widths(), Conventions("single", "kept", "uneven")),
    }


def curves(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if (trace.meta or {}).get("steps")]


def test_curves_are_the_staircases(several: dict[str, Staircase]) -> None:
    figure = draw(several)
    assert [c.name for c in curves(figure)] == list(several)
    for curve, stairs in zip(curves(figure), several.values(), strict=True):
        assert curve.line.shape == "hv"
        assert list(curve.x[:-1]) == stairs.capacity_bytes.tolist()
        assert list(curve.y[:-1]) == stairs.traffic_bytes.tolist()
        # It runs on to the right edge.
        assert curve.y[-1] == stairs.compulsory_bytes
        assert math.log10(curve.x[-1]) == pytest.approx(figure.layout.xaxis.range[1])
    dashed = [t for t in figure.data if "compulsory" in (t.meta or {})]
    assert [t.y[0] for t in dashed] == [s.compulsory_bytes for s in several.values()]
    assert len({c.marker.symbol for c in curves(figure)}) == 3
    assert len({c.line.color for c in curves(figure)}) == 3


def test_hovering_over_a_step_shows_its_tile(several: dict[str, Staircase]) -> None:
    for curve, stairs in zip(curves(draw(several)), several.values(), strict=True):
        for step, text in enumerate(curve.hovertext[:-1]):
            tile = stairs.step_tile(step)
            if tile.stationary == "all":
                assert "everything held whole" in text
                continue
            assert f"{tile.stationary} stationary" in text
            for name, extent in zip(tile._fields[:7], tile[:7], strict=True):
                whole = getattr(stairs.tiled, name)
                said = f"{name.replace('_', ' ')} {extent} of {whole}"
                assert (said in text) == (whole > 1)
            for operand in tile.panels:
                assert f"{operand} whole along" in text


def test_what_each_moves_in_a_capacity(several: dict[str, Staircase]) -> None:
    figure = draw(several, capacity="16 KiB")
    for curve, (name, stairs) in zip(curves(figure), several.items(), strict=True):
        found = re.fullmatch(rf"{name}: ([\d.]+) (kB|MB)", curve.name)
        assert found
        moved = float(found[1]) * {"kB": 1e3, "MB": 1e6}[found[2]]
        assert moved == pytest.approx(stairs(16384), rel=1e-3)
    assert figure.layout.legend.title.text == "in 16 KiB"
    (line,) = [t for t in figure.data if "marked" in (t.meta or {})]
    assert set(line.x) == {16384.0}


def test_one_nest_and_a_capacity_that_is_too_small() -> None:
    stairs = staircase(LAYER, Widths())
    figure = draw(stairs, capacity=100_000)
    assert not figure.layout.showlegend
    texts = " ".join(note.text for note in figure.layout.annotations)
    assert "in 97.66 KiB" in texts
    assert str(stairs.conventions) in figure.layout.title.text
    small = draw({"layer": stairs}, capacity=2)
    assert "no tile fits" in small.layout.meta["alt"]
    assert curves(small)[0].name == "layer: does not fit"


def test_the_axis_starts_where_it_is_asked_to() -> None:
    stairs = staircase(LAYER, Widths())
    whole, part = draw(stairs), draw(stairs, least="1 KiB")
    assert part.layout.xaxis.range[0] == pytest.approx(math.log10(1024))
    assert part.layout.yaxis.range[1] < whole.layout.yaxis.range[1]
    assert 10 ** part.layout.yaxis.range[1] > stairs(1024)
    assert part.layout.xaxis.ticktext[0] == "1 KiB"


def test_bounds_lie_below() -> None:
    stairs = staircase(LAYER, Widths())
    x = np.geomspace(100, 1e5, 20)
    figure = draw(stairs, bounds={"half": (x, stairs(x) / 2)})
    (bound,) = [t for t in figure.data if "bound" in (t.meta or {})]
    assert list(bound.y) == (stairs(x) / 2).tolist()
    assert figure.layout.showlegend


@pytest.mark.parametrize(
    "widths", [Widths(0, 0, 1, 0), Widths(0, 0, 0, 0), Widths(1, 0, 0, 0), Widths(0, 1, 0, 4)]
)
def test_operands_that_do_not_cross_are_drawn(widths: Widths) -> None:
    figure = draw(staircase(LAYER, widths), capacity=1024)
    assert all(math.isfinite(v) for v in figure.layout.xaxis.range + figure.layout.yaxis.range)


def test_what_every_figure_promises(several: dict[str, Staircase]) -> None:
    figure = draw(several, capacity=4096.0)
    assert (figure.layout.width, figure.layout.height) == (style.WIDTH, style.HEIGHT)
    alt = figure.layout.meta["alt"]
    assert all(f"{name}: {len(s)} steps" in alt for name, s in several.items())
    assert "<" not in alt
    assert "NaN" not in figure.to_json()
    json.loads(figure.to_json())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"capacity": -1}, "no capacity"),
        ({"capacity": "64 KB"}, "KB"),
        ({"least": 0}, "no capa"),
        ({"capacity": float("nan")}, "no capacity"),
    ],
)
def test_capacities_that_are_none(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw(staircase(LAYER, Widths()), **bad)


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no staircase"):
        draw({})


def test_plotly_is_loaded_when_something_is_drawn() -> None:
    code = "import sys, perfmodel_studies.staircase_plot; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
