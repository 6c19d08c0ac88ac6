"""How a result was asked for in Python, kept with it so that a report can say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
_NAME = "_asked"


def remember(found: T, word: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> T:
    """Keep the call that gave a result with it, where all of it can be written down.

    Parameters
    ----------
    found
        The result; anything with attributes, or with a slot ``_asked``.
    word
        Of the face: ``sweep``.
    arguments, options
        Those of the call; options that are ``None`` were not given.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if all(_plain(value) for value in (*arguments, *given.values())):
        # Results are frozen dataclasses, among others.
        object.__setattr__(found, _NAME, (word, tuple(arguments), given))
    return found


def remembered(question: Callable[P, T]) -> Callable[P, T]:
    """Let the answers of a public function know the call that gave them (`remember`)."""

    @wraps(question)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        return remember(question(*args, **kwargs), question.__name__, args, kwargs)

    return ask


def asked_for(found: Any) -> str:
    """Return the call as Python has it; empty where nothing is known of it."""
    kept = getattr(found, _NAME, None)
    if not kept:
        return ""
    return call_text(*kept)


def call_text(word: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
    """Return a call of a word as Python has it."""
    shown = [_text(value) for value in arguments]
    shown += [f"{name}={_text(value)}" for name, value in options.items()]
    one = f"pm.{word}({', '.join(shown)})"
    if len(one) <= 88:
        return f"import perfmodel as pm\n{one}"
    inner = "".join(f"    {text},\n" for text in shown)
    return f"import perfmodel as pm\npm.{word}(\n{inner})"


def _plain(value: Any) -> bool:
    """Whether a value is one that Python reads back from its text."""
    if value is None or isinstance(value, str | bool | int | float | Path):
        return True
    if isinstance(value, list | tuple):
        return all(_plain(v) for v in cast("Sequence[Any]", value))
    if isinstance(value, dict):
        whole = cast("dict[Any, Any]", value)
        return all(_plain(k) and _plain(v) for k, v in whole.items())
    if hasattr(value, "tolist"):
        return len(repr(value.tolist())) < 400
    return False


def _text(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        items = ", ".join(_text(v) for v in cast("Sequence[Any]", value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(cast("Sequence[Any]", value)) == 1 else f"({items})"
    if isinstance(value, dict):
        whole = cast("dict[Any, Any]", value)
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in whole.items()) + "}"
    return repr(value)
