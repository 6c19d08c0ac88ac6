"""Interpreter of declared architectures, which map keys of a config to fields of a structure.

A file of ``workloads/huggingface`` is named after its ``model_type`` (files ``_NAME`` only serve as
a base of others). Its sections are:

``like``
    Base architecture, merged section by section; ``null`` removes an entry.
``family``
    Family of networks that defines the structure.
``section``, ``section_note``, ``section_defaults``
    Nested config to read if present, the note added in that case, and defaults of its keys.
``sizes``
    Field -> key of a size, or ``[key, default, minimum]`` with a number, an expression or another
    such list as the default, or ``= expression`` of preceding fields (a sum of products).
``flags``
    Key -> ``[default, field...]``, or ``{default, field: [value if true, value if false]}``.
``choices``, ``activations``
    Field -> ``[key, default, others...]`` and ``[default, keys...]``.
``is``
    Field -> constant value, independent of the config.
``towers``
    Field -> architecture of a part of the network; the fields of the part are nested in it.
``refuse``
    Key -> ``[usual value, message, default]``: any other value (or field) is a fault.
``notes``, ``notes_where``, ``notes_of``, ``built_as``
    Notes added always, if a size is not 0, if the config names a class, and if it does not.
``auto``
    Keys for which ``"auto"`` is equivalent to a missing value.
``defaults``
    Free dimension -> expression of its default.
``rules``
    Name of a function in `decoder_rules`, `vision_rules` or `sequence_rules` -> its arguments, for
    structure that cannot be declared.

Fields that begin with ``_`` are read and checked, but are not part of the structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from math import prod
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.package_data import data_root
from perfmodel.specfile import shipped
from perfmodel.workload.importers.huggingface import decoder_rules, sequence_rules, vision_rules
from perfmodel.workload.importers.huggingface.config import Config, Fields, StructureFields

#: Rules by name, for structure that cannot be declared.
_RULES: Final[Mapping[str, Any]] = {
    **vars(decoder_rules),
    **vars(vision_rules),
    **vars(sequence_rules),
}


@lru_cache(maxsize=1)
def architectures() -> dict[str, Path]:
    """Return ``model_type`` -> declaration file for all supported architectures."""
    files = data_root("workloads").joinpath("huggingface").glob("*.yaml")
    return {path.stem: path for path in sorted(files) if not path.stem.startswith("_")}


@lru_cache(maxsize=256)
def _declaration(name: str) -> Mapping[str, Any]:
    """Return the declaration of an architecture, merged with its base."""
    declaration: dict[str, Any] = shipped("workloads", f"huggingface/{name}.yaml")
    return (
        _merge(_declaration(declaration["like"]), declaration)
        if "like" in declaration
        else declaration
    )


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a base declaration overridden by another; None removes an entry."""
    result = {**base, **overrides}
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            result[key] = _merge(base[key], cast("dict[str, Any]", value))
    return {key: value for key, value in result.items() if value is not None}


def structure_of(name: str, config: Config) -> StructureFields:
    """Return the family of a config's architecture and the fields of its structure."""
    declared = _declaration(name)
    fields: Fields = {}
    _read(config, declared, fields)
    nested: dict[str, Any] = {}
    for field, value in fields.items():
        *outer, last = field.split(".")
        if not last.startswith("_"):
            reduce(lambda place, part: place.setdefault(part, {}), outer, nested)[last] = value
    return declared["family"], nested


