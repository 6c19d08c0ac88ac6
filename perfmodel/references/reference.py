"""Reference to a document, from the catalogue or from the `sources` of a spec file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: Beginnings of titles of entries that are not documents.
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
    """Reference to a document.

    Attributes
    ----------
    key : str
        Unique key among the references of a result.
    title, authors, venue, url, note : str
        Empty if unknown; `venue` is a journal, conference, vendor or website.
    year : int or None
        Year of publication.
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
        """Whether the entry is a document rather than a remark such as an assumption."""
        return not self.title.lower().startswith(_NONE)

    def __str__(self) -> str:
        where = ", ".join(str(part) for part in (self.venue, self.year) if part)
        parts = (self.authors, self.title.rstrip("."), where, self.url)
        return ". ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Return the known fields as a JSON-compatible dictionary."""
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
        Key of the entry.
    source
        Object with ``title``, ``publisher``, ``authors``, ``year``, ``url`` and ``note``.
    """

    def field_text(name: str) -> str:
        return str(getattr(source, name, None) or "")

    year = getattr(source, "year", None)
    return Reference(
        key,
        field_text("title"),
        field_text("authors"),
        year,
        field_text("publisher"),
        field_text("url"),
        field_text("note"),
    )


def same_address(url: str) -> str:
    """Return the normalised form of an address, such as ``arxiv:2407.21783``."""
    text = re.sub(r"^https?://(www\.)?", "", url.strip().lower()).rstrip("/")
    arxiv = re.match(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", text)
    if arxiv:
        return f"arxiv:{arxiv[1]}"
    return text.replace("dx.doi.org/", "doi.org/")
