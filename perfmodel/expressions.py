"""Conditions on columns: ``"tpot_s <= 50 ms and peak_memory_bytes < 8 GiB"``.

Names, numbers with or without a unit, quoted texts, ``+ - * /``, comparisons (chained as in
mathematics), ``and or not`` and parentheses: nothing else, and nothing is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np

from perfmodel.columns import TEXT, TRUTH, dimension_of
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.units import DIMENSIONS, UnitError, dimension, parse, units_of

__all__ = ["Expression", "parse_expression"]

_LONGEST: Final = 2000
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True)
class Number:
    """A number in SI, with the dimension of the unit it was written with."""

    value: float
    dimension: str
    column: int


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text."""

    value: str
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    """A column."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic (``+ - * /``, ``neg``), a comparison, or logic (``and or not``)."""

    kind: str
    operands: tuple[Node, ...]
    column: int


Node: TypeAlias = Number | Text | Name | Operation
_ARITHMETIC: Final = ("+", "-", "*", "/", "neg")
_COMPARISONS: Final = ("<=", ">=", "<", ">", "==", "!=")


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition (or a quantity) over named columns.

    Attributes
    ----------
    text : str
        As it was written.
    root : Node
        The tree.
    """

    text: str
    root: Node
    file: str = ""

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """Evaluate on columns: numbers or arrays that broadcast; a NaN satisfies nothing.

        Raises
        ------
        InputError
            Unknown names and quantities of different dimensions, all at once.
        """
        faults = self.check(columns, {name: _held(value) for name, value in columns.items()})
        if faults:
            raise InputError(faults)
        with np.errstate(all="ignore"):
            return _value(self.root, columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that it reads, in order of appearance."""
        found = [node.name for node in _walk(self.root) if isinstance(node, Name)]
        return tuple(dict.fromkeys(found))

    def condition_faults(
        self, names: Iterable[str], dimensions: Mapping[str, str] | None = None
    ) -> list[Fault]:
        """Faults of `check`, and of an expression that is a quantity rather than a condition."""
        faults = self.check(names, dimensions)
        root = self.root
        truth = isinstance(root, Operation) and root.kind not in _ARITHMETIC
        if isinstance(root, Name):
            truth = dimensions is None or dimensions.get(root.name) == TRUTH
        if not truth and not faults:
            expected = "a comparison, such as latency_s <= 5 ms"
            faults.append(self._fault(root, "this is not a condition", expected=expected))
        return faults

    def check(
        self, names: Iterable[str], dimensions: Mapping[str, str] | None = None
    ) -> list[Fault]:
        """Faults against the columns that there are.

        Parameters
        ----------
        names : iterable of str
            Columns.
        dimensions : mapping of str to str, optional
            Dimension by column, ``"text"`` or ``"truth"``; by default what its name says.
        """
        known = list(names)
        given = dimensions or {}
        faults: list[Fault] = []
        for node in _walk(self.root):
            if isinstance(node, Name) and node.name not in known:
                meant = nearest(node.name, known)
                faults.append(
                    self._fault(
                        node, f"there is no column '{node.name}'", suggestion=meant,
                        expected="" if meant else "one of " + ", ".join(known),
                    )
                )  # fmt: skip
        if not faults:
            self._dimension(self.root, given, faults)
        return faults

    def margin(self, columns: Mapping[str, Any]) -> Any:
        """How far the condition is from flipping: positive where it holds, negative where not.

        Parameters
        ----------
        columns : mapping of str to number or array

        Returns
        -------
        float or ndarray
            Of a comparison, the difference of its sides relative to the larger; the least of an
            ``and``, the greatest of an ``or``; 1 or -1 for a truth value. NaN counts as -inf.
        """
        with np.errstate(all="ignore"):
            return _margin(self.root, columns)

    def _fault(self, node: Node, message: str, **rest: str) -> Fault:
        place = f"'{self.text}'" if not self.file else self.file
        return Fault(message, file=place, line=1, column=node.column, **rest)

    def _dimension(self, node: Node, given: Mapping[str, str], faults: list[Fault]) -> str | None:
        """Dimension of a subtree; ``None`` where anything may be compared with it."""
        if isinstance(node, Number):
            return node.dimension or None
        if isinstance(node, Text):
            return TEXT
        if isinstance(node, Name):
            return given.get(node.name) or dimension_of(node.name) or None
        parts = [self._dimension(child, given, faults) for child in node.operands]
        kind = node.kind
        if kind in ("and", "or", "not"):
            for child, part in zip(node.operands, parts, strict=True):
                if part not in (TRUTH, None) or isinstance(child, Number):
                    faults.append(
                        self._fault(child, "this is not a condition",
                                    expected="a comparison, such as latency_s <= 5 ms")
                    )  # fmt: skip
            return TRUTH
        if TEXT in parts and (kind not in ("==", "!=") or len(set(parts)) > 1):
            at = node.operands[parts.index(TEXT)]
            faults.append(
                self._fault(at, "a text can only be compared with another by == or !=",
                            expected="such as device == 'a100'")
            )  # fmt: skip
            return TRUTH if kind in _COMPARISONS else None
        if kind in _COMPARISONS or kind in ("+", "-"):
            known = [p for p in parts if p is not None]
            if len(set(known)) > 1:
                left, right = (_phrase(p) for p in dict.fromkeys(known))
                faults.append(self._fault(node, f"{left} and {right} cannot be "
                              + ("compared" if kind in _COMPARISONS else "added")))  # fmt: skip
            return TRUTH if kind in _COMPARISONS else (known[0] if known else None)
        return parts[0] if kind == "neg" else None

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def parse_expression(text: str, file: str = "") -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        Such as ``"tokens_per_s >= 20 and energy_j < 3 J"``.
    file : str
        Where it stands, for faults: ``--where``.

    Raises
    ------
    InputError
        Syntax and unknown units, with their column.
    """
    return _Parser(text, file).parse()


class _Syntax(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int
    value: float = 0.0
    dimension: str = ""


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    units = {u for name in DIMENSIONS for u in units_of(name) if u}
    longest = sorted(units, key=len, reverse=True)
    unit = "|".join(map(re.escape, longest))
    number = rf"(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\s*(?:{unit})(?![\w.]))?"
    token = re.compile(
        rf"\s*(?:(?P<number>{number})|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
        r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<op><=|>=|==|!=|=<|=>|<>|&&|\|\||[-+*/<>()=&|!])|(?P<bad>\S))"
    )
    loose = re.compile(r"((?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ%][\w/%^²]*)")
    return token, loose


_SLIPS: Final = {
    "=<": "<=",
    "=>": ">=",
    "<>": "!=",
    "=": "==",
    "&&": "and",
    "&": "and",
    "||": "or",
    "|": "or",
    "!": "not",
}
_WORDS: Final = ("and", "or", "not")


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.tokens: list[_Token] = []
        self.at = 0
        self.depth = 0

    def parse(self) -> Expression:
        try:
            if len(self.text) > _LONGEST:
                raise _Syntax(Fault(f"{len(self.text)} characters are too many", file=self.file,
                                    expected=f"at most {_LONGEST}"))  # fmt: skip
            self.tokens = list(self._scan())
            if len(self.tokens) == 1:
                raise _Syntax(Fault("an empty condition", file=self.file,
                                    expected="such as latency_s <= 5 ms"))  # fmt: skip
            root = self._or()
            if self._peek.kind != "end":
                raise self._error(self._peek, f"'{self._peek.text}' does not belong here")
        except _Syntax as error:
            raise InputError(error.fault) from None
        return Expression(self.text, root, self.file)

    def _scan(self) -> Iterator[_Token]:
        token, loose = _patterns()
        position = 0
        end = len(self.text.rstrip())
        while position < end:
            match = token.match(self.text, position)
            assert match is not None  # `bad` takes any character
            kind, written = str(match.lastgroup), match[match.lastgroup or 0]
            column = match.start(kind) + 1
            position = match.end()
            made = _Token(kind, written, column)
            if kind == "number":
                slip = loose.match(self.text, column - 1)
                if slip is not None and slip.end() > position and slip[2] not in _WORDS:
                    raise _Syntax(self._unit_fault(slip[1], slip[2], column))
                made = _number(written, column)
            elif kind == "bad" or written in _SLIPS:
                raise _Syntax(Fault(f"'{written}' means nothing here", file=self._file, line=1,
                                    column=column, suggestion=_SLIPS.get(written, "")))  # fmt: skip
            elif kind == "name" and written.lower() in _WORDS:
                made = _Token("op", written.lower(), column)
            yield made
        yield _Token("end", "the end", len(self.text) + 1)

    def _unit_fault(self, number: str, unit: str, column: int) -> Fault:
        known = {u: u.lower() for name in DIMENSIONS for u in units_of(name)}
        suggestion = next((u for u, folded in known.items() if folded == unit.lower()), "")
        if not suggestion or unit.startswith("K"):  # KB: each dimension knows the slips people make
            for name in DIMENSIONS:
                try:
                    parse(f"{number} {unit}", name)
                except UnitError as error:
                    if error.suggestion:
                        suggestion = error.suggestion.partition(" ")[2]
                        break
        suggestion = suggestion or nearest(unit, known)
        return Fault(f"'{unit}' is not a unit", file=self._file, line=1, column=column,
                     suggestion=f"{number} {suggestion}" if suggestion else "",
                     expected="" if suggestion else "such as 5 ms, 512 KiB, 25 GB/s")  # fmt: skip

    @property
    def _file(self) -> str:
        return self.file or f"'{self.text}'"

    @property
    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, *operators: str) -> _Token | None:
        token = self._peek
        if token.kind == "op" and token.text in operators:
            self.at += 1
            return token
        return None

    def _error(self, token: _Token, message: str, expected: str = "") -> _Syntax:
        return _Syntax(
            Fault(message, file=self._file, line=1, column=token.column, expected=expected)
        )

    def _or(self) -> Node:
        return self._logic("or", self._and)

    def _and(self) -> Node:
        return self._logic("and", self._not)

    def _logic(self, word: str, part: Any) -> Node:
        first = part()
        nodes = [first]
        while self._take(word):
            nodes.append(part())
        return first if len(nodes) == 1 else Operation(word, tuple(nodes), first.column)

    def _not(self) -> Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        with_depth = self._deeper(token)
        node = Operation("not", (self._not(),), token.column)
        self.depth = with_depth - 1
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        links: list[Node] = []
        while token := self._take(*_COMPARISONS):
            right = self._sum()
            links.append(Operation(token.text, (left, right), token.column))
            left = right
        if not links:
            return left
        return links[0] if len(links) == 1 else Operation("and", tuple(links), links[0].column)

    def _sum(self) -> Node:
        node = self._product()
        while token := self._take("+", "-"):
            node = Operation(token.text, (node, self._product()), token.column)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while token := self._take("*", "/"):
            node = Operation(token.text, (node, self._unary()), token.column)
        return node

    def _unary(self) -> Node:
        token = self._take("-", "+")
        if token is None:
            return self._atom()
        with_depth = self._deeper(token)
        inner = self._unary()
        self.depth = with_depth - 1
        return inner if token.text == "+" else Operation("neg", (inner,), token.column)

    def _atom(self) -> Node:
        token = self._peek
        if token.kind == "number":
            self.at += 1
            return Number(token.value, token.dimension, token.column)
        if token.kind == "name":
            self.at += 1
            return Name(token.text, token.column)
        if token.kind == "text":
            self.at += 1
            return Text(token.text[1:-1], token.column)
        if self._take("("):
            with_depth = self._deeper(token)
            node = self._or()
            self.depth = with_depth - 1
            if not self._take(")"):
                raise self._error(token, "this parenthesis is never closed")
            return node
        what = (
            "the condition stops short" if token.kind == "end" else f"'{token.text}' is misplaced"
        )
        raise self._error(token, what, "a column, a number such as 5 ms, or a parenthesis")

    def _deeper(self, token: _Token) -> int:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(token, "nested too deeply", f"at most {_DEEPEST} levels")
        return self.depth


def _number(written: str, column: int) -> _Token:
    found = dimension(written)
    value = parse(written, found) if found else float(written.replace("_", ""))
    return _Token("number", written, column, value, found)


def _phrase(name: str) -> str:
    if name in DIMENSIONS:
        return DIMENSIONS[name].noun
    return {TEXT: "a text", TRUTH: "a truth value"}.get(name, f"a {name}")


def _held(value: Any) -> str:
    kind = np.asarray(value).dtype.kind
    return {"b": TRUTH, "U": TEXT, "O": TEXT}.get(kind, "")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Operation):
        for child in node.operands:
            yield from _walk(child)


def _value(node: Node, columns: Mapping[str, Any]) -> Any:
    if isinstance(node, Number | Text):
        return node.value
    if isinstance(node, Name):
        value = columns[node.name]
        return np.nan if value is None else value
    parts = [_value(child, columns) for child in node.operands]
    kind = node.kind
    if kind in ("and", "or"):
        combine = np.logical_and if kind == "and" else np.logical_or
        return combine.reduce(np.broadcast_arrays(*parts), axis=0)
    if kind == "not":
        return np.logical_not(parts[0])
    if kind == "neg":
        return -parts[0]
    left, right = parts
    match kind:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return np.divide(left, right)
        case "<=":
            return np.less_equal(left, right)
        case ">=":
            return np.greater_equal(left, right)
        case "<":
            return np.less(left, right)
        case ">":
            return np.greater(left, right)
        case "==":
            return np.asarray(left == right)
        case _:
            unequal = np.asarray(left != right)
            missing = [np.isnan(v) for v in (left, right) if np.asarray(v).dtype.kind == "f"]
            for gap in missing:
                unequal = unequal & ~gap
            return unequal


def _margin(node: Node, columns: Mapping[str, Any]) -> Any:
    if isinstance(node, Operation) and node.kind in ("and", "or", "not"):
        parts = [_margin(child, columns) for child in node.operands]
        if node.kind == "not":
            return -np.asarray(parts[0])
        combine = np.minimum if node.kind == "and" else np.maximum
        return combine.reduce(np.broadcast_arrays(*parts), axis=0)
    if isinstance(node, Operation) and node.kind in ("<=", ">=", "<", ">"):
        left, right = (np.asarray(_value(c, columns), dtype=float) for c in node.operands)
        high, low = (right, left) if node.kind[0] == "<" else (left, right)
        scale = np.maximum(np.abs(high), np.abs(low))
        gap = np.where(high == low, 0.0, (high - low) / np.where(scale > 0, scale, 1.0))
        # Equal sides satisfy `<=` but not `<`: keep the sign true to the comparison.
        nudge = np.finfo(float).tiny
        gap = np.where(gap == 0.0, nudge if node.kind[-1] == "=" else -nudge, gap)
        return np.where(np.isnan(gap), -np.inf, gap)
    held = np.asarray(_value(node, columns))
    truth = held if held.dtype.kind == "b" else np.nan_to_num(held.astype(float)) != 0
    return np.where(truth, 1.0, -1.0)