def _read(config: Config, declared: Mapping[str, Any], fields: Fields, prefix: str = "") -> None:
    """Read the fields of a config, or of the nested config of a tower."""
    section_of = declared.get
    if "section" in declared:
        config = _section(config, declared)
    config.prefix = prefix
    config.data = {
        k: v for k, v in config.data.items() if not (v == "auto" and k in section_of("auto", ()))
    }
    config.notes += section_of("notes", [])
    config.notes += [
        note for name, note in section_of("notes_of", {}).items() if name in config.classes
    ]
    if "built_as" in declared and config.classes and declared["built_as"] not in config.classes:
        config.notes.append(f"built as {declared['built_as']}, not as {config.classes[0]}")
    for field, spec in section_of("sizes", {}).items():
        fields[field] = _read_size(config, spec, fields, field)
    _read_flags(config, section_of("flags", {}), fields)
    for field, (key, *known) in section_of("choices", {}).items():
        fields[field] = config.choice(key, known, known[0])
    for field, (default, *keys) in section_of("activations", {}).items():
        fields[field] = config.activation(*keys, default=default)
    fields |= section_of("is", {})
    _read_towers(config, section_of("towers", {}), fields)
    for key, (usual, message, *default) in section_of("refuse", {}).items():
        if not isinstance(usual, str):
            _refuse(config, key, usual, message)
        elif usual not in config.invalid_fields:
            _refuse(config, key, fields[usual], message, *default)
    config.notes += [
        note for key, note in section_of("notes_where", {}).items() if config.size(key, 0, least=0)
    ]
    config.defaults |= {
        name: _evaluate_sum(text, fields) for name, text in section_of("defaults", {}).items()
    }
    for name, arguments in section_of("rules", {}).items():
        _RULES[name](config, fields, **arguments)


def _section(config: Config, declared: Mapping[str, Any]) -> Config:
    """Return the declared section of a config, or the config itself if it has none."""
    inner = config.section(declared["section"])
    if inner is not config:
        config.notes += filter(None, [declared.get("section_note")])
        inner.data = {**declared.get("section_defaults", {}), **inner.data}
    return inner


def _read_towers(config: Config, towers: Mapping[str, str], fields: Fields) -> None:
    """Read the parts of a network of several towers into nested fields."""
    for tower, name in towers.items():
        declared = _declaration(name)
        section = declared["section"]
        if len(towers) > 1 and not isinstance(config.data.get(section), Mapping):
            # One of several towers may be omitted.
            config.data = cast("Mapping[str, Any]", {**config.data, section: {}})
        inside: Fields = {}
        _read(config, declared, inside, f"{tower}.")
        fields |= {f"{tower}.{field}": value for field, value in inside.items()}
        config.prefix = ""


def _read_size(config: Config, spec: Any, fields: Fields, field: str) -> int:
    """Return a size as declared: from a key, a default, or an expression of preceding fields."""
    if isinstance(spec, str):
        return (
            _evaluate_sum(spec[1:], fields)
            if spec.startswith("=")
            else config.size(spec, field=field)
        )
    key, default, *least = spec
    if isinstance(default, list):
        default = _read_size(config, default, fields, "")
    elif isinstance(default, str):
        default = _evaluate_sum(default, fields)
    return config.size(key, default, field=field, least=least[0] if least else 1)


def _evaluate_sum(text: str, fields: Fields) -> int:
    """Evaluate a sum of products of numbers and fields."""
    return sum(
        prod(int(word) if word.isdigit() else fields[word] for word in term.split(" * "))
        for term in text.strip().split(" + ")
    )


def _read_flags(config: Config, declared: Mapping[str, Any], fields: Fields) -> None:
    """Set the fields of flags, or the pair of values that a flag selects from."""
    for key, spec in declared.items():
        if isinstance(spec, list):
            default, *names = cast("list[Any]", spec)
            fields |= dict.fromkeys(names, config.flag(key, default))
        else:
            is_unset = not config.flag(key, spec["default"])
            fields |= {field: pair[is_unset] for field, pair in spec.items() if field != "default"}


def _refuse(config: Config, key: str, supported: Any, message: str, default: Any = None) -> None:
    """Record a fault for a value that the family does not support."""
    if isinstance(supported, bool):
        value: Any = config.flag(key, supported)
    elif isinstance(supported, int):
        value = config.size(key, supported if default is None else default)
    else:
        value = supported if config.data.get(key) is None else config.data[key]
    if value != supported:
        config.refuse(key, message.format(value), str(supported).lower())
