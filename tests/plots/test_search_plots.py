"""Plots of searches: points are the front's, bars the bytes of layers, strips what was chosen."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.charts.result_plots import Plots
from perfmodel.charts.search_layers import format_styles
from perfmodel.errors import InputError
from perfmodel.search.accuracy import AccuracyTable
from perfmodel.search.search_result import SearchResult
from perfmodel.table import Table
from perfmodel.workload.rewrite import layers as layers_of

KIB, MIB = 1024, 2**20


class Losses:
    """Losses that fall with the bits and differ from layer to layer."""

    name, unit, measured_error, error_note, separable = "made up", "", None, "", True

    def table(self, layers: Any, options: Any) -> AccuracyTable:
        def loss(option: Any) -> float:
            bits = [
                16.0 if f is None else float(f.bits) for f in (option.weights, option.activations)
            ]
            return 2.0 ** -bits[0] + 2.0 ** -bits[1] + (1.0 - option.channels)

        rows = [
            np.array([(1.0 + (7 * i) % 5) * loss(o) for o in given])
            for i, given in enumerate(options)
        ]
        return AccuracyTable(tuple(rows), {})

    def predicted(self, loss: Any) -> Any:
        return loss


def search(model: str, choices: dict[str, Any], limits: list[str], **options: Any) -> SearchResult:
    return pm.search(
        model,
        options.pop("device", "jetson_agx_orin"),
        choices=choices,
        constraints=limits,
        accuracy=Losses(),
        precision="w8a8",
        runtime="ideal",
        **options,
    )


@pytest.fixture(scope="module")
def found() -> SearchResult:
    choices = {"weight_bits": [2, 4, 8], "activation_bits": [4, 8]}
    return search("resnet18", choices, ["weight_bytes <= 6 MiB", "latency_s <= 1 ms"])


def check(figure: Any) -> None:
    """Assert what each figure promises."""
    alt = figure.layout.meta["alt"]
    assert len(alt) > 60
    assert re.search(r"\d", alt)
    assert not re.search(r"<br>|&lt;", alt)
    assert "NaN" not in figure.to_json()
    json.loads(figure.to_json())
    assert figure.layout.title.text.startswith("<b>")


def by_what(figure: Any) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for trace in figure.data:
        out.setdefault(trace.meta["what"], []).append(trace)
    return out


def test_the_front_is_the_result_s(found: SearchResult) -> None:
    figure: Any = found.plot.front()
    check(figure)
    traces = by_what(figure)
    (points,) = traces["proved"]
    table = found.front
    assert list(points.x) == sorted(table["weight_bytes"])
    assert list(points.y) == sorted(table["sensitivity"], reverse=True)
    assert "gaps" not in traces
    (star,) = traces["chosen"]
    assert found.best is not None
    assert (star.x[0], star.y[0]) == (found.best.metrics["weight_bytes"], found.best.value)
    # No point is left of the border of what is dominated and below it.
    (line,) = traces["line"]
    assert all(np.diff(line.x) > 0)
    assert all(np.diff(line.y) < 0)
    assert star.x[0] in line.x
    lines = [s for s in figure.layout.shapes if s.type == "line"]
    assert [s.x0 for s in lines] == [6 * MIB]
    shade = next(s for s in figure.layout.shapes if s.type == "rect")
    assert shade.x0 == 6 * MIB < shade.x1
    assert "all proved" in figure.layout.title.text
    assert "proved under the model: sums over kernels" in figure.layout.title.text
    assert "Limit: weight_bytes <= 6 MiB." in figure.layout.meta["alt"]


def test_gaps_are_bars_down_to_the_bound(found: SearchResult) -> None:
    table = Table(
        {
            "sensitivity": np.array([4.0, 2.0, 1.0]),
            "weight_bytes": np.array([4.0, 5.0, 7.0]) * MIB,
            "bound": np.array([4.0, 1.5, np.nan]),
        }
    )
    loose = SearchResult(**{f: getattr(found, f) for f in found.__dataclass_fields__})
    loose.__dict__["front"] = table
    figure: Any = loose.plot.front()
    check(figure)
    traces = by_what(figure)
    assert list(traces["proved"][0].y) == [4.0]
    (gaps,) = traces["gaps"]
    assert list(gaps.y) == [2.0, 1.0]
    # Nothing is known of the last one, so it has no bar.
    assert list(gaps.error_y.arrayminus) == [0.5, 0.0]
    assert list(gaps.error_y.array) == [0.0, 0.0]
    assert figure.layout.showlegend is True
    assert "1 proved, bars" in figure.layout.title.text
    loose.__dict__["front"] = table[np.array([], dtype=int)]
    with pytest.raises(InputError, match="no points"):
        loose.plot.front()


def test_bars_are_the_weights_of_the_layers(found: SearchResult) -> None:
    figure: Any = found.plot.layers()
    check(figure)
    traces = by_what(figure)
    heights: dict[str, float] = {}
    formats: dict[str, str] = {}
    for trace in traces["chosen"]:
        for x, y in zip(trace.x, trace.y, strict=True):
            heights[x], formats[x] = y, trace.name
    assert found.best is not None
    workload = found.workload
    graph = workload.graph()
    every = layers_of(graph)
    assert sorted(heights) == sorted(layer.name for layer in every)
    assert list(figure.layout.xaxis.categoryarray) == [layer.name for layer in every]
    for layer in every:
        i = layer.name
        option = found.best.configuration[f"{layer.name}.weights"]
        assert formats[i] == option
        elements = float(np.asarray(workload.number(layer.weight_elements)))
        assert heights[i] == elements * int(option.removeprefix("int")) / 8
    # All together they are the weights that were predicted, but for the biases.
    assert sum(heights.values()) <= found.best.metrics["weight_bytes"]
    assert sum(heights.values()) == pytest.approx(found.best.metrics["weight_bytes"], rel=0.02)
    (pale,) = traces["largest"]
    assert list(pale.y) == [float(np.asarray(workload.number(x.weight_elements))) for x in every]


def test_strips_say_what_was_chosen(found: SearchResult) -> None:
    figure: Any = found.plot.layers()
    traces = by_what(figure)
    colors: dict[str, set[str]] = {}
    for trace in traces["chosen"]:
        colors.setdefault(trace.name, set()).add(trace.marker.color)
    # One colour a format, in the strip as in the bars.
    assert all(len(own) == 1 for own in colors.values())
    strip = {x: t.marker.color for t in traces["weights"] for x in t.x}
    bars = {x: t.marker.color for t in traces["chosen"] for x in t.x}
    assert strip == bars
    assert {y for t in traces["weights"] for y in t.base} == {1.0}
    assert {y for t in traces["activations"] for y in t.base} == {0.0}
    assert list(figure.layout.yaxis2.ticktext) == ["activations", "weights"]
    # The image comes as it is: nothing is decided of what the first layer reads.
    names = list(figure.layout.xaxis.categoryarray)
    assert sorted(x for t in traces["activations"] for x in t.x) == sorted(names[1:])
    letters = [text for t in (*traces["weights"], *traces["activations"]) for text in t.text]
    assert letters.count("8") + letters.count("4") + letters.count("2") == 41


def test_sparse_weights_are_hatched_and_macs_are_drawn() -> None:
    r = search(
        "resnet18", {"weight_bits": [4, 8], "sparsity": [0, "2:4"]}, ["weight_bytes <= 5 MiB"]
    )
    figure: Any = r.plot.layers(by="macs")
    check(figure)
    names = {t.name: t.marker.pattern.shape for t in by_what(figure)["chosen"]}
    assert any(name.endswith("+2:4") for name in names)
    assert all(bool(shape) == name.endswith("+2:4") for name, shape in names.items())
    total = sum(y for t in by_what(figure)["chosen"] for y in t.y)
    assert total == pytest.approx(float(np.asarray(r.workload.macs)))
    assert figure.layout.yaxis.title.text == "multiply-accumulates"


def test_every_sparse_format_of_one_colour_is_hatched() -> None:
    """Four sparsities of one width are hatched, and differ; the dense format is plain."""
    sparse = [f"int4+{pattern}" for pattern in ("1:4", "2:4", "1:8", "3:8")]
    styles = format_styles(["int4", *sparse])
    assert len({color for color, _ in styles.values()}) == 1
    assert styles["int4"][1] == ""
    patterns = [styles[name][1] for name in sparse]
    assert all(patterns)
    assert len(set(patterns)) == len(patterns)


def test_channels_kept_are_a_strip() -> None:
    r = search(
        "mlperf_tiny_vww",
        {"channels": [1, 0.5], "memories.main.bandwidth": ["16 GB/s"]},
        ["macs <= 4e6"],
        device="gemmini_16x16",
        time_limit_s=5,
    )
    assert r.best is not None
    figure: Any = r.plot.layers()
    check(figure)
    traces = by_what(figure)
    assert "weights" not in traces
    kept = [x for t in traces["channels"] for x in t.x]
    assert len(kept) == len(set(kept)) > 10
    halves = [text for t in traces["channels"] for text in t.text if text == "50"]
    chosen = {d.name: r.best.configuration[d.name] for d in r.space.decisions if d.full_width}
    whole = {d.name: d.full_width for d in r.space.decisions if d.full_width}
    layers_halved = sum(
        len(d.layers)
        for d in r.space.decisions
        if d.full_width and chosen[d.name] == whole[d.name] / 2
    )
    assert len(halves) == layers_halved > 0
    assert "memories.main.bandwidth 16 GB/s" in figure.layout.title.text


@pytest.mark.parametrize(("model", "count"), [("efficientnet_b0", 62), ("nasnet_a_mobile", 357)])
def test_many_layers_stay_legible(model: str, count: int) -> None:
    r = search(model, {"weight_bits": [4, 8]}, ["weight_bytes <= 4 MiB"])
    figure: Any = r.plot.layers()
    check(figure)
    bars = [x for t in by_what(figure)["chosen"] for x in t.x]
    names = list(figure.layout.xaxis.categoryarray)
    assert sorted(bars) == sorted(names)
    assert len(names) == len(set(names)) == count
    # Plotly leaves out names that would run into each other, since no angle is prescribed.
    assert figure.layout.xaxis.tickangle is None
    texts = [t.text for t in figure.data if t.text]
    assert len(bars) <= 64 or not texts


def test_architectures_have_bars_too() -> None:
    space = pm.space("nas_bench_201")
    r = pm.search(space, "zen4_core", constraints=["latency_s >= 100 us"], objective="macs")
    figure: Any = r.plot.layers()
    check(figure)
    assert not by_what(figure).keys() & {"weights", "activations", "channels"}
    drawn: Any = r.plot.front()
    check(drawn)


def test_what_cannot_be_drawn(found: SearchResult) -> None:
    with pytest.raises(InputError, match=r"no bars of 'weight'; .*did you mean 'weights'"):
        found.plot.layers(by="weight")
    none = search("resnet18", {"weight_bits": [4, 8]}, ["weight_bytes <= 1 KiB"])
    with pytest.raises(InputError, match="nothing satisfies"):
        none.plot.layers()
    assert "nothing satisfies" in none.plot.page()
    free = search("resnet18", {"weight_bits": [4, 8]}, [])
    with pytest.raises(InputError, match="no constraint to sweep"):
        free.plot.front()


def test_the_face(found: SearchResult, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(found.plot, Plots)
    assert repr(found.plot) == "plots: front, layers"
    assert {"front", "layers"} <= {*dir(found.plot)}
    with pytest.raises(AttributeError, match="no plot 'strips'"):
        found.plot.strips  # noqa: B018
    # The front is on the page, since it was asked for.
    assert len(found.front)
    page = found.plot.page()
    assert page.count("<figure") == 2
    assert "proved under the model" in page
