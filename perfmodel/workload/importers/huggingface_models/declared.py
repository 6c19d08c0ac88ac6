"""Architectures as they are declared: keys of a config, and the fields of a structure they become.

A file of ``workloads/huggingface`` is named by the ``model_type`` that it is for (``_NAME`` is only
built on by others). It may say:

``like``
    An architecture that it starts from, section by section; ``null`` takes an entry away.
``family``
    Family of networks whose structure the fields are of.
``section``, ``section_note``, ``section_defaults``
    Part of the config that is read where it is there, what is noted then, and what it may lack.
``sizes``
    Field -> key of a size; ``[key, default, least]``, the default a number, an expression or such a
    list; or ``= expression`` of fields before it (sums of products).
``flags``
    Key -> ``[default, field...]``, or ``{default, field: [where true, where false]}``.
``choices``, ``activations``
    Field -> ``[key, default, others...]`` and ``[default, keys...]``.
``is``
    Field -> what the config does not say.
``towers``
    Field -> architecture of a part of the network, whose fields stand below it.
``refuse``
    Key -> ``[usual value, message, default]``: any other value (or field) is a fault.
``notes``, ``notes_where``, ``notes_of``, ``built_as``
    Notes: always, where a size is not 0, of a class that the config names, of one that it does not.
``auto``
    Keys for which ``"auto"`` is as good as nothing.
``defaults``
    Free dimension -> expression of its default.
``parts``
    Name of a function of `parts` -> its arguments: what cannot be said otherwise.

Fields that begin with ``_`` are read and checked, and become no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from math import prod
from pathlib import Path
from typing import Any, cast

from perfmodel.shipped import data_root
from perfmodel.specfile import shipped
from perfmodel.workload.importers.huggingface_models import parts
from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.parts import Fields


@lru_cache(maxsize=1)
def architectures() -> dict[str, Path]:
    """Return ``model_type`` -> file, of all that can be read."""
    files = data_root("workloads").joinpath("huggingface").glob("*.yaml")
    return {path.stem: path for path in sorted(files) if not path.stem.startswith("_")}


@lru_cache(maxsize=256)
def _declared(name: str) -> Mapping[str, Any]:
    own: dict[str, Any] = shipped("workloads", f"huggingface/{name}.yaml")
    return _merged(_declared(own["like"]), own) if "like" in own else own


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a declaration with the changes of another that is like it."""
    result = {**base, **own}
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            result[key] = _merged(base[key], cast("dict[str, Any]", value))
    return {key: value for key, value in result.items() if value is not None}


def structure_of(name: str, config: Config) -> Made:
    """Return the family of a config's architecture and the fields of its structure."""
    declared = _declared(name)
    fields: Fields = {}
    _read(config, declared, fields)
    nested: dict[str, Any] = {}
    for field, value in fields.items():
        *outer, last = field.split(".")
        if not last.startswith("_"):
            reduce(lambda place, part: place.setdefault(part, {}), outer, nested)[last] = value
    return declared["family"], nested


def _read(c: Config, declared: Mapping[str, Any], fields: Fields, prefix: str = "") -> None:
    """Read a config, or the part of one that a tower is."""
    stated = declared.get
    if "section" in declared:
        c = _section(c, declared)
    c.prefix = prefix
    c.data = {k: v for k, v in c.data.items() if not (v == "auto" and k in stated("auto", ()))}
    c.notes += stated("notes", [])
    c.notes += [note for name, note in stated("notes_of", {}).items() if name in c.classes]
    if "built_as" in declared and c.classes and declared["built_as"] not in c.classes:
        c.notes.append(f"built as {declared['built_as']}, not as {c.classes[0]}")
    for field, spec in stated("sizes", {}).items():
        fields[field] = _size(c, spec, fields, field)
    _flags(c, stated("flags", {}), fields)
    for field, (key, *known) in stated("choices", {}).items():
        fields[field] = c.choice(key, known, known[0])
    for field, (default, *keys) in stated("activations", {}).items():
        fields[field] = c.activation(*keys, default=default)
    fields |= stated("is", {})
    _towers(c, stated("towers", {}), fields)
    for key, (usual, message, *default) in stated("refuse", {}).items():
        if not isinstance(usual, str):
            _refuse(c, key, usual, message)
        elif usual not in c.bad:
            _refuse(c, key, fields[usual], message, *default)
    c.notes += [note for key, note in stated("notes_where", {}).items() if c.size(key, 0, least=0)]
    c.defaults |= {name: _sum(text, fields) for name, text in stated("defaults", {}).items()}
    for name, arguments in stated("parts", {}).items():
        getattr(parts, name)(c, fields, **arguments)


def _section(c: Config, declared: Mapping[str, Any]) -> Config:
    """Return the part of a config that is read; the config itself where it has no such part."""
    inner = c.section(declared["section"])
    if inner is not c:
        c.notes += filter(None, [declared.get("section_note")])
        inner.data = {**declared.get("section_defaults", {}), **inner.data}
    return inner


def _towers(c: Config, towers: Mapping[str, str], fields: Fields) -> None:
    for tower, name in towers.items():
        declared = _declared(name)
        section = declared["section"]
        if len(towers) > 1 and not isinstance(c.data.get(section), Mapping):
            # One of two towers may be left out.
            c.data = cast("Mapping[str, Any]", {**c.data, section: {}})
        inside: Fields = {}
        _read(c, declared, inside, f"{tower}.")
        fields |= {f"{tower}.{field}": value for field, value in inside.items()}
        c.prefix = ""


def _size(c: Config, spec: Any, fields: Fields, field: str) -> int:
    if isinstance(spec, str):
        return _sum(spec[1:], fields) if spec.startswith("=") else c.size(spec, field=field)
    key, default, *least = spec
    if isinstance(default, list):
        default = _size(c, default, fields, "")
    elif isinstance(default, str):
        default = _sum(default, fields)
    return c.size(key, default, field=field, least=least[0] if least else 1)


def _sum(text: str, fields: Fields) -> int:
    """Return the value of a sum of products of numbers and fields."""
    return sum(
        prod(int(word) if word.isdigit() else fields[word] for word in term.split(" * "))
        for term in text.strip().split(" + ")
    )


def _flags(c: Config, declared: Mapping[str, Any], fields: Fields) -> None:
    for key, spec in declared.items():
        if isinstance(spec, list):
            default, *names = cast("list[Any]", spec)
            fields |= dict.fromkeys(names, c.flag(key, default))
        else:
            no = not c.flag(key, spec["default"])
            fields |= {field: pair[no] for field, pair in spec.items() if field != "default"}


def _refuse(c: Config, key: str, usual: Any, message: str, default: Any = None) -> None:
    """Note a value that the family does not have."""
    if isinstance(usual, bool):
        value: Any = c.flag(key, usual)
    elif isinstance(usual, int):
        value = c.size(key, usual if default is None else default)
    else:
        value = usual if c.data.get(key) is None else c.data[key]
    if value != usual:
        c.refuse(key, message.format(value), str(usual).lower())
