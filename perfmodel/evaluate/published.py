"""The form of a file of published claims, one system a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field

from perfmodel.errors import nearest
from perfmodel.frozen import FrozenModel
from perfmodel.marks import Path
from perfmodel.pydantic_faults import Flaw

#: On what a predicted number stands.
Basis: TypeAlias = Literal["first_principles", "given", "fitted"]
Verdict: TypeAlias = Literal["within", "off", "not_public"]


class _ClaimsSchema(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class PublishedSource(_ClaimsSchema):
    """A document that a reader can find."""

    title: str
    """Title of the paper, page or data set."""
    authors: str | None = None
    """Authors, for papers."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of publication."""
    url: str | None = None
    """Address, DOI or arXiv number."""
    note: str | None = None
    """Table, page, how sure."""


class Ask(_ClaimsSchema):
    """A prediction that gives the number."""

    workload: str
    """Name of the library."""
    parameters: dict[str, int | float | str] = Field(default_factory=dict)
    """Phase and free dimensions."""
    device: str
    """Name of the library."""
    precision: str | None = None
    """As `perfmodel predict` takes it."""
    runtime: str | None = None
    """As `perfmodel predict` takes it."""
    facts: dict[str, int | float | str] = Field(default_factory=dict)
    """Facts of the device to set."""
    metric: str
    """Attribute of the prediction."""


class PublishedClaim(_ClaimsSchema):
    """One published number."""

    claim: str = Field(pattern=r"^[a-z0-9][a-z0-9_.]*$")
    """Name within the system."""
    title: str
    """What is claimed, in words."""
    published: float | None
    """The number; null where it is not public, or where `between` says what is."""
    between: tuple[float | None, float | None] | None = None
    """Published as a range or a bound, not as a number: lowest and highest, null for none. Anything
    between counts as within, nothing else does."""
    unit: str = ""
    """Its unit."""
    source: str
    """Key of `sources`."""
    note: str | None = None
    """What a reader must know; why a prediction misses."""
    basis: Basis
    """``first_principles``: physics and the stated geometry; ``given``: constants of the same
    publication enter; ``fitted``: a constant was fitted to published numbers."""
    constants: tuple[str, ...] = ()
    """Constants that enter, by name, with their value."""
    tolerance: float = Field(default=0.10, gt=0, le=1)
    """Largest relative error that counts as within: 0.10 where first principles define the number,
    0.25 for end-to-end times of devices."""
    ask: Ask | None = None
    """Prediction that gives the number; else the system's module computes it by the same name."""


class PublishedSystem(_ClaimsSchema):
    """A published system and what it claims."""

    schema_version: Literal[1]
    """Version of this form."""
    system: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Snake case; the file's name."""
    title: str
    """Full name."""
    about: str = ""
    """What the claims are about, and what is modelled."""
    sources: dict[str, PublishedSource]
    """Documents by key."""
    claims: tuple[PublishedClaim, ...] = Field(min_length=1)
    """What is claimed."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield names used twice, and sources that are not there."""
        sources, claims = data.get("sources"), data.get("claims")
        known = list(cast("Mapping[str, Any]", sources)) if isinstance(sources, Mapping) else []
        seen: set[str] = set()
        entries = cast("list[Any]", claims) if isinstance(claims, list | tuple) else []
        for i, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                continue
            item = cast("Mapping[str, Any]", entry)
            name, source = item.get("claim"), item.get("source")
            if isinstance(name, str) and name in seen:
                yield Flaw(("claims", i, "claim"), f"'{name}' is used twice", "each name once")
            seen.add(str(name))
            yield from _range_flaws(("claims", i, "between"), item)
            if isinstance(source, str) and source not in known:
                yield Flaw(
                    ("claims", i, "source"),
                    f"no source is named '{source}'",
                    "a key of 'sources'",
                    nearest(source, known),
                )


def _range_flaws(at: Path, item: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what keeps a range from being one."""
    ends = item.get("between")
    if not isinstance(ends, list | tuple):
        return
    known = [end for end in cast("list[Any]", ends) if isinstance(end, int | float)]
    if not known:
        yield Flaw(at, "has no end", "a lowest or a highest number")
    elif known != sorted(known):
        yield Flaw(at, f"{known[0]:g} is above {known[1]:g}", "the lowest first")
    if item.get("published") is not None:
        yield Flaw(at, "stands beside a published number", "published: null")
