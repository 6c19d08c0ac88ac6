"""Schema of a workload file: family, structure, defaults, sources and published counts.

pydantic validates the fields; `WorkloadFile.structure_faults` adds the checks across them, among
them those of the family that the file selects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perfmodel.errors import InputError, nearest, one_of
from perfmodel.formats import as_precision
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw, faults_of
from perfmodel.workload.families import Family, family, family_names, is_template
from perfmodel.workload.workload import check_extent


class _WorkloadSchema(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class WorkloadSource(_WorkloadSchema):
    """Source of a structure or a count."""

    title: str
    """Title of the document, file or page."""
    publisher: str | None = None
    """Publisher."""
    authors: str | None = None
    """Authors, for papers."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of publication."""
    url: str | None = None
    """Address, DOI or arXiv number."""
    note: str | None = None
    """Page, table, quotation."""


class Published(_WorkloadSchema):
    """Published counts, which the graph must reproduce."""

    params: float | None = Field(default=None, gt=0)
    """Stored parameters."""
    active_params: float | None = Field(default=None, gt=0)
    """Parameters of a mixture of experts that one token reads."""
    macs: float | None = Field(default=None, gt=0)
    """Multiply-accumulates of one run with the file's parameters."""
    source: str
    """Key of `sources`."""
    note: str | None = None
    """Scope of the counts."""


class WorkloadFile(_WorkloadSchema):
    """A model of the workload library."""

    schema_version: Literal[1]
    """Version of this schema."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Common name in snake case, equal to the file's name."""
    aliases: tuple[str, ...] = ()
    """Other names."""
    title: str = ""
    """Full name."""
    tags: tuple[str, ...] = ()
    """Groups that it belongs to: llm, cnn, image, mcu ..."""
    family: str
    """Family of models: transformer, resnet, layers ..."""
    structure: dict[str, Any] = Field(default_factory=dict)
    """Fields of the family's structure."""
    parameters: dict[str, int | float] = Field(default_factory=dict)
    """Defaults of free dimensions."""
    trained_context: int = Field(default=0, ge=0)
    """Longest context in tokens that the model is trained on, by its config; 0 if unknown or if the
    structure has a table of positions."""
    precision: str = ""
    """Precision that the model fixes."""
    sources: dict[str, WorkloadSource] = Field(default_factory=dict)
    """Sources by key."""
    published: Published | None = None
    """Published counts."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield flaws within the family's structure and across the file."""
        published, sources = data.get("published"), data.get("sources")
        if isinstance(published, Mapping) and isinstance(sources, Mapping):
            key = cast("Mapping[str, Any]", published).get("source")
            known_sources = [str(source) for source in cast("Mapping[str, Any]", sources)]
            if isinstance(key, str) and key not in known_sources:
                yield Flaw(
                    ("published", "source"),
                    f"no source is named '{key}'",
                    "a key of 'sources'",
                    nearest(key, known_sources),
                )
        precision = data.get("precision")
        if isinstance(precision, str) and precision:
            try:
                as_precision(precision)
            except InputError as error:
                for fault in error.faults:
                    yield Flaw(("precision",), fault.message, fault.expected, fault.suggestion)
        name, structure = data.get("family"), data.get("structure", {})
        if not isinstance(name, str):
            return
        try:
            kind = family(name)
        except KeyError:
            yield Flaw(
                ("family",),
                f"no family is named '{name}'",
                one_of(family_names()),
                nearest(name, family_names()),
            )
            return
        if not isinstance(structure, Mapping):
            return
        if "structure" not in data and nearest(
            "structure", data.keys() - WorkloadFile.model_fields
        ):
            return  # misspelt: reported as an unknown key, so the missing fields are not
        shape = cast("Mapping[str, Any]", structure)
        own = name == "layers" and is_template(shape)
        if own:
            from perfmodel.workload.template_family import inline_family, inline_template_flaws

            flaws = inline_template_flaws(shape)
            if not flaws:
                kind, shape = inline_family(shape), cast("Mapping[str, Any]", {})
        else:
            flaws = structure_flaws(kind, shape)
        for flaw in flaws:
            yield Flaw(
                ("structure", *flaw.path), flaw.message, flaw.expected, flaw.suggestion, flaw.on_key
            )
        defaults = data.get("parameters")
        if isinstance(defaults, Mapping):
            known = () if own and flaws else _known_parameters(kind, shape)
            yield from _defaults(cast("Mapping[str, Any]", defaults), known)


def structure_flaws(kind: Family, shape: Mapping[str, Any]) -> list[Flaw]:
    """Return all flaws in the fields of a family's structure."""
    flaws: list[Flaw] = []
    try:
        kind.structure.model_validate(shape)
    except ValidationError as error:
        flaws += faults_of(error, kind.structure)
    check = getattr(kind.structure, "structure_faults", None)
    if check is not None:
        flaws += check(shape)
    return flaws


def all_parameters(kind: Family, structure: BaseModel) -> dict[str, tuple[str, ...]]:
    """Return the free dimensions over all phases, each with the phases that have it."""
    field = type(structure).model_fields.get("phase")
    if field is None:
        return dict.fromkeys(kind.parameters(structure), ())
    phases_of: dict[str, tuple[str, ...]] = {}
    for phase in get_args(field.annotation):
        for name in kind.parameters(structure.model_copy(update={"phase": phase})):
            phases_of[name] = (*phases_of.get(name, ()), phase)
    return phases_of


def _known_parameters(kind: Family, shape: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the free dimensions of a structure, which may have faults; none if it cannot tell."""
    try:
        return tuple(all_parameters(kind, kind.structure.model_construct(None, **shape)))
    except (InputError, AttributeError, KeyError, TypeError, ValueError):
        return ()


def _defaults(defaults: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Flaw]:
    for name, value in defaults.items():
        if known and name not in known:
            yield Flaw(
                ("parameters", name),
                f"no free dimension '{name}'",
                one_of(known),
                nearest(name, known),
                on_key=True,
            )
        elif isinstance(value, int | float):
            for fault in check_extent(name, value):
                yield Flaw(("parameters", name), fault.message, fault.expected)
