"""Which cores a chip has and how fast a product runs, where a heading of the page does not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from perfmodel.hardware import Confidence, Of, Quantity, Source, Spec, check_sources
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import read, validate
from pydantic import Field

__all__ = ["Chips", "NcnnPlatform", "Snapdragon", "chips"]

_FILE = Path(__file__).parent / "chips.yaml"

Frequency: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]


class Snapdragon(Spec):
    """Cores of a chip whose heading says Kryo."""

    cores: tuple[str, ...] = Field(min_length=1)
    """Core of each cluster, the fastest first."""
    source: str | None = None
    """Key of `sources`."""
    confidence: Confidence | None = None
    """``estimated`` where it was recalled."""
    note: str | None = None
    """What a reader must know."""


class NcnnPlatform(Spec):
    """Cores of a product that a heading names alone."""

    heading: str
    """Pattern that the heading has."""
    core: str
    """Device of the library that is one such core."""
    count: int = Field(gt=0)
    """How many there are."""
    clock: Frequency
    """With all at work."""
    boost: Frequency | None = None
    """With one at work, where it is higher."""
    source: str | None = None
    """Key of `sources`."""
    confidence: Confidence | None = None
    """``estimated`` where it was recalled."""
    note: str | None = None
    """What a reader must know."""


class Chips(Spec):
    """The file."""

    schema_version: Literal[1]
    """Version of this form."""
    sources: Mapping[str, Source]
    """Documents that entries cite, by key."""
    snapdragons: Mapping[str, Snapdragon]
    """What follows ``Snapdragon`` in a heading -> its cores."""
    products: tuple[NcnnPlatform, ...]
    """One a product; the first that fits counts."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Every source that an entry names is in the file."""
        return check_sources(data)


@cache
def chips() -> Chips:
    """Return what is known of chips and products."""
    data, marks = read(_FILE)
    return validate(Chips, data, marks, _FILE.name)
