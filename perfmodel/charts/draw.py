"""Drawing of declared charts as plotly figures; the only module that uses plotly's vocabulary.

`draw` translates a `Chart` of `perfmodel.charts.chart` into a figure: each panel into a pair of
axes, each series into a trace, each note into an annotation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, cast

import numpy as np

from perfmodel.charts.chart import (
    Bars,
    Cells,
    Chart,
    ChartAxis,
    Lines,
    Note,
    Panel,
    Points,
    Series,
    Shades,
)
from perfmodel.charts.label_placement import labelled
from perfmodel.charts.style import GREY, INK, decades, ticks

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

P = ParamSpec("P")

_LEGENDS: dict[str, dict[str, Any]] = {
    "right": {"x": 1.02, "y": 1.0},
    "below": {"orientation": "h", "x": 0.0, "y": 0.01, "yref": "container", "yanchor": "bottom"},
    "above": {"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.04, "yanchor": "bottom"},
    "inside": {"x": 0.99, "y": 0.99, "xanchor": "right", "bgcolor": "rgba(255,255,255,0.8)"},
}
_BARS: dict[str, dict[str, Any]] = {
    "right": {"title_side": "top"},
    "corner": {"title_side": "top", "thickness": 10, "len": 0.45, "y": 0.0, "yanchor": "bottom"},
    "below": {
        "title_side": "bottom",
        "orientation": "h",
        "len": 0.45,
        "x": 0.0,
        "xanchor": "left",
        "y": -0.14,
        "yanchor": "top",
        "thickness": 12,
    },
}
#: Markup used by charts; a browser would interpret any other HTML that plotly accepts, such as
#: links and images, in names read from files.
_FOREIGN = re.compile(
    r"<(?=[A-Za-z/!])(?!/?b>|br>|/?extra>|span style='font-size:13px;color:#|/span>)"
)


class Picture(Generic[P]):
    """A function that declares a chart, wrapped to draw it.

    Calling it returns the plotly figure; `chart` takes the same arguments and returns the
    declaration.
    """

    def __init__(self, declare: Callable[P, Chart]) -> None:
        self.chart = declare
        update_wrapper(self, declare)

    def of(self, subject: Any) -> Picture[...]:
        """Return the picture with its first argument bound to a subject."""
        bound: Picture[...] = Picture(partial(self.chart, subject))
        bound.__doc__ = self.__doc__
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Figure:
        """Return the drawn chart for these arguments."""
        return draw(self.chart(*args, **kwargs))


def draw(chart: Chart) -> Figure:
    """Return a chart as a plotly figure, its text alternative in ``layout.meta["alt"]``."""
    import plotly.graph_objects as go

    layout = _layout(chart)
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for number, panel in enumerate(chart.panels):
        end = str(number + 1) if number else ""
        layout[f"xaxis{end}"] = _axis(panel.x, panel.across, f"y{end}")
        layout[f"yaxis{end}"] = _axis(panel.y, panel.down, f"x{end}", upright=True)
        if panel.square:
            layout[f"xaxis{end}"] |= {"constrain": "domain"}
            layout[f"yaxis{end}"] |= {"scaleanchor": f"x{end}", "constrain": "domain"}
        traces += [_trace(s, end) for s in panel.series]
        shapes += _shapes(panel, end)
        notes += [_note(note, panel, end) for note in (*labelled(panel, chart.area), *panel.notes)]
    _legend(traces)
    return go.Figure(
        data=[_inert(t) for t in traces],
        layout=_inert(layout | {"shapes": shapes, "annotations": notes}),
    )


def _layout(chart: Chart) -> dict[str, Any]:
    """Return the figure's layout outside its panels."""
    subtitle = f"<br><span style='font-size:13px;color:{GREY}'>{chart.subtitle}</span>"
    layout: dict[str, Any] = {
        "title_text": f"<b>{chart.title}</b>{subtitle if chart.subtitle else ''}",
        "title_x": 0.0,
        "title_xref": "container",
        "title_pad_l": 20,
        # Constant distance of the title from the edge, independent of the height.
        "title_y": 1.0 - 24.0 / chart.height,
        "title_yanchor": "top",
        "title_font": {"size": 18, "color": INK},
        "width": chart.width,
        "height": chart.height,
        "margin": chart.margins,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "Open Sans, DejaVu Sans, Arial, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font_color": INK},
        "legend": {
            "traceorder": "normal",
            "tracegroupgap": 0,
            "font_size": 12,
            "title_text": chart.heading,
            "title_font_size": 13,
            "title_side": "left" if chart.legend == "below" else "top",
            **_LEGENDS.get(chart.legend, {}),
        },
        "showlegend": chart.keyed,
        "barmode": "stack" if chart.stacked else "overlay",
        "bargap": chart.gap,
        # Hide texts that do not fit their bar.
        "uniformtext": {"minsize": 9, "mode": "hide"},
        "meta": {"alt": chart.alt},
    }
    series = chart.series
    if any(isinstance(s, Points) and not isinstance(s.size, int | float) for s in series):
        layout["legend"]["itemsizing"] = "constant"
    if any(s.heading for s in series):
        layout["legend"] |= {"traceorder": "grouped", "tracegroupgap": 14}
    elif chart.stacked and any(isinstance(s, Bars) and not s.across for s in series):
        # Same order as the stack, from the top.
        layout["legend"]["traceorder"] = "reversed"
    return layout


