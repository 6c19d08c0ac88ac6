"""Errors of other tools on data sets or similar rows, as published or as run.

Each package of data sets may state them in a file ``peers.yaml``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from perfmodel.catalog import packages
from perfmodel.evaluate.datasets import GROUP
from perfmodel.frozen_model import FrozenModel
from perfmodel.specfile import read, validate

#: Name of the file of `Peers` in a package of data sets.
_FILE: Final = "peers.yaml"


class Peer(FrozenModel):
    """Error of another tool on a data set, or on similar rows."""

    data: str
    """Data set to compare with."""
    peer: str
    """Name of the tool."""
    error: float = Field(gt=0)
    """Mean absolute percentage error as a fraction."""
    what: str
    """Description of the evaluation: rows, devices, whether the devices were seen."""
    same_rows: bool = False
    """Whether the error is for exactly the rows of the data set."""
    source: str
    """Title of the document, or method of the run."""
    url: str | None = None
    """Address of the document."""


class Peers(FrozenModel):
    """File of errors of other tools."""

    schema_version: Literal[1]
    """Version of the format."""
    peers: tuple[Peer, ...]
    """Errors of other tools."""


def peers() -> tuple[Peer, ...]:
    """Return the errors of other tools stated by installed packages of data sets."""
    known: list[Peer] = []
    for package in packages(GROUP):
        file = Path(str(package.__path__[0])) / _FILE
        if file.is_file():
            data, marks = read(file)
            known += validate(Peers, data, marks, file.name).peers
    return tuple(known)
