"""Differences between the manifests of two sweeps, as texts for messages of ``--resume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

#: Entries that determine the rows of a file; the others record when, where and how.
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
#: Entries that only indicate a difference, without its nature.
_DIGESTS: Final = ("hash", "content", "graph_hash")


def differing(old_manifest: Mapping[str, Any], new_manifest: Mapping[str, Any]) -> list[str]:
    """Return the differences, one text each: ``devices: a100 there, h100 asked for``.

    Parameters
    ----------
    old_manifest : mapping
        Manifest beside a file.
    new_manifest : mapping
        Manifest that the same file would have now.
    """
    now = json.loads(json.dumps(dict(new_manifest), default=str))
    differences: list[str] = []
    for key in _DECIDING:
        old, new = old_manifest.get(key), now.get(key)
        if old == new:
            continue
        if key in ("axes", "runtimes", "options"):
            differences += _by_name(key, _mapping(old), _mapping(new))
        elif key in ("workloads", "devices"):
            differences.append(_listed(key, old, new))
        elif key == "columns":
            # Columns of axes differ with the axes, which are reported above.
            lone = ["metrics"] if not any(text.startswith("axis ") for text in differences) else []
            differences += [_line(name, _columns(old), _columns(new)) for name in lone]
        else:
            differences.append(_line(key, old, new))
    return differences


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping unchanged, anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _by_name(key: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return one line for each name whose entries differ."""
    word = {"axes": "axis", "runtimes": "runtime", "options": "option"}[key]
    return [
        _line(f"{word} {name}", old.get(name), new.get(name))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _listed(key: str, old: Any, new: Any) -> str:
    """Return a line about workloads or devices: other names, or other contents."""
    names = [[_mapping(item).get("name") for item in side or ()] for side in (old, new)]
    if names[0] != names[1]:
        return _line(key, *names)
    changed: list[str] = []
    for before, after in zip(old, new, strict=True):
        if before != after:
            inside = [
                f"{name} {_text(before.get(name))} there, {_text(after[name])} asked for"
                for name in after
                if name not in _DIGESTS and before.get(name) != after[name]
            ]
            changed.append(f"{after['name']}" + (f" ({', '.join(inside)})" if inside else ""))
    return f"{key}: other contents of {', '.join(changed)}"


def _columns(value: Any) -> Any:
    """Return the names of columns, from either form of a manifest."""
    return list(_mapping(value)) if isinstance(value, dict) else value


def _line(name: str, old: Any, new: Any) -> str:
    """Return one line with the old and the new value."""
    before, after = _text(old), _text(new)
    if before == after:
        return f"{name}: other contents"
    return f"{name}: {before} there, {after} asked for"


def _text(value: Any) -> str:
    """Return a value as a short text."""
    if isinstance(value, dict):
        described = {k: v for k, v in cast("dict[str, Any]", value).items() if k != "hash"}
        value = described["values"] if list(described) == ["values"] else described
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