def _legend(traces: Sequence[dict[str, Any]]) -> None:
    """List each name in the legend once, toggling all series with that name."""
    listed = [trace for trace in traces if trace["showlegend"]]
    names = Counter(trace["name"] for trace in listed)
    shown: set[str] = set()
    for trace in listed:
        name = trace["name"]
        if names[name] > 1:
            trace["legendgroup"] = trace["legendgroup"] or name
            trace["showlegend"] = name not in shown
        shown.add(name)


def _axis(
    axis: ChartAxis, domain: tuple[float, float], anchor: str, *, upright: bool = False
) -> dict[str, Any]:
    """Return the layout of an axis."""
    parts: dict[str, Any] = {
        "title_text": axis.title,
        "title_font_size": 14,
        "exponentformat": "SI" if axis.log else "none",
        "showexponent": "all",
        "gridcolor": "#ECECEC",
        "linecolor": GREY,
        "ticks": "outside",
        "tickcolor": GREY,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        "showgrid": axis.grid,
        "showticklabels": axis.labels,
        "tickfont_size": axis.size,
        "tickangle": axis.angle,
        "domain": domain,
        "anchor": anchor,
    }
    if axis.names is not None:
        reach = [-0.5, len(axis.names) - 0.5]
        return parts | {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": axis.names,
            "range": reach[::-1] if upright else reach,
            "ticksuffix": " " if upright else "",
        }
    low, high = axis.low, axis.high
    if low is None or high is None:
        return parts
    if axis.log:
        parts |= {"type": "log", "range": [math.log10(low), math.log10(high)]}
    else:
        parts["range"] = [low, high]
    marks = axis.ticks
    if marks is None and axis.log:
        marks = decades(low, high, axis.dimension or "count")
    elif marks is None and axis.dimension:
        marks = ticks(low, high, axis.dimension, axis.most)
    if marks is not None:
        parts |= {"tickmode": "array", "tickvals": [*marks], "ticktext": [*marks.values()]}
    return parts


def _trace(series: Series, end: str) -> dict[str, Any]:
    """Return a series as a plotly trace."""
    trace: dict[str, Any] = {
        "name": series.name,
        "x": series.x,
        "y": series.y,
        "xaxis": f"x{end}",
        "yaxis": f"y{end}",
        "showlegend": series.legend and bool(series.name),
        "legendgroup": series.group,
        "opacity": series.opacity,
        "hoverinfo": "text" if series.hover else "skip",
        "hovertext": series.hover or None,
        "ids": series.ids or None,
        "meta": series.meta,
    }
    if series.heading:
        trace["legendgrouptitle"] = {"text": series.heading, "font_size": 12}
    match series:
        case Bars():
            return trace | _bars(series)
        case Cells():
            return trace | _cells(series)
        case Points():
            return trace | _points(series)
        case _:
            raise TypeError(f"no form of a series: {type(series).__name__}")


def _points(series: Points) -> dict[str, Any]:
    """Return the attributes of markers or lines."""
    line = isinstance(series, Lines)
    parts: dict[str, Any] = {
        "type": "scatter",
        "mode": "+".join(["lines"] * line + ["markers"] * bool(series.symbol)),
        "cliponaxis": series.clipped,
        "marker_color": series.inside or series.color,
        "marker_symbol": series.symbol or None,
        "marker_size": series.size,
        "marker_line": {"color": series.edge, "width": series.edge_width},
    }
    if isinstance(series, Lines):
        parts |= {
            "line_color": series.color,
            "line_width": series.width,
            "line_dash": series.dash,
            "line_shape": series.step,
            "marker_maxdisplayed": series.most,
        }
        if series.fill:
            parts |= {"fill": "tozeroy", "fillcolor": series.fill}
    elif series.opacity is not None:
        # Only markers are translucent, so that the legend shows the full colour.
        parts |= {"opacity": None, "marker_opacity": series.opacity}
    if series.down:
        parts["error_y"] = {
            "symmetric": False,
            "array": [0.0] * len(series.down),
            "arrayminus": series.down,
            "color": GREY,
            "thickness": 1.5,
            "width": 4,
        }
    return parts


