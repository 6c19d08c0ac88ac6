"""A self-contained HTML page: parts in order, style sheet, pictures, script.

The drawing library is embedded compressed, and unpacked by the browser.
"""

from __future__ import annotations

import base64
import gzip
import json
import platform
import re
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape, unescape
from importlib.resources import files
from typing import Any

from perfmodel._version import __version__
from perfmodel.charts import Chart, draw
from perfmodel.table.html import details, paragraph, table

_BREAK = re.compile(r"<br\s*/?>")
_TAG = re.compile(r"<[^<>]*>")
#: Largest number of data rows listed below a picture.
_MOST = 200


@dataclass
class ReportDocument:
    """A report under construction.

    Attributes
    ----------
    title, subtitle
        Subject, and the remaining inputs.
    date
        Written into the page if not empty; nothing else in a page depends on the date.
    """

    title: str
    subtitle: str = ""
    date: str = ""
    _parts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    _figures: list[str] = field(default_factory=list[str])
    _head: str = ""

    def head(self, html: str) -> None:
        """Add HTML above the first heading: the question, the answer."""
        self._head += html

    def part(self, title: str, *html: str) -> None:
        """Add a part with a heading, unless it is empty."""
        inner = "\n".join(h for h in html if h)
        if inner:
            self._parts.append((title, inner))

    def picture(self, chart: Chart, words: str = "") -> str:
        """Return a figure with its text alternative and data; it is drawn by the page's script.

        Parameters
        ----------
        words
            An explanatory sentence shown above it.
        """
        drawn: Any = draw(chart)
        number, alt = len(self._figures), chart.alt
        text = drawn.to_json(engine="json")
        # Any `</` could end a script element, also one of another type.
        self._figures.append(
            json.dumps(json.loads(text), separators=(",", ":")).replace("<", "\\u003c")
        )
        heads, body, count = picture_rows(chart, _MOST)
        caption = f"the first {len(body)} of {count} points" if count > len(body) else ""
        return (
            "<figure>"
            + (f"<figcaption>{escape(words)}</figcaption>" if words else "")
            + f'<div class="plot waiting" id="figure-{number}" role="img" tabindex="0" '
            f'aria-label="{escape(alt)}" data-width="{chart.width}" '
            f'data-height="{chart.height}"></div>'
            + details("in words, and its data", paragraph(alt) + table(heads, body, caption))
            + "</figure>"
        )

    def render(self) -> str:
        """Return the page."""
        room = files("perfmodel.report")
        script = look() + room.joinpath("page.js").read_text(encoding="utf-8")
        heights = "".join(
            f".js #figure-{i}.waiting{{min-height:{height}px}}"
            for i, height in enumerate(map(_figure_height, self._figures))
        )
        links = "".join(
            f'<a href="#part-{i}">{escape(title)}</a>' for i, (title, _) in enumerate(self._parts)
        )
        parts = "\n".join(
            f'<section><h2 id="part-{i}">{escape(title)}</h2>\n{inner}\n</section>'
            for i, (title, inner) in enumerate(self._parts)
        )
        drawn = "".join(
            f'<script type="application/json" id="figure-{i}-data">{text}</script>\n'
            for i, text in enumerate(self._figures)
        )
        if self._figures:
            drawn += f'<script type="text/plain" id="plotly">{packed_plotly()}</script>\n'
        subtitle = f'<p class="soft">{escape(self.subtitle)}</p>' if self.subtitle else ""
        silent = (
            "<noscript><p class='soft'>The pictures need JavaScript; all numbers of this page "
            "stand in its text and tables, and the data of each picture below its place.</p>"
            "</noscript>"
            if self._figures
            else ""
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:\">"
            f"<title>{escape(self.title)}</title><style>{style()}{heights}</style>"
            "<script>document.documentElement.classList.add('js')</script></head>\n<body>\n"
            f"<main><h1>{escape(self.title)}</h1>{subtitle}\n{self._head}\n"
            f'<nav aria-label="parts of this page">{links}</nav>\n{silent}{parts}\n</main>\n'
            f"<footer>{escape(self._versions())}</footer>\n{drawn}<script>{script}</script>\n"
            "</body></html>\n"
        )

    def _versions(self) -> str:
        """Return the versions that made the report, and its date."""
        import numpy as np

        versions = (
            f"perfmodel {__version__}, Python {platform.python_version()}, NumPy {np.__version__}"
        )
        if self._figures:
            from importlib.metadata import version

            versions += f", plotly {version('plotly')}"
        return versions + (f"; {self.date}" if self.date else "")


def picture_rows(chart: Chart, most: int) -> tuple[tuple[str, ...], list[tuple[str, str]], int]:
    """Return the points of a chart as a table, for readers who cannot see it.

    Parameters
    ----------
    most
        Largest number of rows.

    Returns
    -------
    tuple
        Titles, rows (series, hover text) and the total number of points.
    """
    body = [(_plain(name), _plain(text)) for name, text in chart.points()]
    return ("series", "point"), body[:most], len(body)


def _plain(text: str) -> str:
    """Return a label of a chart without markup, on one line."""
    return " ".join(unescape(_TAG.sub("", _BREAK.sub("; ", text))).split())


def _figure_height(text: str) -> int:
    """Return the height of a figure in pixels, from its JSON."""
    layout: dict[str, Any] = json.loads(text)["layout"]
    return int(layout.get("height", 600))


def style() -> str:
    """Return the style sheet of pages."""
    return files("perfmodel.report").joinpath("page.css").read_text(encoding="utf-8")


def look() -> str:
    """Return the script that adapts figures to dark mode and to the screen size."""
    return files("perfmodel.report").joinpath("look.js").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Return plotly's JavaScript, gzipped, as base64 text: 2 MB instead of 4.8 MB.

    The browser unpacks it with a ``DecompressionStream``. The result is deterministic for a version
    of the library.
    """
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
