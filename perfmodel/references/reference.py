"""A document, from the catalogue or from a spec file's `sources`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: How titles of entries begin that stand for no document.
_NONE = (
    "assumed",
    "as recalled",
    "recalled",
    "from the data sheet, recalled",
    "set by the user",
    "by definition",
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A document that a reader can find.

    Attributes
    ----------
    key : str
        Unique among the references of a result.
    title, authors, venue, url, note : str
        Empty where not known; `venue` is a journal, conference, vendor or site.
    year : int or None
    """

    key: str
    title: str
    authors: str = ""
    year: int | None = None
    venue: str = ""
    url: str = ""
    note: str = ""

    @property
    def documented(self) -> bool:
        """Whether it is a document, rather than a word that a number was assumed or recalled."""
        return not self.title.lower().startswith(_NONE)

    def __str__(self) -> str:
        where = ", ".join(str(part) for part in (self.venue, self.year) if part)
        parts = (self.authors, self.title.rstrip("."), where, self.url)
        return ". ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of it, ready for JSON."""
        return {
            "key": self.key,
            "title": self.title,
            "authors": self.authors or None,
            "year": self.year,
            "venue": self.venue or None,
            "url": self.url or None,
            "note": self.note or None,
        }


def of_source(key: str, source: Any) -> Reference:
    """Return an entry of a spec's ``sources`` as a reference.

    Parameters
    ----------
    key
        Its key.
    source
        Anything with ``title``, ``publisher``, ``authors``, ``year``, ``url`` and ``note``.
    """

    def said(name: str) -> str:
        return str(getattr(source, name, None) or "")

    year = getattr(source, "year", None)
    return Reference(
        key, said("title"), said("authors"), year, said("publisher"), said("url"), said("note")
    )


def same_address(url: str) -> str:
    """Return an address without what does not tell documents apart: ``arxiv:2407.21783``."""
    text = re.sub(r"^https?://(www\.)?", "", url.strip().lower()).rstrip("/")
    arxiv = re.match(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", text)
    if arxiv:
        return f"arxiv:{arxiv[1]}"
    return text.replace("dx.doi.org/", "doi.org/")
