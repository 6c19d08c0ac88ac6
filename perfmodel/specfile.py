"""Strict reader of YAML and JSON spec files with source positions, and their validation.

`read` returns plain values together with the position of each; `validate` builds a pydantic model
from them and reports every fault with its position. YAML is composed from parser events, so that a
file cannot execute code, nor nest or expand without limit. Scalars follow YAML 1.2 (``on`` is a
text, ``1e3`` a number); tags, merge keys, duplicate keys, NaN and infinities are faults.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar, cast

import yaml

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.package_data import data_root
from perfmodel.regular_files import read_bytes
from perfmodel.source_positions import MarkedNode, Marks

T = TypeVar("T")

MAX_BYTES: Final = 16 * 2**20
_EXPECTED: Final = "a specification, which is a few KiB"
MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000

_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
#: First characters of numbers, including infinities.
_NUMERIC: Final = frozenset("+-.0123456789iInN")
_NOT_FINITE: Final = re.compile(r"[-+]?\.?(?:inf|nan|infinity)", re.IGNORECASE)
_CONSTANTS: Final[dict[str, bool | None]] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
    "Null": None,
    "NULL": None,
    "~": None,
    "": None,
}


def read(
    source: FilePath | str | bytes, name: str = "", *, json_text: bool | None = None
) -> tuple[Any, Marks]:
    """Read a spec: YAML, or JSON if the name ends in ``.json``.

    Parameters
    ----------
    source : Path, str or bytes
        File to open, or the text itself as str or bytes.
    name : str
        File name for faults; the path by default.
    json_text : bool, optional
        Whether the text is JSON; determined by the name by default.

    Returns
    -------
    data : dict, list or scalar
        Plain values.
    marks : Marks
        Position of each value.

    Raises
    ------
    InputError
        All formal faults: encoding, syntax, duplicate keys, tags, limits.
    """
    name = name or (str(source) if isinstance(source, FilePath) else "")
    text = _text(source, name)
    is_json = name.lower().endswith(".json") if json_text is None else json_text
    faults: list[Fault] = []
    if is_json:
        from perfmodel.json_positions import decode_valid_json

        valid = decode_valid_json(text, MAX_DEPTH, MAX_NODES)
        if valid is not None:
            return valid.value, Marks(lambda: compose_json(text, name, []))
        root = compose_json(text, name, faults)
    else:
        root = _Composer(name, faults).compose(text)
    if faults:
        faults.sort(key=lambda fault: (fault.line, fault.column))
        raise InputError(faults)
    return root.plain(), Marks(root)


def compose_json(
    text: str,
    name: str,
    faults: list[Fault],
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
) -> MarkedNode:
    """Return the values of a JSON text with their positions; faults are appended, not raised."""
    from perfmodel.json_positions import json_events, json_fault

    fault = json_fault(text, name, max_depth)
    if fault is not None:
        faults.append(fault)
        return MarkedNode(None, file=name)
    events = json_events(text)
    try:
        return _Composer(name, faults, max_depth, max_nodes).node(next(events), events, 0)
    except _CompositionError:
        return MarkedNode(None, file=name)


@lru_cache(maxsize=256)
def shipped(kind: str, name: str) -> Any:
    """Return the contents of a YAML file of the shipped data; cached, as a shared object.

    Parameters
    ----------
    kind, name : str
        Argument of `perfmodel.package_data.data_root`, and path of the file below that folder.
    """
    return read(data_root(kind) / name)[0]


def validate(model: type[T], data: Any, marks: Marks | None = None, file: str = "") -> T:
    """Build a pydantic model from file data, reporting all faults with their positions.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        Model class. It may have a static method ``structure_faults(data) -> iterable of Flaw`` (see
        `perfmodel.hardware.quantity`) with checks across fields, which run even if single fields
        are invalid.
    data, marks
        Results of `read`.
    file : str
        File name for positions that are not in the marks.

    Raises
    ------
    InputError
        All faults of the data.
    """
    from perfmodel.pydantic_faults import build

    return build(model, data, marks or Marks(), file)


def _text(source: FilePath | str | bytes, name: str) -> str:
    """Return the text of a file, of bytes, or the text itself."""
    if isinstance(source, FilePath):
        try:
            source = read_bytes(source, MAX_BYTES, wanted=_EXPECTED)
        except InputError as error:
            raise InputError(replace(fault, file=name) for fault in error.faults) from None
    if len(source) > MAX_BYTES:
        raise InputError(_too_large(name))
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    try:
        return source.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        column = error.start - (source.rfind(b"\n", 0, error.start) + 1) + 1
        raise input_error(
            "is not UTF-8 text",
            file=name,
            line=line,
            column=column,
            expected="a text file in UTF-8",
        ) from None


def _too_large(name: str) -> Fault:
    return Fault(f"is larger than {MAX_BYTES >> 20} MiB", file=name, expected=_EXPECTED)


class _CompositionError(Exception):
    """Composition was aborted; the fault is already recorded."""


class _Composer:
    """Composer of `MarkedNode` values from parser events; iterative, unlike the C composer."""

    def __init__(
        self, name: str, faults: list[Fault], max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES
    ) -> None:
        self.name, self.faults = name, faults
        self.max_depth, self.max_nodes = max_depth, max_nodes
        self.anchors: dict[str, tuple[MarkedNode, int]] = {}
        self.count = 0

    def compose(self, text: str) -> MarkedNode:
        """Return the root of a YAML text; faults are collected."""
        root: MarkedNode | None = None
        try:
            events = self._events(text)
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if root is not None:
                        self._fault("a second document", event.start_mark, "one document")
                        break
                    root = self.node(next(events), events, 0)
        except _CompositionError:
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or "is not YAML"
            self._fault(f"not valid YAML: {problem}", mark, _yaml_hint(problem))
        except yaml.YAMLError as error:
            problem = str(error).splitlines()[0]
            # Only reader errors have no mark: a character that YAML does not allow.
            offset = max(0, getattr(error, "position", 0) or 0)
            before = text.encode()[:offset].decode(errors="ignore")
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self.faults.append(
                Fault(
                    f"not valid YAML: {problem}",
                    file=self.name,
                    line=line,
                    column=column,
                    expected="text without control characters",
                )
            )
        if root is None:
            if not self.faults:
                self.faults.append(
                    Fault("is empty", file=self.name, line=1, column=1, expected="keys and values")
                )
            return MarkedNode(None, file=self.name)
        return root

    def _events(self, text: str) -> Iterator[Any]:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return cast("Any", yaml).parse(text, Loader=loader)

    def node(self, event: Any, events: Iterator[Any], depth: int, key: Any = None) -> MarkedNode:
        """Return the value that begins with an event, consuming the events of its parts.

        `key` is the mark of the key of the value.
        """
        mark = event.start_mark
        if depth > self.max_depth:
            self._fault(f"is nested deeper than {self.max_depth} levels", mark, "a flatter file")
            raise _CompositionError
        self._grow(1, mark)
        form = event.__class__
        if form is yaml.AliasEvent:
            known = self.anchors.get(event.anchor)
            if known is None:
                self._fault(
                    f"no anchor '{event.anchor}' before this alias",
                    mark,
                    f"'&{event.anchor}' on a value above",
                )
                return self._place(None, mark, key)
            self._grow(known[1], mark, "fewer aliases")
            line, column = (0, 0) if key is None else (key.line + 1, key.column + 1)
            return replace(known[0], key_line=line, key_column=column)
        if event.tag is not None and event.tag != "!":
            self._fault(f"a tag ('{event.tag[:60]}') is not allowed", mark, "plain values")
        before = self.count
        if form is yaml.ScalarEvent:
            value: Any = event.value if event.style else self._scalar(event.value, mark)
        elif form is yaml.SequenceStartEvent:
            value = []
            while type(inner := next(events)) is not yaml.SequenceEndEvent:
                value.append(self.node(inner, events, depth + 1))
        else:
            value = self._mapping(events, depth)
        node = self._place(value, mark, key)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before + 1)
        return node

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, MarkedNode]:
        """Return the entries of a mapping, consuming its events."""
        value: dict[str, MarkedNode] = {}
        while type(inner := next(events)) is not yaml.MappingEndEvent:
            mark = inner.start_mark
            key = ""
            if isinstance(inner, yaml.ScalarEvent):
                key = str(inner.value)
                if inner.tag is not None and inner.tag != "!":
                    self._fault(f"a tag ('{inner.tag[:60]}') is not allowed", mark, "plain keys")
            else:
                self.node(inner, events, depth + 1)
                self._fault("a key that is not a text", mark, "a plain key")
            child = self.node(next(events), events, depth + 1, mark)
            if key == "<<" and not inner.style:
                self._fault("merge keys are not supported", mark, "'base: NAME' to inherit")
            elif key in value:
                first = value[key].key_line
                self._fault(f"duplicate key '{key}' (first on line {first})", mark, "each key once")
            else:
                value[key] = child
        return value

    def _scalar(self, text: str, mark: Any) -> Any:
        """Return the value of a plain scalar by the rules of YAML 1.2."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if text[0] not in _NUMERIC:
            return text
        if _NOT_FINITE.fullmatch(text):
            self._fault(f"'{text}' is not a finite number", mark, "a finite number")
            return None
        integer = _INTEGER.fullmatch(text)
        if integer or _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                shown = text if len(text) <= 24 else f"{text[:20]}..."
                self._fault(f"'{shown}' is too large for a number", mark, "a finite number")
                return None
            return int(text) if integer else number
        return text

    def _grow(self, by: int, mark: Any, expected: str = "fewer") -> None:
        self.count += by
        if self.count > self.max_nodes:
            self._fault(f"holds more than {self.max_nodes} values", mark, expected)
            raise _CompositionError

    def _place(self, value: Any, mark: Any, key: Any = None) -> MarkedNode:
        line, column = mark.line + 1, mark.column + 1
        if key is None:
            return MarkedNode(value, line, column, self.name)
        return MarkedNode(value, line, column, self.name, key.line + 1, key.column + 1)

    def _fault(self, message: str, mark: Any, expected: str = "") -> None:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        self.faults.append(
            Fault(message, file=self.name, line=line, column=column, expected=expected)
        )


def _yaml_hint(problem: str) -> str:
    """Return the usual remedy for a syntax error of the YAML parser."""
    if "tab" in problem or "cannot start any token" in problem:
        return "spaces for indentation, and quotes around texts that begin with a sign"
    if "mapping values are not allowed" in problem:
        return "quotes around a text that holds ': '"
    if "escape character" in problem:
        return "single quotes around a text with backslashes"
    if "nesting depth" in problem:
        return "a flatter file"
    if "YAML document" in problem or "directive" in problem:
        return "no line that begins with %"
    return "a closed bracket, brace or quote and even indentation"


def reads_as_text(text: str) -> bool:
    """Return whether a plain (unquoted) scalar is read back as the same text."""
    number = _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text)
    return text not in _CONSTANTS and number is None and text != "<<"


def dumps_json(data: Any) -> str:
    """Return canonical JSON with sorted keys and no spaces, for hashing."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
