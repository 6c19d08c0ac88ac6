"""Catalogue of cited documents, and resolution of the citations that equations state.

Documentation of a formula cites its source as text (``"Williams et al., CACM 52(4), 2009"``).
`resolve` finds the cited documents in ``hardware_specs/references.yaml``, so that every prediction
can list the literature that it rests on.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple, cast

from perfmodel.references.reference import Reference, same_address
from perfmodel.specfile import shipped


class Resolved(NamedTuple):
    """Resolved citation of an equation.

    Attributes
    ----------
    references
        Cited documents.
    pages
        Cited pages of this project's documentation.
    meanings
        Parts that refer to no document -> their meaning.
    unknown
        Parts that could not be resolved.
    """

    references: tuple[Reference, ...]
    pages: tuple[str, ...]
    meanings: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def _file() -> dict[str, Any]:
    return cast("dict[str, Any]", shipped("hardware_specs", "references.yaml"))


@cache
def known() -> dict[str, Reference]:
    """Return all references of the catalogue by key."""
    references: dict[str, Reference] = {}
    for key, entry in _file()["references"].items():
        fields = {
            name: entry[name]
            for name in ("title", "authors", "year", "venue", "url")
            if name in entry
        }
        references[key] = Reference(key, **fields)
    return references


@cache
def specified() -> dict[str, str]:
    """Return the texts that refer to no document, with their meanings."""
    return {entry["text"]: entry["meaning"] for entry in _file()["specified"]}


@cache
def by_address() -> dict[str, Reference]:
    """Return the references of the catalogue by address, including alternative addresses."""
    references: dict[str, Reference] = {}
    for key, entry in _file()["references"].items():
        for url in (entry.get("url"), *entry.get("also", ())):
            if url:
                references[same_address(url)] = known()[key]
    return references


@cache
def _names() -> tuple[tuple[str, str], ...]:
    """Return the names by which texts cite references, the longest first."""
    pairs = [
        (name, key)
        for key, entry in _file()["references"].items()
        for name in entry.get("cited_as", ())
    ]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


@cache
def resolve(text: str) -> Resolved:
    """Resolve the citation of an equation.

    Parameters
    ----------
    text
        Parts separated by semicolons: ``"Williams et al., CACM 52(4), 2009; docs/npu.md"``.
    """
    references: dict[str, Reference] = {}
    pages: list[str] = []
    meanings: list[tuple[str, str]] = []
    unknown: list[str] = []
    for part in (piece.strip() for piece in text.split(";")):
        unmatched = part
        for name, key in _names():
            if name in unmatched:
                references[key] = known()[key]
                unmatched = unmatched.replace(name, "")
        for page in re.findall(r"docs/[a-z_0-9]+\.md", unmatched):
            pages.append(page)
            unmatched = unmatched.replace(page, "")
        for phrase, meaning in specified().items():
            if phrase in unmatched:
                meanings.append((phrase, meaning))
                unmatched = ""
        if unmatched.strip(" ,:"):
            unknown.append(unmatched.strip(" ,:"))
    return Resolved(tuple(references.values()), tuple(pages), tuple(meanings), tuple(unknown))
