"""In what the manifests of two sweeps differ, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

#: What decides the rows of a file; the rest says when, where and how they were computed.
_DECIDING: Final = (
    "workloads",
    "devices",
    "runtimes",
    "options",
    "axes",
    "zip",
    "sobol",
    "seed",
    "columns",
    "where",
    "perfmodel",
    "code",
    "numpy",
    "packages",
    "chunk",
)
_MOST: Final = 60
#: Entries that say that something differs and not what.
_DIGESTS: Final = ("hash", "content", "graph_hash")


def differing(held: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return what differs, one text each: ``devices: a100 there, h100 asked for``.

    Parameters
    ----------
    held : mapping
        Manifest beside a file.
    asked : mapping
        Manifest that the same file would get now.
    """
    now = json.loads(json.dumps(dict(asked), default=str))
    found: list[str] = []
    for key in _DECIDING:
        old, new = held.get(key), now.get(key)
        if old == new:
            continue
        if key in ("axes", "runtimes", "options"):
            found += _by_name(key, _named(old), _named(new))
        elif key in ("workloads", "devices"):
            found.append(_listed(key, old, new))
        elif key == "columns":
            # Columns of axes differ where axes do, which is said above.
            lone = ["metrics"] if not any(text.startswith("axis ") for text in found) else []
            found += [_line(name, _columns(old), _columns(new)) for name in lone]
        else:
            found.append(_line(key, old, new))
    return found


def _named(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _by_name(key: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    word = {"axes": "axis", "runtimes": "runtime", "options": "option"}[key]
    return [
        _line(f"{word} {name}", old.get(name), new.get(name))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _listed(key: str, old: Any, new: Any) -> str:
    names = [[_named(item).get("name") for item in side or ()] for side in (old, new)]
    if names[0] != names[1]:
        return _line(key, *names)
    told: list[str] = []
    for before, after in zip(old, new, strict=True):
        if before != after:
            inside = [
                f"{name} {_text(before.get(name))} there, {_text(after[name])} asked for"
                for name in after
                if name not in _DIGESTS and before.get(name) != after[name]
            ]
            told.append(f"{after['name']}" + (f" ({', '.join(inside)})" if inside else ""))
    return f"{key}: other contents of {', '.join(told)}"


def _columns(value: Any) -> Any:
    return list(_named(value)) if isinstance(value, dict) else value


def _line(name: str, old: Any, new: Any) -> str:
    before, after = _text(old), _text(new)
    if before == after:
        return f"{name}: other contents"
    return f"{name}: {before} there, {after} asked for"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        given = {k: v for k, v in cast("dict[str, Any]", value).items() if k != "hash"}
        value = given["values"] if list(given) == ["values"] else given
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        text = ",".join(_text(item) for item in items)
    elif isinstance(value, dict):
        text = ", ".join(f"{k} {v}" for k, v in cast("dict[str, Any]", value).items())
    else:
        text = str(value)
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
