"""Line and column of each value of a JSON text, and of its syntax error.

Messages about a file state the position of a fault, but the standard decoder of Python discards
positions, and a decoder that records them is many times slower. `perfmodel.specfile` therefore
reads a JSON file in up to three steps:

1. `decode_valid_json` decodes the text with the standard decoder. It suffices for a valid file.
2. `json_fault` returns the syntax error of an invalid text, in plain words and with its position.
3. `json_events` translates a text without syntax errors into the events of a YAML parser, from
   which the composer of YAML files builds a tree with positions (`perfmodel.source_positions`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple, cast

import yaml

from perfmodel.errors import Fault

#: A JSON token after white space: a string, a punctuation mark, or a number or literal.
_TOKEN: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+)', re.DOTALL)


class DecodedJson(NamedTuple):
    """The value of a JSON text, which may be ``None`` itself (``null``)."""

    value: Any


def decode_valid_json(text: str, max_depth: int, max_nodes: int) -> DecodedJson | None:
    """Return the value of a text that is certainly valid for `perfmodel.specfile`.

    ``None`` if there is or may be a fault: a syntax error, a duplicate key, a number that is not
    finite, more than `max_depth` levels of nesting, or possibly more than `max_nodes` values.
    """
    # Each value except the first follows a comma or an opening bracket.
    if text.count(",") + text.count("[") + text.count("{") >= max_nodes:
        return None
    try:
        value: Any = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_float=_finite_number,
            parse_constant=_finite_number,
        )
    except (ValueError, RecursionError):
        return None
    level: list[Any] = [value]
    for _ in range(max_depth):
        inside: Iterable[Any] = chain.from_iterable(
            cast("Iterable[Any]", node.values() if isinstance(node, dict) else node)
            for node in level
            if isinstance(node, dict | list)
        )
        level = [node for node in inside if isinstance(node, dict | list)]
        if not level:
            return DecodedJson(value)
    return None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the mapping of some keys and values, which must not repeat a key."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a duplicate key")
    return mapping


def _finite_number(text: str) -> float:
    """Return a number, which must be finite: Python's decoder allows ``Infinity`` and ``1e999``."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def json_fault(text: str, name: str, max_depth: int) -> Fault | None:
    """Return the syntax error of a JSON text with its position; ``None`` for valid JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        at, message, expected = _syntax_error(error, text)
    except RecursionError:
        at, message, expected = 0, f"is nested deeper than {max_depth} levels", "a flatter file"
    except ValueError as error:  # an integer above the interpreter's limit of digits
        reason = "a number is too large" if "digit" in str(error) else str(error)
        digits = re.search(r"\d{4301,}", text)
        at = digits.start() if digits else 0
        message, expected = f"not valid JSON: {reason}", "a number of at most 4300 digits"
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


def _syntax_error(error: json.JSONDecodeError, text: str) -> tuple[int, str, str]:
    """Return the position of a syntax error, a message in plain words, and the expected input."""
    at = error.pos
    comma = _trailing_comma(error, text)
    if comma is not None:
        at, message, expected = comma, "a superfluous comma after the last entry", "no comma here"
    elif not text.strip():
        message, expected = "the file is empty", "keys and values in braces"
    elif at >= len(text.rstrip()):
        message, expected = "the file ends too early", "a closing quote, bracket or brace"
    elif error.msg in _EXPLANATIONS:
        message, expected = _EXPLANATIONS[error.msg]
    elif "double quotes" in error.msg:
        message, expected = "a key is missing", "a key in double quotes"
    else:
        message = f"{error.msg[:1].lower()}{error.msg[1:]}"
        expected = "text as JSON escapes it"
    return at, f"not valid JSON: {message}", expected


#: Message of Python's decoder -> message in plain words, and the expected input.
_EXPLANATIONS: Final = {
    "Expecting value": ("a value is missing", "a number, a text in double quotes, [...] or {...}"),
    "Expecting ',' delimiter": ("a comma is missing", "a comma between entries"),
    "Expecting ':' delimiter": ("a colon is missing", "a colon after a key"),
    "Unterminated string starting at": ("a text without a closing quote", "a closing quote"),
    "Extra data": ("text after the end", "nothing after the closing brace"),
}


class JsonMark(NamedTuple):
    """Position of a token, counted from 0 as in YAML parsers."""

    line: int
    column: int


def json_events(text: str) -> Iterator[Any]:
    """Yield the events of a YAML parser for a JSON text without syntax errors."""
    line = line_start = scanned = 0
    for match in _TOKEN.finditer(text):
        token, start = match[1], match.start(1)
        newlines = text.count("\n", scanned, start)
        if newlines:
            line += newlines
            line_start = text.rindex("\n", 0, start) + 1
        scanned = start
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
