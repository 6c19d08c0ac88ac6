"""BibTeX output of references, for `pm.cite`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from perfmodel.references.reference import Reference

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def to_bibtex(references: Iterable[Reference]) -> str:
    """Return one BibTeX entry per reference, in the same order.

    Parameters
    ----------
    references
        References with unique keys.
    """
    return "\n\n".join(_entry(each) for each in references) + "\n"


def _entry(reference: Reference) -> str:
    fields = {
        "title": "{" + _text(reference.title) + "}",
        "author": _authors(reference.authors),
        "year": str(reference.year) if reference.year else "",
        "howpublished": _text(reference.venue),
        "url": reference.url.replace("{", "%7B").replace("}", "%7D").replace(" ", "%20"),
        "note": _text(reference.note),
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    key = re.sub(r"[^A-Za-z0-9_:.-]", "_", reference.key)
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _text(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def _authors(text: str) -> str:
    """Return comma-separated names in BibTeX form; an organisation remains a single name."""
    names = [name.strip() for name in re.split(r",|\band\b(?!\s+others)", text) if name.strip()]
    if len(names) < 2:
        return "{" + _text(text) + "}" if text else ""
    return " and ".join(
        "others" if name in ("others", "and others") else _text(name) for name in names
    )
