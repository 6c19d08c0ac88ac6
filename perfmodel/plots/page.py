"""A page of its own for figures and the text above them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_STYLE = (
    "body{font-family:'Open Sans','DejaVu Sans',Arial,sans-serif;color:#222;margin:24px auto;"
    "max-width:920px}pre{overflow-x:auto;font-size:13px}figure{margin:24px 0}"
)

#: Few buttons, so that they do not cover the title.
_CONFIG = {
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}


def page(title: str, head: str, figures: Sequence[Figure]) -> str:
    """Return a page that needs nothing else, not even a network.

    Parameters
    ----------
    head
        HTML above the figures.
    figures
        Each with its text alternative in ``layout.meta["alt"]``.
    """
    parts: list[str] = []
    for i, drawn in enumerate(figures):
        made: Any = drawn
        html = made.to_html(
            full_html=False, include_plotlyjs=i == 0, div_id=f"figure-{i}", config=_CONFIG
        )
        alt = escape(made.layout.meta["alt"])
        parts.append(f'<figure role="img" aria-label="{alt}">{html}</figure>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n{head}\n" + "\n".join(parts) + "\n"
        "</body></html>\n"
    )
