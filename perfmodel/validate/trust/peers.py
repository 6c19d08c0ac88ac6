"""What other tools say of the same rows, as published or as run beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.specfile import read, validate

__all__ = ["Peer", "peers"]

_FILE = Path(__file__).parent / "peers.yaml"


class _PeersSchema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Peer(_PeersSchema):
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


class Peers(_PeersSchema):
    """The file."""

    schema_version: Literal[1]
    """Version of this form."""
    peers: tuple[Peer, ...]
    """One an error."""


def peers() -> tuple[Peer, ...]:
    """Return the errors of other tools that are kept."""
    data, marks = read(_FILE)
    return validate(Peers, data, marks, _FILE.name).peers
