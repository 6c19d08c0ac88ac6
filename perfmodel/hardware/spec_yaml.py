"""Serialisation of specs as YAML that reads back as an equal spec, and hash of their content."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from perfmodel import units
from perfmodel.hardware.quantity import Quantity, Rate, Spec, default_of, limit_of
from perfmodel.specfile import dumps_json, reads_as_text


def content_hash(spec: Spec) -> str:
    """Return the first sixteen hexadecimal digits of SHA-256 over a spec's canonical JSON."""
    from hashlib import sha256  # loads OpenSSL, which no prediction needs

    dumped = spec.model_dump(mode="json", exclude={"base"}, exclude_defaults=True)
    return sha256(dumps_json(dumped).encode()).hexdigest()[:16]


def to_yaml(spec: Spec) -> str:
    """Return the text of a spec file that reads back as an equal spec.

    Parameters
    ----------
    spec : Device or Runtime

    Returns
    -------
    str
        YAML with a schema line for editors; inherited values are written out.
    """
    kind = type(spec).__name__.lower()
    plain = {"schema_version": 1, **_plain(spec)}
    plain.pop("base", None)
    text = yaml.dump(
        plain,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return f"# yaml-language-server: $schema=../schema/{kind}.schema.json\n{text}"


def dimension_of(info: FieldInfo) -> str:
    """Return the dimension of a spec field of quantities (one or a mapping), else ``""``."""
    limits = limit_of(info)
    return "" if limits is None else limits.dimension


@cache
def _dimensions(model: type[BaseModel]) -> dict[str, str]:
    return {name: dimension_of(info) for name, info in model.model_fields.items()}


def _plain(spec: BaseModel) -> dict[str, Any]:
    """Return the fields in declaration order, without defaults, quantities as texts with units."""
    model, fields = type(spec), cast("dict[str, Any]", {})
    for name, info in model.model_fields.items():
        value: Any = getattr(spec, name)
        if value is None:
            continue
        if not info.is_required() and value == default_of(info):
            continue
        fields[name] = _value(value, _dimensions(model)[name], "")
    return fields


def _value(value: Any, dimension: str, key: str) -> Any:
    if isinstance(value, Quantity):
        return _quantity(value, dimension, key)
    if isinstance(value, BaseModel):
        return _plain(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value).items()
        return {k: _value(v, dimension, k) for k, v in entries}
    if isinstance(value, tuple):
        return [_value(item, dimension, key) for item in cast("tuple[Any, ...]", value)]
    return value


def _quantity(value: Quantity, dimension: str, key: str) -> Any:
    per_clock = isinstance(value, Rate) and value.per_clock
    if per_clock:
        dimension = "bandwidth_per_clock"
    number: Any
    if units.DIMENSIONS[dimension].unit in ("1", "clock"):
        number = int(value.value) if value.value == int(value.value) else value.value
    else:
        unit = "FLOP/s" if dimension == "compute" and _is_floating(key) else ""
        number = units.show(value.value, dimension, digits=None, unit=unit)
    provenance = {k: v for k, v in _plain(value).items() if k not in ("value", "per_clock")}
    return {"value": number, **provenance} if provenance else number


def _is_floating(key: str) -> bool:
    return key.startswith(("fp", "bf", "tf", "mx", "nv"))


class _Dumper(yaml.SafeDumper):
    """YAML dumper that quotes every text the strict reader would not read as text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if reads_as_text(text) else '"'
    node: yaml.ScalarNode = cast("Any", dumper).represent_scalar(
        "tag:yaml.org,2002:str", text, style=style
    )
    return node


_Dumper.add_representer(str, _text)
