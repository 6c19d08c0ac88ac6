"""Pictures of results: charts are declared, and only `draw` depends on the drawing library.

A picture is a function that returns a `Chart`, wrapped by `Picture` to draw it. The catalog names
the pictures of each kind of result, and ``.plot`` of a result looks them up there
(`perfmodel.charts.result_plots`).
"""

from perfmodel.charts.chart import (
    Band,
    Bars,
    Cells,
    Chart,
    ChartAxis,
    Label,
    Lines,
    Note,
    Panel,
    Points,
    ReferenceLine,
    Series,
    Shades,
    fitted,
)
from perfmodel.charts.draw import Picture, draw
from perfmodel.charts.style import (
    SERIES,
    binary,
    bound_symbols,
    figures,
    looks,
    percent,
    quantity,
    si,
    size,
    spread,
)
from perfmodel.table.palette import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    bound_colors,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SERIES",
    "SKY",
    "VERMILION",
    "Band",
    "Bars",
    "Cells",
    "Chart",
    "ChartAxis",
    "Label",
    "Lines",
    "Note",
    "Panel",
    "Picture",
    "Points",
    "ReferenceLine",
    "Series",
    "Shades",
    "binary",
    "bound_colors",
    "bound_symbols",
    "draw",
    "figures",
    "fitted",
    "looks",
    "percent",
    "quantity",
    "si",
    "size",
    "spread",
]
