"""JSON with the place of every value (the standard decoder keeps none)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final, cast

from perfmodel.errors import Fault
from perfmodel.marks import MarkedNode

_TOKEN: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+)', re.DOTALL)


def sound_json(text: str, max_depth: int, max_nodes: int) -> tuple[Any] | None:
    """Return the value of a text in which `compose_json` finds no fault, else nothing.

    The standard decoder alone, many times faster: places are needed where something is wrong.

    Returns
    -------
    tuple of one value, or None
        None where there is a fault, or might be one.
    """
    # Each value but the first follows a comma or an opening bracket.
    if text.count(",") + text.count("[") + text.count("{") >= max_nodes:
        return None
    try:
        value: Any = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )  # fmt: skip
    except (ValueError, RecursionError):
        return None
    level: list[Any] = [value]
    for _ in range(max_depth):
        inside: Iterable[Any] = chain.from_iterable(
            cast("Iterable[Any]", held.values() if isinstance(held, dict) else held)
            for held in level
            if isinstance(held, dict | list)
        )
        level = [held for held in inside if isinstance(held, dict | list)]
        if not level:
            return (value,)
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("no finite number")
    return value


def compose_json(
    text: str, name: str, faults: list[Fault], max_depth: int, max_nodes: int
) -> MarkedNode:
    """JSON text as a `MarkedNode` tree; faults are appended, not raised.

    The standard decoder decides what is valid; a second pass over the tokens adds the places.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        comma = _trailing_comma(error, text)
        if comma is None:
            place = (error.lineno, error.colno)
            message, expected = _said(error, text)
        else:
            place = (text.count("\n", 0, comma) + 1, comma - text.rfind("\n", 0, comma))
            message, expected = "not valid JSON: a comma after the last entry", "no comma here"
        faults.append(Fault(message, file=name, line=place[0], column=place[1], expected=expected))
        return MarkedNode(None, file=name)
    except RecursionError:
        message = f"is nested deeper than {max_depth} levels"
        faults.append(Fault(message, file=name, line=1, column=1, expected="a flatter file"))
        return MarkedNode(None, file=name)
    except ValueError as error:  # an integer beyond the interpreter's limit of digits
        reason = "a number is too large" if "digit" in str(error) else str(error)
        long = re.search(r"\d{4301,}", text)
        at = long.start() if long else 0
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        faults.append(Fault(f"not valid JSON: {reason}", file=name, line=line, column=column,
                            expected="numbers of a sane length"))  # fmt: skip
        return MarkedNode(None, file=name)
    try:
        return _JsonLocator(text, name, faults, max_depth, max_nodes).value(0)
    except _JsonLimitError:
        return MarkedNode(None, file=name)


def _trailing_comma(error: json.JSONDecodeError, text: str) -> int | None:
    """Where a comma stands before a closing bracket; decoders differ in what they say of it."""
    if text[error.pos : error.pos + 1] == ",":
        comma = error.pos
    else:
        before = text[: error.pos].rstrip()
        comma = len(before) - 1
        if not before.endswith(","):
            return None
    return comma if text[comma + 1 :].lstrip()[:1] in ("}", "]") else None


def _said(error: json.JSONDecodeError, text: str) -> tuple[str, str]:
    """What the decoder said, in a user's words, and what it waited for."""
    said = f"{error.msg[:1].lower()}{error.msg[1:]}"
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
    said, expected = known.get(error.msg, (said, "text as JSON escapes it"))
    return f"not valid JSON: {said}", expected


class _JsonLimitError(Exception):
    """A limit is passed; the fault is already noted."""


class _JsonLocator:
    """Walks the tokens of text that is known to be valid JSON."""

    def __init__(
        self, text: str, name: str, faults: list[Fault], max_depth: int, max_nodes: int
    ) -> None:
        self.text, self.name, self.faults = text, name, faults
        self.max_depth, self.max_nodes = max_depth, max_nodes
        self.at = self.line = self.count = 0
        self.line_start = 0
        self.seen = 0

    def token(self) -> tuple[str, int, int]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:  # cannot happen in valid JSON
            return "", self.line + 1, 1
        start, self.at = match.start(1), match.end()
        newlines = self.text.count("\n", self.seen, start)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rindex("\n", 0, start) + 1
        self.seen = start
        return match[1], self.line + 1, start - self.line_start + 1

    def value(self, depth: int) -> MarkedNode:
        token, line, column = self.token()
        return self._value(token, line, column, depth)

    def _value(self, token: str, line: int, column: int, depth: int) -> MarkedNode:
        self.count += 1
        if self.count > self.max_nodes:
            self._fault(f"holds more than {self.max_nodes} values", line, column, "fewer")
            raise _JsonLimitError
        if depth > self.max_depth:
            self._fault(
                f"is nested deeper than {self.max_depth} levels", line, column, "a flatter file"
            )
            raise _JsonLimitError
        content: Any
        if token == "{":
            content = self._object(depth)
        elif token == "[":
            content = []
            token, *place = self.token()
            while token != "]":
                content.append(self._value(token, place[0], place[1], depth + 1))
                token, *place = self.token()
                if token == ",":
                    token, *place = self.token()
        else:
            content = json.loads(token)
            if isinstance(content, float) and not math.isfinite(content):
                self._fault(
                    f"'{token[:20]}' is not a finite number", line, column, "a finite number"
                )
                content = None
        return MarkedNode(content, line, column, self.name)

    def _object(self, depth: int) -> dict[str, MarkedNode]:
        content: dict[str, MarkedNode] = {}
        token, line, column = self.token()
        while token != "}":
            key = str(json.loads(token))
            self.token()  # the colon
            child = self.value(depth + 1)
            if key in content:
                first = content[key].key_line
                self._fault(
                    f"duplicate key '{key}' (first on line {first})", line, column, "each key once"
                )
            else:
                content[key] = MarkedNode(
                    child.value, child.line, child.column, self.name, line, column
                )
            token, line, column = self.token()
            if token == ",":
                token, line, column = self.token()
        return content

    def _fault(self, message: str, line: int, column: int, expected: str) -> None:
        self.faults.append(
            Fault(message, file=self.name, line=line, column=column, expected=expected)
        )
