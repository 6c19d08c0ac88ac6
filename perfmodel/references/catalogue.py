"""The references that ship with the package, and which of them a free text names."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple, cast

from perfmodel.references.reference import Reference, same_address
from perfmodel.specfile import shipped


class Resolved(NamedTuple):
    """What a citation of an equation stands for.

    Attributes
    ----------
    references
        Documents that it names.
    pages
        Pages of this project's documentation.
    said
        Parts that name no document, each with what stands behind it.
    unknown
        Parts that name nothing that is known.
    """

    references: tuple[Reference, ...]
    pages: tuple[str, ...]
    said: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def _file() -> dict[str, Any]:
    return cast("dict[str, Any]", shipped("hardware_specs", "references.yaml"))


@cache
def known() -> dict[str, Reference]:
    """Return every reference of the catalogue by key."""
    found: dict[str, Reference] = {}
    for key, given in _file()["references"].items():
        fields = {
            name: given[name]
            for name in ("title", "authors", "year", "venue", "url")
            if name in given
        }
        found[key] = Reference(key, **fields)
    return found


@cache
def specified() -> dict[str, str]:
    """Return texts that name no document, and what stands behind each."""
    return {entry["text"]: entry["meaning"] for entry in _file()["specified"]}


@cache
def by_address() -> dict[str, Reference]:
    """Return references of the catalogue by address, further addresses of each included."""
    found: dict[str, Reference] = {}
    for key, given in _file()["references"].items():
        for url in (given.get("url"), *given.get("also", ())):
            if url:
                found[same_address(url)] = known()[key]
    return found


@cache
def _names() -> tuple[tuple[str, str], ...]:
    """Ways in which texts name a reference, the longest first."""
    pairs = [
        (name, key)
        for key, given in _file()["references"].items()
        for name in given.get("cited_as", ())
    ]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


@cache
def resolve(text: str) -> Resolved:
    """Return what the citation of an equation stands for.

    Parameters
    ----------
    text
        Parts with semicolons between them: ``"Williams et al., CACM 52(4), 2009; docs/npu.md"``.
    """
    references: dict[str, Reference] = {}
    pages: list[str] = []
    said: list[tuple[str, str]] = []
    unknown: list[str] = []
    for part in (piece.strip() for piece in text.split(";")):
        rest = part
        for name, key in _names():
            if name in rest:
                references[key] = known()[key]
                rest = rest.replace(name, "")
        for page in re.findall(r"docs/[a-z_0-9]+\.md", rest):
            pages.append(page)
            rest = rest.replace(page, "")
        for phrase, meaning in specified().items():
            if phrase in rest:
                said.append((phrase, meaning))
                rest = ""
        if rest.strip(" ,:"):
            unknown.append(rest.strip(" ,:"))
    return Resolved(tuple(references.values()), tuple(pages), tuple(said), tuple(unknown))
