"""Translation of pydantic's validation errors into faults with position and suggestion.

pydantic reports a path inside the data and a technical message. `build` validates file data, states
each error in plain words with the valid input and the nearest spelling (`Flaw`), and `locate` looks
up its line and column. Checks across fields report in the same form (`checked`).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from perfmodel.errors import Fault, InputError, nearest, no_such, one_of
from perfmodel.source_positions import Marks, Path
from perfmodel.units import is_number

T = TypeVar("T")

SPEC_FILE = {"spec_file": True}
"""Validation context of file data: there a dimensioned value must carry its unit."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Fault located by a path inside the data rather than a position in the file.

    Attributes
    ----------
    path : tuple of str or int
        Path of the value.
    message, expected, suggestion : str
        The same as for `perfmodel.errors.Fault`.
    on_key : bool
        Whether the key is at fault rather than its value.
    """

    path: Path
    message: str
    expected: str = ""
    suggestion: str = ""
    on_key: bool = False

    @classmethod
    def no_such(
        cls, path: Path, message: str, name: str, known: Iterable[str], *, on_key: bool = False
    ) -> Flaw:
        """Return the flaw of an unknown name; see `perfmodel.errors.no_such`."""
        fault = no_such(message, name, dict.fromkeys(known))
        return cls(path, message, fault.expected, fault.suggestion, on_key)


def build(model: type[T], data: Any, marks: Marks, file: str) -> T:
    """Validate file data; see `perfmodel.specfile.validate`."""
    instance: Any = None
    flaws: list[Flaw] = []
    schema = cast("type[BaseModel]", model)
    try:
        instance = schema.model_validate(data, context=SPEC_FILE)
    except ValidationError as error:
        flaws += faults_of(error, schema)
    check = getattr(model, "structure_faults", None)
    if check is not None and isinstance(data, Mapping):
        _collect(flaws, cast("Iterable[Flaw]", check(data)))
    if flaws:
        raise InputError(locate(flaws, marks, file))
    return cast("T", instance)


def _collect(flaws: list[Flaw], checks: Iterable[Flaw]) -> None:
    """Add the flaws found by checks across fields; these may fail on data with invalid fields."""
    fields_are_bad = bool(flaws)
    try:
        for flaw in checks:
            flaws.append(flaw)  # noqa: PERF402 (what was found before an error counts)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        if not fields_are_bad:
            raise


def checked(instance: T, flaws: Iterable[Flaw]) -> T:
    """Return `instance`, or raise one pydantic error with all flaws; for ``mode="after"``."""
    all_flaws = list(flaws)
    if all_flaws:
        raise _carrier(all_flaws)
    return instance


def subclass(model: type[T], data: Any, context: Any) -> T:
    """Validate data as a class determined by the data, preserving the location of each error."""
    try:
        return cast("Any", model).model_validate(data, context=context)
    except ValidationError as error:
        flaws = faults_of(error, cast("type[BaseModel]", model))
    raise _carrier(flaws)


def _carrier(flaws: Sequence[Flaw]) -> PydanticCustomError:
    """Return the pydantic error that carries flaws to `faults_of`."""
    lines: list[str] = []
    for flaw in flaws:
        text = str(
            Fault(
                flaw.message,
                ".".join(map(str, flaw.path)),
                expected=flaw.expected,
                suggestion=flaw.suggestion,
            )
        )
        lines.append(text.replace("{", "(").replace("}", ")"))
    context: dict[str, Any] = {"flaws": tuple(flaws)}
    text = cast("Any", "\n".join(lines))
    return PydanticCustomError("flaws", text, context)


def locate(flaws: Iterable[Flaw], marks: Marks, file: str) -> list[Fault]:
    """Return faults with positions, in reading order, without duplicates."""
    faults: list[Fault] = []
    for flaw in dict.fromkeys(flaws):
        line, column = marks.at(flaw.path, key=flaw.on_key)
        faults.append(
            Fault(
                flaw.message,
                path=marks.show(flaw.path),
                file=marks.file(flaw.path) or file,
                line=line,
                column=column,
                expected=flaw.expected,
                suggestion=flaw.suggestion,
            )
        )
    faults = list(dict.fromkeys(faults))
    return sorted(faults, key=lambda fault: (fault.file, fault.line, fault.column))


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Flaw]:
    """Return the flaws of a pydantic error raised for `model`."""
    flaws: list[Flaw] = []
    items = [cast("Mapping[str, Any]", item) for item in error.errors(include_url=False)]
    for item in items:
        if item["type"] == "too_short" and any(_inside(other, item) for other in items):
            continue  # pydantic counts invalid entries as missing; their own faults are reported
        flaws += _flaws(item, model)
    return flaws


def _inside(item: Mapping[str, Any], of: Mapping[str, Any]) -> bool:
    """Return whether an error is located below another one."""
    depth = len(of["loc"])
    return len(item["loc"]) > depth and item["loc"][:depth] == of["loc"]


def _flaws(item: Mapping[str, Any], model: type[BaseModel]) -> list[Flaw]:
    """Return the flaws of one pydantic error."""
    # "[key]" is pydantic's own marker for an error in a mapping's key.
    on_key = "[key]" in item["loc"]
    path: Path = tuple(part for part in item["loc"] if part != "[key]")
    context: Mapping[str, Any] = item.get("ctx") or {}
    if "flaws" in context:  # raised by a model's own check: paths below the model
        return [
            Flaw((*path, *flaw.path), flaw.message, flaw.expected, flaw.suggestion, flaw.on_key)
            for flaw in cast("Sequence[Flaw]", context["flaws"])
        ]
    match item["type"]:
        case "extra_forbidden":
            return [_unknown_key(path, model)]
        case "missing":
            message = f"missing key '{path[-1]}'"
            if str(path[-1]) == "value":
                message += " (a number with provenance)"
            return [Flaw(path[:-1], message, on_key=True)]
        case "literal_error" | "enum":
            return [_not_a_choice(path, item)]
        case "model_type" | "dict_type" | "mapping_type" | "model_attributes_type":
            return [Flaw(path, f"{_shown(item['input'])} is not a mapping", "keys and values")]
        case "tuple_type" | "list_type":
            return [Flaw(path, f"{_shown(item['input'])} is not a list", "a list")]
        case kind if (plain := _plain_words(str(kind), item["input"], context)) is not None:
            return [Flaw(path, *plain, on_key=on_key)]
        case _:
            message = str(item["msg"]).removeprefix("Value error, ")
            if "expected" not in context and item["type"] not in ("quantity", "value_error"):
                message = f"{_shown(item['input'])}: {message[:1].lower()}{message[1:]}"
            expected, suggestion = context.get("expected", ""), context.get("suggestion", "")
            return [Flaw(path, message, str(expected), str(suggestion), on_key)]


def _plain_words(kind: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return message, expectation and suggestion for users from a pydantic error."""
    shown = _shown(value)
    match kind:
        case "greater_than":
            return f"{shown} is too small", f"a number above {_plain(context['gt'])}", ""
        case "greater_than_equal":
            return f"{shown} is too small", f"a number from {_plain(context['ge'])}", ""
        case "less_than":
            return f"{shown} is too large", f"a number below {_plain(context['lt'])}", ""
        case "less_than_equal":
            return f"{shown} is too large", f"at most {_plain(context['le'])}", ""
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            quoted = isinstance(value, str) and value.strip().isdecimal()
            expected = "a whole number without quotes" if quoted else "a whole number"
            return f"{shown} is not a whole number", expected, ""
        case "float_type" | "float_parsing":
            return f"{shown} is not a number", "a number", ""
        case "string_type":
            number = is_number(value)
            return f"{shown} is not a text", "a text in quotes" if number else "a text", ""
        case "bool_type" | "bool_parsing":
            return f"{shown} is neither true nor false", "true or false", ""
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            length = context.get("actual_length", len(value))
            least, most = context.get("min_length"), context.get("max_length")
            one, noun = ("character", "characters") if "string" in kind else ("entry", "entries")
            length_text = f"holds {length} {noun}" if length else "is empty"
            if least is not None:
                return length_text, f"at least {least} {one if least == 1 else noun}", ""
            return length_text, f"at most {most} {noun}", ""
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            folded = re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_")
            suggestion = folded if re.search(pattern, folded) else ""
            return (
                f"{shown} is not spelled as it must be",
                f"text that matches {pattern}",
                suggestion,
            )
        case _:
            return None