def _bars(series: Bars) -> dict[str, Any]:
    """Return the attributes of bars."""
    shades = series.shades
    parts: dict[str, Any] = {
        "type": "bar",
        "orientation": "h" if series.across else "v",
        "base": series.base or None,
        "width": series.width,
        "marker_color": series.color,
        "marker_line": {"color": series.edge, "width": series.edge_width},
        "text": series.text or None,
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"size": 11, "color": series.text_color or None},
    }
    if series.pattern:
        look = {"fgcolor": "white", "size": 6, "solidity": 0.35}
        parts["marker_pattern"] = {"shape": series.pattern, **look}
    if shades is not None:
        parts |= {"marker_cmin": shades.low, "marker_cmax": shades.high}
        parts |= {f"marker_{name}": value for name, value in _shades(shades).items()}
    return parts


def _cells(series: Cells) -> dict[str, Any]:
    """Return the attributes of a heat map."""
    hover_text: dict[str, Any] = {}
    if series.hover:
        hover_text["hovertext"] = np.reshape(series.hover, np.shape(series.z)).tolist()
    elif series.says:
        hover_text = {"hovertemplate": f"{series.says}<extra></extra>", "hoverinfo": None}
    return {
        "type": "heatmap",
        "z": series.z,
        "zmin": series.shades.low,
        "zmax": series.shades.high,
        "xgap": series.gap,
        "ygap": series.gap,
        **_shades(series.shades),
        **hover_text,
    }


def _shades(shades: Shades) -> dict[str, Any]:
    """Return the attributes of a colour scale."""
    bar = {"title_text": shades.title, "title_font_size": 12, **_BARS[shades.place]}
    if shades.ticks is not None:
        bar |= {"tickvals": [*shades.ticks], "ticktext": [*shades.ticks.values()]}
    return {"colorscale": shades.stops, "reversescale": shades.reverse, "colorbar": bar}


def _shapes(panel: Panel, end: str) -> list[dict[str, Any]]:
    """Return the bands and reference lines of a panel."""
    upright: dict[str, Any] = {"xref": f"x{end}", "yref": f"y{end} domain", "y0": 0, "y1": 1}
    level: dict[str, Any] = {"xref": f"x{end} domain", "yref": f"y{end}", "x0": 0, "x1": 1}
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            **upright,
            "x0": band.start,
            "x1": band.end,
            "fillcolor": band.color,
            "opacity": band.opacity,
            "line": {"color": band.edge, "width": 1} if band.edge else {"width": 0},
            "layer": "below",
        }
        for band in panel.bands
    ]
    for limit in panel.limits:
        shape = {
            "type": "line",
            **(level if limit.along == "y" else upright),
            f"{limit.along}0": limit.at,
            f"{limit.along}1": limit.at,
            "line": {"color": limit.color, "width": limit.width, "dash": limit.dash},
        }
        if limit.text:
            hover_text: dict[str, Any] = {"text": limit.text, "textposition": "end", "padding": 2}
            hover_text["font"] = {"size": 11, "color": limit.color}
            if limit.along == "x":
                hover_text |= {"textangle": 0, "xanchor": "left", "yanchor": "top"}
            shape["label"] = hover_text
        shapes.append(shape)
    return shapes


def _note(note: Note, panel: Panel, end: str) -> dict[str, Any]:
    """Return a text as a plotly annotation."""
    xanchor, yanchor = note.anchor.split()
    parts: dict[str, Any] = {
        "text": note.text,
        "font": {"size": note.size, "color": note.color},
        "xanchor": xanchor,
        "yanchor": yanchor,
        "align": note.align,
        "textangle": note.angle,
        "borderpad": 0,
        "bgcolor": "rgba(255,255,255,0.65)" if note.veil else None,
        "hovertext": note.hover or None,
    }
    for side, axis, value in (("x", panel.x, note.x), ("y", panel.y, note.y)):
        data = side in note.frame
        parts[side] = math.log10(value) if data and axis.log else value
        parts[f"{side}ref"] = f"{side}{end}" if data else f"{side}{end} domain"
    if note.arrow is None:
        return parts | {"showarrow": False, "xshift": note.shift[0], "yshift": note.shift[1]}
    return parts | {
        "showarrow": True,
        "ax": note.arrow[0],
        "ay": -note.arrow[1],
        "arrowhead": 0,
        "arrowwidth": 0.8,
        "arrowcolor": GREY,
        "standoff": 3,
    }


def _inert(value: Any) -> Any:
    """Return a part of a figure with foreign markup in its texts escaped."""
    if isinstance(value, str):
        return _FOREIGN.sub("&lt;", value) if "<" in value else value
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        # "meta" is for other programs, and never rendered.
        return {k: inner if k == "meta" else _inert(inner) for k, inner in parts.items()}
    if isinstance(value, np.ndarray):
        return _inert(cast("np.ndarray[Any, np.dtype[Any]]", value).tolist())
    if isinstance(value, list | tuple):
        return [_inert(inner) for inner in cast("Sequence[Any]", value)]
    return value
