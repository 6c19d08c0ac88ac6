"""Construction of the pydantic model that validates the fields which a template declares.

A template states each field of its structure with type, default and limits, and conditions under
which combinations are refused. `structure_model` returns a class with these fields, so that files
and settings of template families are checked like those of families written in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import Field, create_model

from perfmodel.errors import nearest, one_of
from perfmodel.frozen_model import FrozenModel, LargeCount, LargeCountOrNone
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.image_builder import ImageStructure
from perfmodel.workload.layer_expressions import (
    Scope,
    SizeError,
    evaluate_expression,
    interpolate,
    shown,
)
from perfmodel.workload.layer_fields import FlawList, Place, as_list, as_mapping

#: Types of a declared field; ``whole`` is an integer, ``count`` a width or number of layers.
_TYPES: Final = ("whole", "count", "number", "flag", "text", "record")
_KEYS: Final = (
    "type",
    "default",
    "least",
    "above",
    "most",
    "choices",
    "list",
    "of",
    "row",
    "fields",
    "doc",
)
#: `Literal` and `tuple` as plain values: a template determines their arguments at run time.
_LITERAL: Final[Any] = Literal
_TUPLE: Final[Any] = tuple
#: Structures whose fields a template may inherit.
_BASES: Final[Mapping[str, type[FrozenModel]]] = {"image": ImageStructure}


class TemplateStructure(FrozenModel):
    """Values of the fields that a template declares.

    Attributes
    ----------
    origin
        Name of the family, or the template itself if it belongs to none.
    refusals
        Conditions under which combinations of fields are invalid.
    FREE
        Fields that may remain symbols of the graph: those listed in field ``free``.
    """

    FREE: ClassVar[tuple[str, ...]] = ()

    origin: ClassVar[Any] = ""
    refusals: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the origin and the values, because the class cannot be imported by name."""
        from perfmodel.workload.template_family import restore_structure

        return restore_structure, (type(self).origin, self.model_dump())

    @classmethod
    def structure_faults(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield invalid combinations of fields."""
        names = {name: field.default for name, field in cls.model_fields.items()}
        names |= {key: _tuples(value) for key, value in data.items()}
        for refusal in cls.refusals:
            for place, entry in _places(refusal, names):
                scope = Scope({**names, **entry})
                try:
                    holds = evaluate_expression(str(refusal["when"]), scope, "a condition")
                except SizeError:  # the field is invalid by itself
                    continue
                if holds is True:
                    keys = ("message", "expected", "suggestion")
                    texts = (interpolate(str(refusal.get(key, "")), scope) for key in keys)
                    message, expected, suggestion = texts
                    yield Flaw(place, message, expected, suggestion)


def _places(
    refusal: Mapping[str, Any], names: Mapping[str, Any]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield a field, or each of its entries under the name that the refusal assigns."""
    place, each = tuple(str(refusal["field"]).split(".")), refusal.get("each")
    if each is None:
        yield place, {}
        return
    value: Any = names
    for key in place:
        value = (as_mapping(value) or {}).get(key)
    for i, item in enumerate(as_list(value) or ()):
        yield (*place, i), {str(each): item, "index": i}


def _tuples(value: Any) -> Any:
    """Return a value with its lists, at every depth, as tuples."""
    items = as_list(value)
    return value if items is None else tuple(map(_tuples, items))


def structure_model(name: str, data: Mapping[str, Any], flaws: FlawList) -> type[TemplateStructure]:
    """Return the pydantic model of a structure.

    Parameters
    ----------
    name
        Name of the model, as in `families`.
    data
        The template: its keys ``extends``, ``fields`` and ``refuse``.
    flaws
        List to which flaws of these keys are added.
    """
    bases: tuple[type[FrozenModel], ...] = (TemplateStructure,)
    if (base := data.get("extends")) is not None:
        if base in _BASES:
            bases = (TemplateStructure, _BASES[base])
        else:
            flaws.note(("extends",), f"no structure is named {shown(base)}", one_of(_BASES))
    fields = _fields(data.get("fields", {}), ("fields",), flaws)
    symbols = tuple(map(str, as_list(data.get("free")) or ()))
    if symbols:
        names = _LITERAL[symbols]
        fields["free"] = (tuple[names, ...], Field((), description="Fields kept as symbols."))
    title = "".join(part.capitalize() for part in name.split("_"))
    model = cast(
        "type[TemplateStructure]", create_model(f"{title}Structure", __base__=bases, **fields)
    )
    model.FREE = symbols
    flaws += (
        Flaw(("free",), f"no field is named '{field}'", suggestion=nearest(field, fields))
        for field in symbols
        if field not in fields
    )
    model.refusals = tuple(_refusals(data.get("refuse", ()), {*model.model_fields}, flaws))
    return model


def _refusals(raw: Any, fields: set[str], flaws: FlawList) -> Iterator[Mapping[str, Any]]:
    """Yield the valid entries of a template's ``refuse``; add flaws of the others."""
    for i, item in enumerate(as_list(raw) or ()):
        refusal = as_mapping(item) or {}
        missing = [key for key in ("when", "field", "message") if key not in refusal]
        flaws += (Flaw(("refuse", i), f"missing key '{key}'", on_key=True) for key in missing)
        field, *_ = str(refusal.get("field", "")).split(".")
        if not missing and field not in fields:
            message = f"no field is named '{field}'"
            flaws.note(("refuse", i, "field"), message, suggestion=nearest(field, fields))
        elif not missing:
            yield refusal


def _fields(raw: Any, place: Place, flaws: FlawList) -> dict[str, Any]:
    """Return name -> type and pydantic field of the declared fields; add flaws."""
    fields: dict[str, Any] = {}
    for name, item in flaws.mapping(raw, place, "names and fields").items():
        here = (*place, name)
        spec = as_mapping(item)
        if not str(name).isidentifier() or spec is None:
            flaws.note(here, f"'{name}' is not a field", "a name, and {type: whole, ...}")
            continue
        flaws.unknown_keys(spec, _KEYS, here)
        annotation = _annotation(str(name), spec, here, flaws)
        default = _tuples(spec["default"]) if "default" in spec else ...
        if default is None:
            annotation = annotation | None
        # Lists and records are converted to tuples and models, like the values of a file.
        is_compound = isinstance(default, Mapping | tuple)
        options: dict[str, Any] = {"validate_default": True} if is_compound else {}
        field: Any = Field(default, description=str(spec.get("doc", "")), **options)
        fields[str(name)] = (annotation, field)
    return fields


def _annotation(name: str, spec: Mapping[str, Any], place: Place, flaws: FlawList) -> Any:
    """Return the type of a field: a ``row`` of types, a list ``of`` a type, or a plain type."""
    if "row" in spec:
        kinds = [
            _annotation(name, as_mapping(kind) or {}, (*place, "row", i), flaws)
            for i, kind in enumerate(spec["row"])
        ]
        row = _TUPLE[tuple(kinds)]
        return _listed(row, spec, place, flaws)
    if "of" in spec:
        inner = as_mapping(spec["of"]) or {}
        return _listed(_annotation(name, inner, (*place, "of"), flaws), spec, place, flaws)
    return _listed(_plain(name, spec, place, flaws), spec, place, flaws)


def _listed(item: Any, spec: Mapping[str, Any], place: Place, flaws: FlawList) -> Any:
    """Return the type of a list with a fixed length, a range of lengths, or any length."""
    length = spec.get("list")
    if length is None:
        return item
    if length == "any":
        return tuple[item, ...]
    if type(length) is int and 0 < length <= 64:
        return _TUPLE[(item,) * length]
    ends = as_list(length) or ()
    if len(ends) == 2 and all(type(end) is int for end in ends):
        return Annotated[tuple[item, ...], Field(min_length=ends[0], max_length=ends[1])]
    expected = "a number of entries, the least and the greatest, or any"
    flaws.note((*place, "list"), f"{shown(length)} is not a length", expected)
    return tuple[item, ...]


def _plain(name: str, spec: Mapping[str, Any], place: Place, flaws: FlawList) -> Any:
    """Return the type of a single value: choices, or a ``type`` within its limits."""
    choices = as_list(spec.get("choices"))
    if choices is not None:
        return _LITERAL[tuple(choices)]
    least, most = spec.get("least", 1), spec.get("most", 10**5)
    match spec.get("type", "whole"):
        case "whole":
            return Annotated[int, Field(gt=0, le=most) if least == 1 else Field(ge=least, le=most)]
        case "count":
            return LargeCountOrNone if least == 0 else LargeCount
        case "number":
            above = Field(gt=spec["above"], le=most) if "above" in spec else None
            return Annotated[float, above or Field(ge=spec.get("least", 0), le=most)]
        case "flag":
            return bool
        case "text":
            return str
        case "record":
            fields = _fields(spec.get("fields", {}), (*place, "fields"), flaws)
            title = "".join(part.capitalize() for part in name.split("_"))
            return cast("Any", create_model(f"{title}Entry", __base__=FrozenModel, **fields))
        case kind:
            message, suggestion = f"no type is named {shown(kind)}", nearest(str(kind), _TYPES)
            flaws.append(Flaw((*place, "type"), message, one_of(_TYPES), suggestion))
            return int
