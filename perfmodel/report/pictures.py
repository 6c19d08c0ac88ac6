"""The data of a chart as a table: what its points say, for those who cannot see it."""

from __future__ import annotations

import re
from html import unescape

from perfmodel.charts.chart import Chart

_BREAK = re.compile(r"<br\s*/?>")
_TAG = re.compile(r"<[^<>]*>")


def picture_rows(chart: Chart, most: int) -> tuple[tuple[str, ...], list[tuple[str, str]], int]:
    """Return titles, rows (series, what a point says) and the number of all points.

    Parameters
    ----------
    most
        Rows at most.
    """
    body = [(plain(name), plain(text)) for name, text in chart.points()]
    return ("series", "point"), body[:most], len(body)


def plain(text: str) -> str:
    """Return a label of a chart without its markup, on one line."""
    return " ".join(unescape(_TAG.sub("", _BREAK.sub("; ", text))).split())
