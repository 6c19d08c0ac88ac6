"""Schema of files of published claims (YAML, one per system).

A file names its documents, and for each claim the number, its unit and source, and the arguments of
the prediction to compare it with. `perfmodel.evaluate.claims` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field

from perfmodel.errors import nearest
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.source_positions import Path

#: Basis of a predicted number.
Basis: TypeAlias = Literal["first_principles", "given", "fitted"]
Verdict: TypeAlias = Literal["within", "off", "not_public"]


class _ClaimsSchema(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class PublishedSource(_ClaimsSchema):
    """A cited document, with enough detail for a reader to find it."""

    title: str
    """Title of the paper, page or data set."""
    authors: str | None = None
    """Authors, for papers."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of publication."""
    url: str | None = None
    """Address, DOI or arXiv number."""
    note: str | None = None
    """Table, page, reliability."""


class Ask(_ClaimsSchema):
    """Arguments of the prediction of a claimed number."""

    workload: str
    """Workload of the library."""
    parameters: dict[str, int | float | str] = Field(default_factory=dict)
    """Phase and free dimensions."""
    device: str | None = None
    """Device of the library; without one `metric` reads the workload itself (``weights``)."""
    precision: str | None = None
    """Precision, as for `perfmodel predict`."""
    runtime: str | None = None
    """Runtime, as for `perfmodel predict`."""
    facts: dict[str, int | float | str] = Field(default_factory=dict)
    """Facts of the device to set."""
    metric: str
    """Attribute of the prediction, or an expression of attributes, of resources of an FPGA (how
    many are used) and of columns of its rows, each of which stands for its sum over all kernels
    that run (``100 * link_s / latency_s``)."""
    over: Ask | None = None
    """Another prediction, whose number divides this one's."""


class PublishedClaim(_ClaimsSchema):
    """One published number."""

    claim: str = Field(pattern=r"^[a-z0-9][a-z0-9_.]*$")
    """Name within the system."""
    title: str
    """Description of the claim."""
    published: float | None
    """Published number; null if it is not public or if `between` is used instead."""
    between: tuple[float | None, float | None] | None = None
    """Published range or bound instead of a number: lowest and highest value, null for none. A
    prediction is ``within`` exactly if it is inside."""
    unit: str = ""
    """Unit of the number."""
    source: str
    """Key of `sources`."""
    note: str | None = None
    """Remarks for the reader; reason for a deviation."""
    basis: Basis
    """``first_principles``: physics and the stated geometry; ``given``: also constants of the same
    publication; ``fitted``: also a constant fitted to published numbers."""
    constants: tuple[str, ...] = ()
    """Constants used, by name, with their value."""
    tolerance: float = Field(default=0.10, gt=0, le=1)
    """Largest relative error for the verdict ``within``: 0.10 where first principles define the
    number, 0.25 for end-to-end times of devices."""
    ask: Ask | None = None
    """Prediction of the number; otherwise the system's module computes it under the same name."""


class PublishedSystem(_ClaimsSchema):
    """A published system and its claims."""

    schema_version: Literal[1]
    """Version of the format."""
    system: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Name in snake case, equal to that of the file."""
    title: str
    """Full name."""
    about: str = ""
    """Subject of the claims, and scope of the model."""
    sources: dict[str, PublishedSource]
    """Cited documents, by key."""
    claims: tuple[PublishedClaim, ...] = Field(min_length=1)
    """Claims of the system."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield duplicate names and undefined sources."""
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
    """Yield the flaws of a published range."""
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
