"""What all plots share: found by name, titles, alternatives, one palette, no plotly till drawn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from perfmodel.charts import style
from perfmodel.charts.draw import draw
from perfmodel.prediction import Prediction
from perfmodel.table import Table

PLOTS = ("roofline", "bottlenecks", "memory")


def check(figure: Any) -> None:
    """Assert what each figure promises."""
    layout = figure.layout
    assert (layout.width, layout.height) == (900, 600)
    assert layout.title.text.startswith("<b>")
    alt = layout.meta["alt"]
    assert len(alt) > 80
    assert re.search(r"\d", alt)
    assert "<" not in alt.replace("< 0.1", "").replace("<=", "")
    # JSON as a browser reads it: no NaN, no numpy left over.
    assert "NaN" not in figure.to_json()
    json.loads(figure.to_json())
    colours = {str(c).upper() for c in re.findall(r"#[0-9A-Fa-f]{6}", figure.to_json())}
    assert colours & {style.BLUE, style.VERMILION, style.ORANGE, style.GREEN}


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_of_a_prediction(prediction: Prediction, name: str) -> None:
    figure = getattr(prediction.plot, name)()
    check(figure)
    text = figure.layout.title.text
    assert prediction.workload.name in text
    assert prediction.machine.device.name in text
    assert ("first of" in text) == bool(prediction.shape)


def test_plots_of_a_table(grid: Table) -> None:
    check(grid.plot.pareto("tpot_s", "energy_j", under="tpot_s <= 50 ms"))
    check(grid.plot.curves("batch", "tpot_s"))
    assert "pareto" in repr(grid.plot)


def test_an_unknown_plot_is_an_attribute_error(prediction: Prediction, grid: Table) -> None:
    for plots in (prediction.plot, grid.plot):
        with pytest.raises(AttributeError, match="no plot 'rooflin'"):
            plots.rooflin()
    assert all(name in dir(prediction.plot) for name in PLOTS)


def test_another_package_s_plot_is_a_method(
    prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("backwards", "builtins:repr", "perfmodel.prediction_plots")

    def entry_points(**wanted: str) -> list[EntryPoint]:
        return [point] if all(getattr(point, k) == v for k, v in wanted.items()) else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert prediction.plot.backwards() == repr(prediction)
    assert "backwards" in dir(prediction.plot)


def test_a_picture_is_declared_before_it_is_drawn(prediction: Prediction) -> None:
    chart = prediction.plot.roofline.chart()
    assert draw(chart) == prediction.plot.roofline()
    assert chart.points()
    assert "rows under roofs" in str(prediction.plot.roofline.__doc__)


def test_the_former_place_of_pictures_answers() -> None:
    code = (
        "from perfmodel.plots.memory_map import memory_map\n"
        "from perfmodel.plots.patches import patches\n"
        "from perfmodel.plots.streams import pipeline_timeline\n"
        "import perfmodel.charts.memory_map as now\n"
        "assert memory_map is now.memory_map\n"
    )
    run = [sys.executable, "-W", "default", "-c", code]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    assert "perfmodel.plots is called perfmodel.charts now" in done.stderr


def test_palette_is_told_apart_in_grey() -> None:
    """Neighbours in a series differ in lightness, so that a grey print still tells them apart."""

    def lightness(colour: str) -> float:
        r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    values = [lightness(c) for c in style.SERIES]
    assert len({round(v, 2) for v in values}) == len(values)
    assert len(style.SYMBOLS) == len(set(style.SYMBOLS)) == len(style.SERIES)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.331e12, "B/s", "1.331 TB/s"),
        (999.96, "OP", "1 kOP"),
        (0.5, "MAC", "0.5 MAC"),
        (0, "X", "0 X"),
    ],
)
def test_si_prefixes(value: float, unit: str, text: str) -> None:
    assert style.si(value, unit) == text


def test_ticks_are_round_and_carry_units() -> None:
    def texts(*arguments: Any) -> list[str]:
        return list(style.ticks(0.0, *arguments).values())

    assert texts(7.151, "time")[:3] == ["0", "1 s", "2 s"]
    assert texts(60 * 1024, "bytes", 4)[1] == "20 KiB"
    assert texts(64e9, "bytes", 7)[1] == "10 GB"
    # Parts of a MiB are whole KiB, not decimal kB.
    assert texts(1.3 * 2**20, "bytes", 6) == [
        "0",
        "256 KiB",
        "512 KiB",
        "768 KiB",
        "1 MiB",
        "1.25 MiB",
    ]
    assert texts(1005 * 1024, "bytes", 7)[-1] == "768 KiB"
    decades = style.decades(1e-3, 1.0, "time")
    assert list(decades) == pytest.approx([1e-3, 1e-2, 0.1, 1.0])
    assert list(decades.values()) == ["1 ms", "10 ms", "100 ms", "1 s"]
    assert list(style.decades(100, 10_000).values()) == ["100", "1k", "10k"]


def test_plotly_is_loaded_when_something_is_drawn() -> None:
    code = (
        "import sys, perfmodel.charts, perfmodel.charts.roofline, perfmodel.charts.memory_use\n"
        "import perfmodel.charts.sweeps, perfmodel.charts.bottlenecks\n"
        "sys.exit('plotly' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_result_with_pictures_has_a_page(prediction: Prediction, grid: Table) -> None:
    page = prediction.plot.page()
    assert page.count("<figure") >= len(PLOTS)
    assert prediction.headline.split(",")[0] in page
    # Of a table its front, and metrics over what varies.
    assert grid.plot.page().count("<figure") >= 2
