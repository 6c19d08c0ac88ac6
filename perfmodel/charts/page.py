"""A page of its own for charts and the text above them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from perfmodel.charts import Chart, draw

_STYLE = (
    "body{font-family:'Open Sans','DejaVu Sans',Arial,sans-serif;color:#222;margin:24px auto;"
    "max-width:920px}pre{overflow-x:auto;font-size:13px}figure{margin:24px 0}"
)

#: Few buttons, so that they do not cover the title.
BUTTONS = {
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}


def page(title: str, head: str, charts: Sequence[Chart]) -> str:
    """Return a page that needs nothing else, not even a network.

    Parameters
    ----------
    head
        HTML above the charts.
    """
    parts: list[str] = []
    for i, chart in enumerate(charts):
        html = draw(chart).to_html(  # pyright: ignore[reportUnknownMemberType]
            full_html=False, include_plotlyjs=i == 0, div_id=f"figure-{i}", config=BUTTONS
        )
        parts.append(f'<figure role="img" aria-label="{escape(chart.alt)}">{html}</figure>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n{head}\n" + "\n".join(parts) + "\n"
        "</body></html>\n"
    )