def _plain(bound: float) -> str:
    if bound != int(bound):
        return f"{bound:g}"
    return f"{int(bound):,}" if bound >= 10_000 else f"{int(bound)}"  # no comma within a year


def _unknown_key(path: Path, model: type[BaseModel]) -> Flaw:
    """Return the flaw of a key that the model lacks."""
    key = str(path[-1])
    owner = _model_at(model, path[:-1])
    known = list(owner.model_fields) if owner is not None else []
    elsewhere: Callable[[str], str] | None = getattr(owner, "unknown_key", None)
    if elsewhere is not None and (message := elsewhere(key)):
        return Flaw(path, message, on_key=True)
    suggestion = nearest(key, known)
    expected = "" if suggestion or not known else one_of(known)
    return Flaw(path, f"unknown key '{key}'", expected, suggestion, on_key=True)


def _not_a_choice(path: Path, item: Mapping[str, Any]) -> Flaw:
    """Return the flaw of a value that is none of the listed ones."""
    choices = [part.strip(" '") for part in str(item["ctx"]["expected"]).split(",")]
    choices = [c.strip(" '") for choice in choices for c in choice.split(" or ")]
    value = str(item["input"])
    return Flaw(
        path,
        f"unknown value {_shown(item['input'])}",
        one_of(choices) if len(choices) > 1 else choices[0],
        nearest(value, choices, cutoff=0.5),
    )


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model class of the mapping at `path`."""
    inner: type[BaseModel] | None = model
    annotation: Any = model
    for part in path:
        inner = _model_in(annotation)
        if inner is not None and isinstance(part, str) and part in inner.model_fields:
            annotation = inner.model_fields[part].annotation
        else:
            annotation = _item_type(annotation)
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated or origin in (typing.Union, types.UnionType):
        return next((m for m in map(_model_in, get_args(annotation)) if m is not None), None)
    return None


def _item_type(annotation: Any) -> Any:
    """Return the type of the items of a list or mapping type; ``None`` for others."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _item_type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        items = [_item_type(a) for a in arguments if a is not type(None)]
        return next((item for item in items if item is not None), None)
    if origin in (tuple, list):
        return arguments[0]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[1]
    return None


def _shown(value: Any) -> str:
    """Format a value for a message."""
    text = (
        repr(value)
        if isinstance(value, (str, int, float, bool)) or value is None
        else ("a mapping" if isinstance(value, Mapping) else "a list")
    )
    text = {"None": "nothing", "True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 60 else text[:57] + "..."
