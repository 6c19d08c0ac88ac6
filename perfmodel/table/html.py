"""HTML fragments for reports and notebooks: tables, cards, texts; all text is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple


class HtmlCell(NamedTuple):
    """A cell of a table: its text, and the number for sorting (NaN for a text)."""

    text: str
    value: float = math.nan


def paragraph(text: str, css_class: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{_class(css_class)}>{escape(text)}</p>"


def preformatted(text: str, css_class: str = "") -> str:
    """Return preformatted text."""
    return f'<pre{_class(css_class)} tabindex="0">{escape(text)}</pre>'


def items(texts: Iterable[str], css_class: str = "") -> str:
    """Return a list of plain texts; empty if there are none."""
    inner = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul{_class(css_class)}>{inner}</ul>" if inner else ""


def details(summary: str, inner: str) -> str:
    """Return an expandable section."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def cards(pairs: Iterable[tuple[str, str, str]]) -> str:
    """Return headline numbers: label, number, and a small text below it."""
    inner = "".join(
        f"<div><dt>{escape(label.strip())}</dt><dd>{escape(text)}"
        + (f"<small>{escape(more)}</small>" if more else "")
        + "</dd></div>"
        for label, text, more in pairs
    )
    return f'<dl class="cards">{inner}</dl>'


def labelled_table(pairs: Iterable[tuple[str, str]]) -> str:
    """Return labelled numbers as a table; empty if there are none."""
    inner = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>'
        for label, text in pairs
    )
    return f"<table><tbody>{inner}</tbody></table>" if inner else ""


def table(
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
        Titles of the columns, optionally with a unit.
    body
        Cells by row; a plain string is a text cell.
    sorts
        Whether headings sort the table (in browsers that run scripts).
    """
    lines = [[c if isinstance(c, HtmlCell) else HtmlCell(c) for c in line] for line in body]
    numeric = [any(not math.isnan(line[i].value) for line in lines) for i in range(len(heads))]
    head = ""
    for title, number in zip(heads, numeric, strict=True):
        name, unit = title if isinstance(title, tuple) else (title, "")
        small = f"<small>{escape(unit)}</small>" if unit else ""
        attribute = _class("n" if number else "")
        head += f'<th scope="col"{attribute}><span>{escape(name)}</span>{small}</th>'
    inner = ""
    for line in lines:
        inner += "<tr>"
        for cell, number in zip(line, numeric, strict=True):
            key = "" if math.isnan(cell.value) or not sorts else f' data-v="{cell.value:.9g}"'
            inner += f"<td{_class('n' if number else '')}{key}>{escape(cell.text)}</td>"
        inner += "</tr>"
    caption_row = f"<caption>{escape(caption)}</caption>" if caption else ""
    attribute = ' class="sorts"' if sorts and len(lines) > 2 else ""
    return (
        f'<div class="scroll" tabindex="0"><table{attribute}>{caption_row}'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{inner}</tbody></table></div>"
    )


def _class(css_class: str) -> str:
    return f' class="{css_class}"' if css_class else ""
