"""Pieces of HTML, of pages and of notebooks alike: tables, cards, texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple


class HtmlCell(NamedTuple):
    """A cell of a table: what it shows, and the number that it sorts by (NaN for a text)."""

    text: str
    value: float = math.nan


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def preformatted(text: str, kind: str = "") -> str:
    """Return text as it is typed."""
    return f'<pre{_class(kind)} tabindex="0">{escape(text)}</pre>'


def items(texts: Iterable[str], kind: str = "") -> str:
    """Return a list of plain texts; nothing where there are none."""
    inner = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul{_class(kind)}>{inner}</ul>" if inner else ""


def details(summary: str, inner: str) -> str:
    """Return what opens at a click."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def cards(pairs: Iterable[tuple[str, str, str]]) -> str:
    """Return headline numbers: label, number, and what stands small below it."""
    inner = "".join(
        f"<div><dt>{escape(label.strip())}</dt><dd>{escape(text)}"
        + (f"<small>{escape(more)}</small>" if more else "")
        + "</dd></div>"
        for label, text, more in pairs
    )
    return f'<dl class="cards">{inner}</dl>'


def labels(pairs: Iterable[tuple[str, str]]) -> str:
    """Return numbers with their labels as a table; nothing where there are none."""
    inner = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>'
        for label, text in pairs
    )
    return f"<table><tbody>{inner}</tbody></table>" if inner else ""


def rows(
    heads: Sequence[str | tuple[str, str]],
    body: Iterable[Sequence[HtmlCell | str]],
    caption: str = "",
    *,
    sorts: bool = False,
) -> str:
    """Return a table.

    Parameters
    ----------
    heads
        Titles of the columns, each perhaps with a unit.
    body
        Cells by row; a text alone is a cell of text.
    sorts
        Let a reader sort it by its headings (where the browser runs scripts).
    """
    lines = [[c if isinstance(c, HtmlCell) else HtmlCell(c) for c in line] for line in body]
    numeric = [any(not math.isnan(line[i].value) for line in lines) for i in range(len(heads))]
    head = ""
    for title, number in zip(heads, numeric, strict=True):
        name, unit = title if isinstance(title, tuple) else (title, "")
        small = f"<small>{escape(unit)}</small>" if unit else ""
        kind = _class("n" if number else "")
        head += f'<th scope="col"{kind}><span>{escape(name)}</span>{small}</th>'
    inner = ""
    for line in lines:
        inner += "<tr>"
        for cell, number in zip(line, numeric, strict=True):
            key = "" if math.isnan(cell.value) or not sorts else f' data-v="{cell.value:.9g}"'
            inner += f"<td{_class('n' if number else '')}{key}>{escape(cell.text)}</td>"
        inner += "</tr>"
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    kind = ' class="sorts"' if sorts and len(lines) > 2 else ""
    return (
        f'<div class="scroll" tabindex="0"><table{kind}>{said}<thead><tr>{head}</tr></thead>'
        f"<tbody>{inner}</tbody></table></div>"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
