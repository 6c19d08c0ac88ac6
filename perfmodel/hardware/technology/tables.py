"""Tables of sourced energies, areas, nodes and costs in ``hardware_specs``, read once."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from perfmodel.hardware.device import Source
from perfmodel.package_data import data_root
from perfmodel.units import parse

#: Names of the tables of energies, areas and links, in ``hardware_specs/energy``.
NAMES = ("operations", "memories", "nodes", "areas", "power_classes", "links")
#: Table of costs, in ``hardware_specs``.
OWNERSHIP = "ownership"


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table as plain data; do not change it.

    Parameters
    ----------
    name
        One of `NAMES`, or `OWNERSHIP`.
    """
    from perfmodel.specfile import read

    data, _ = read(data_root() / ("energy" if name in NAMES else "") / f"{name}.yaml")
    return cast("dict[str, Any]", data)


@cache
def sources(name: str) -> dict[str, Source]:
    """Return the documents that a table cites, by key.

    Parameters
    ----------
    name
        One of `NAMES`, or `OWNERSHIP`.
    """
    return {
        key: Source.model_validate(document, context={"spec_file": True})
        for key, document in table(name)["sources"].items()
    }


def cited(writer: str, keys: str | None) -> dict[str, Source]:
    """Return the documents cited by a fact from a table; none for other facts.

    Parameters
    ----------
    writer, keys
        Writer (``table operations``) and source (``horowitz2014, jouppi2021``) of its provenance.
    """
    word, _, name = writer.partition(" ")
    if word != "table" or keys is None:
        return {}
    return {key: sources(name)[key] for key in keys.split(", ")}


def nanometres(text: str) -> float:
    """Return the number of nanometres of a text such as ``"45 nm"``."""
    return parse(text, "length") * 1e9
