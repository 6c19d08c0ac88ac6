"""Record of the Python call that produced a result, so that a report can show it.

A public function decorated with `records_call` stores its name and arguments in the result it
returns. `perfmodel.table.Result.question` turns that record back into Python text, which reports
and the local page print so that a reader can repeat the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
#: Attribute of a result that stores its call.
CALL_ATTRIBUTE: Final = "_recorded_call"
#: Longest call that is written on a single line, in characters.
_LINE_LENGTH: Final = 88
#: Longest text of an array that is written out as a list, in characters.
_ARRAY_LENGTH: Final = 400


def records_call(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a public function so that its result stores the call (`record_call`)."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return record_call(function(*args, **kwargs), function.__name__, args, kwargs)

    return wrapper


def record_call(
    result: T, function_name: str, arguments: Sequence[Any], options: Mapping[str, Any]
) -> T:
    """Store the call in its result, provided that all arguments can be written as literals.

    Parameters
    ----------
    result
        Object that the call returned; it must accept the attribute `CALL_ATTRIBUTE`.
    function_name
        Name of the public function, such as ``sweep``.
    arguments, options
        Arguments of the call; options that are ``None`` count as not specified.
    """
    specified = {name: value for name, value in options.items() if value is not None}
    if all(_has_literal(value) for value in (*arguments, *specified.values())):
        # Some results are frozen dataclasses.
        object.__setattr__(result, CALL_ATTRIBUTE, (function_name, tuple(arguments), specified))
    return result


def recorded_call(result: Any) -> str:
    """Return the call that produced a result as Python text; empty if none was recorded."""
    call = getattr(result, CALL_ATTRIBUTE, None)
    return call_text(*call) if call else ""


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
    """Return whether `_literal` can write a value: a scalar, a path, a container, a short array."""
    if value is None or isinstance(value, str | bool | int | float | Path):
        return True
    if isinstance(value, list | tuple):
        return all(_has_literal(item) for item in cast("Sequence[Any]", value))
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return all(_has_literal(item) for entry in mapping.items() for item in entry)
    if hasattr(value, "tolist"):
        return len(repr(value.tolist())) < _ARRAY_LENGTH
    return False


def _literal(value: Any) -> str:
    """Return a value as a Python literal; paths become strings and arrays become lists."""
    if isinstance(value, Path):
        value = str(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        items = ", ".join(_literal(item) for item in cast("Sequence[Any]", value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(cast("Sequence[Any]", value)) == 1 else f"({items})"
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        entries = (f"{_literal(key)}: {_literal(item)}" for key, item in mapping.items())
        return "{" + ", ".join(entries) + "}"
    return repr(value)
