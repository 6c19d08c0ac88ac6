"""What other tools say of the same rows, as published or as run beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from perfmodel.catalog import packages
from perfmodel.evaluate.datasets import GROUP
from perfmodel.frozen import FrozenModel
from perfmodel.specfile import read, validate

#: In a package of data sets, beside its readers.
_FILE = "peers.yaml"


class Peer(FrozenModel):
    """An error of another tool on a data set, or on one of its kind."""

    data: str
    """Data set that it stands beside."""
    peer: str
    """The other tool."""
    error: float = Field(gt=0)
    """Mean absolute percentage error as a fraction."""
    what: str
    """Of what: rows, devices, whether the device was seen."""
    same_rows: bool = False
    """Whether it was measured on the very rows of the data set."""
    source: str
    """Title of the document, or how it was run."""
    url: str | None = None
    """Its address."""


class Peers(FrozenModel):
    """The file."""

    schema_version: Literal[1]
    """Version of this form."""
    peers: tuple[Peer, ...]
    """One an error."""


def peers() -> tuple[Peer, ...]:
    """Return the errors of other tools that installed packages of data sets know."""
    known: list[Peer] = []
    for package in packages(GROUP):
        file = Path(str(package.__path__[0])) / _FILE
        if file.is_file():
            data, marks = read(file)
            known += validate(Peers, data, marks, file.name).peers
    return tuple(known)
