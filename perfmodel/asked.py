"""Record of the Python call that produced a result, for display in reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
#: Attribute or slot that holds the call.
_ATTRIBUTE = "_asked"
#: Columns of a call on one line, and characters of an array that is written out.
_LINE_LENGTH, _MOST_ARRAY_TEXT = 88, 400


def remember(
    result: T, function_name: str, arguments: Sequence[Any], options: Mapping[str, Any]
) -> T:
    """Attach the call that produced a result to it, if all arguments can be written as text.

    Parameters
    ----------
    result
        Object that the call returned; it has attributes, or a slot ``_asked``.
    function_name
        Name of the public function, such as ``sweep``.
    arguments, options
        Arguments of the call; options that are ``None`` count as not specified.
    """
    specified = {name: value for name, value in options.items() if value is not None}
    if all(_has_literal(value) for value in (*arguments, *specified.values())):
        # Some results are frozen dataclasses.
        object.__setattr__(result, _ATTRIBUTE, (function_name, tuple(arguments), specified))
    return result


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a public function to record its call in its result (`remember`)."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return remember(function(*args, **kwargs), function.__name__, args, kwargs)

    return wrapper


def asked_for(result: Any) -> str:
    """Return the recorded call as Python text; empty if there is none."""
    call = getattr(result, _ATTRIBUTE, None)
    if not call:
        return ""
    return call_text(*call)


def call_text(function_name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
    """Return a call of a public function as Python text."""
    shown = [_literal(value) for value in arguments]
    shown += [f"{name}={_literal(value)}" for name, value in options.items()]
    single_line = f"pm.{function_name}({', '.join(shown)})"
    if len(single_line) <= _LINE_LENGTH:
        return f"import perfmodel as pm\n{single_line}"
    inner = "".join(f"    {text},\n" for text in shown)
    return f"import perfmodel as pm\npm.{function_name}(\n{inner})"


def _has_literal(value: Any) -> bool:
    """Return whether a value is written as a literal: paths as strings, short arrays as lists."""
    if value is None or isinstance(value, str | bool | int | float | Path):
        return True
    if isinstance(value, list | tuple):
        return all(_has_literal(v) for v in cast("Sequence[Any]", value))
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return all(_has_literal(k) and _has_literal(v) for k, v in mapping.items())
    if hasattr(value, "tolist"):
        return len(repr(value.tolist())) < _MOST_ARRAY_TEXT
    return False


def _literal(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        items = ", ".join(_literal(v) for v in cast("Sequence[Any]", value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(cast("Sequence[Any]", value)) == 1 else f"({items})"
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in mapping.items()) + "}"
    return repr(value)
