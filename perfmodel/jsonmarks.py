"""JSON parsing with the source position of every value, which the standard decoder lacks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple, cast

import yaml

from perfmodel.errors import Fault

_TOKEN: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+)', re.DOTALL)


def sound_json(text: str, max_depth: int, max_nodes: int) -> tuple[Any] | None:
    """Return the value of a text that is certainly valid for `perfmodel.specfile`.

    This uses the standard decoder only, which is many times faster; positions are required only for
    faults.

    Returns
    -------
    tuple of one value, or None
        ``None`` if there is or may be a fault.
    """
    # Each value except the first follows a comma or an opening bracket.
    if text.count(",") + text.count("[") + text.count("{") >= max_nodes:
        return None
    try:
        value: Any = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError):
        return None
    level: list[Any] = [value]
    for _ in range(max_depth):
        inside: Iterable[Any] = chain.from_iterable(
            cast("Iterable[Any]", value_.values() if isinstance(value_, dict) else value_)
            for value_ in level
            if isinstance(value_, dict | list)
        )
        level = [value_ for value_ in inside if isinstance(value_, dict | list)]
        if not level:
            return (value,)
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice")
    return mapping


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("no finite number")
    return value


def json_fault(text: str, name: str, max_depth: int) -> Fault | None:
    """Return the syntax error of a JSON text with its position; ``None`` for valid JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        comma = _trailing_comma(error, text)
        at = error.pos if comma is None else comma
        message, expected = _described(error, text)
        if comma is not None:
            message, expected = "not valid JSON: a comma after the last entry", "no comma here"
    except RecursionError:
        at, message, expected = 0, f"is nested deeper than {max_depth} levels", "a flatter file"
    except ValueError as error:  # an integer above the interpreter's limit of digits
        reason = "a number is too large" if "digit" in str(error) else str(error)
        digits = re.search(r"\d{4301,}", text)
        at = digits.start() if digits else 0
        message, expected = f"not valid JSON: {reason}", "numbers of a sane length"
    else:
        return None
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Fault(message, file=name, line=line, column=column, expected=expected)


def _trailing_comma(error: json.JSONDecodeError, text: str) -> int | None:
    """Return the position of a comma before a closing bracket; decoders report it differently."""
    if text[error.pos : error.pos + 1] == ",":
        comma = error.pos
    else:
        before = text[: error.pos].rstrip()
        comma = len(before) - 1
        if not before.endswith(","):
            return None
    return comma if text[comma + 1 :].lstrip()[:1] in ("}", "]") else None


def _described(error: json.JSONDecodeError, text: str) -> tuple[str, str]:
    """Return the decoder's message in plain words, and the expected input."""
    message = f"{error.msg[:1].lower()}{error.msg[1:]}"
    if not text.strip():
        return "not valid JSON: the file is empty", "keys and values in braces"
    if error.pos >= len(text.rstrip()):
        return "not valid JSON: the file ends too early", "a closing quote, bracket or brace"
    if "nterminated string" in error.msg:
        return "not valid JSON: a text that does not end", "a closing quote"
    if "double quotes" in error.msg:
        return "not valid JSON: no key here", "a key in double quotes"
    if error.msg == "Expecting value":
        return "not valid JSON: no value here", "a number, a text in double quotes, [...] or {...}"
    known = {
        "Expecting ',' delimiter": ("no comma here", "a comma between entries"),
        "Expecting ':' delimiter": ("no colon here", "a colon after a key"),
        "Extra data": ("text after the end", "nothing after the closing brace"),
    }
    message, expected = known.get(error.msg, (message, "text as JSON escapes it"))
    return f"not valid JSON: {message}", expected


class JsonMark(NamedTuple):
    """Position of a token, counted from 0 as in YAML parsers."""

    line: int
    column: int


def json_events(text: str) -> Iterator[Any]:
    """Yield the events of a YAML parser for a text that is valid JSON."""
    line = line_start = seen = 0
    for match in _TOKEN.finditer(text):
        token, start = match[1], match.start(1)
        newlines = text.count("\n", seen, start)
        if newlines:
            line += newlines
            line_start = text.rindex("\n", 0, start) + 1
        seen = start
        mark: Any = JsonMark(line, start - line_start)
        match token[0]:
            case "{":
                yield yaml.MappingStartEvent(None, None, True, mark, mark)
            case "}":
                yield yaml.MappingEndEvent(mark, mark)
            case "[":
                yield yaml.SequenceStartEvent(None, None, True, mark, mark)
            case "]":
                yield yaml.SequenceEndEvent(mark, mark)
            case '"':
                value = json.loads(token)
                yield yaml.ScalarEvent(None, None, (False, True), value, mark, mark, '"')
            case "," | ":":
                pass
            case _:
                yield yaml.ScalarEvent(None, None, (True, False), token, mark, mark)
