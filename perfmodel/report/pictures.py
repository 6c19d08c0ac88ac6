"""The data of a figure as a table: what its points say, for those who cannot see it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any, cast

_BREAK = re.compile(r"<br\s*/?>")
_TAG = re.compile(r"<[^<>]*>")


def picture_rows(
    figure: Mapping[str, Any], most: int
) -> tuple[tuple[str, ...], list[tuple[str, str]], int]:
    """Return titles, rows (series, what a point says) and the number of all points.

    Parameters
    ----------
    figure
        As ``Figure.to_plotly_json`` gives it.
    most
        Rows at most.
    """
    body: list[tuple[str, str]] = []
    for trace in figure["data"]:
        name = plain(str(trace.get("name") or trace.get("legendgroup") or ""))
        for text in _points(trace):
            if text and (name, text) not in body[-3:]:
                body.append((name, text))
    return ("series", "point"), body[:most], len(body)


def plain(text: str) -> str:
    """Return a label of a figure without its markup, on one line."""
    return " ".join(unescape(_TAG.sub("", _BREAK.sub("; ", text))).split())


def _points(trace: Mapping[str, Any]) -> list[str]:
    """Return what each point says where a pointer rests on it; else its coordinates."""
    if trace.get("type") == "heatmap":
        return _cells(trace)
    for key in ("hovertext", "text"):
        said = trace.get(key)
        if isinstance(said, list | tuple):
            return [plain(str(text)) for text in cast("Sequence[Any]", said)]
        if isinstance(said, str) and said:
            return [plain(said)]
    if trace.get("hoverinfo") == "skip" and not trace.get("name"):
        return []  # a line that only helps the eye
    xs, ys = (list(trace[n]) if trace.get(n) is not None else [] for n in ("x", "y"))
    return [f"{_number(x)}, {_number(y)}" for x, y in zip(xs, ys, strict=False) if x is not None]


def _cells(trace: Mapping[str, Any]) -> list[str]:
    said = trace.get("hovertext") or trace.get("text")
    if said is None:
        return []
    return [plain(str(text)) for line in said for text in line]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else plain(str(value))
