"""Text of an expression -> its tree, with a fault at the column where it goes wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.expressions.nodes import COMPARISONS, ExpressionOperation, Name, Node, Number, Text
from perfmodel.units import DIMENSIONS, UnitError, dimension, parse, units_of

_LONGEST: Final = 2000
_DEEPEST: Final = 50


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


class Parser:
    """Recursive descent over one expression."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.tokens: list[_Token] = []
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        """Return the tree.

        Raises
        ------
        InputError
            Syntax and unknown units, with their column.
        """
        try:
            if len(self.text) > _LONGEST:
                raise _Syntax(
                    Fault(
                        f"{len(self.text)} characters are too many",
                        file=self.file,
                        expected=f"at most {_LONGEST}",
                    )
                )
            self.tokens = list(self._scan())
            if len(self.tokens) == 1:
                raise _Syntax(
                    Fault(
                        "an empty condition", file=self.file, expected="such as latency_s <= 5 ms"
                    )
                )
            root = self._or()
            if self._peek.kind != "end":
                raise self._error(
                    self._peek,
                    f"'{self._peek.text}' does not belong here",
                    "'and', 'or', a comparison, or the end",
                )
        except _Syntax as error:
            raise InputError(error.fault) from None
        return root

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
                meant = _SLIPS.get(written, "")
                expected = "" if meant else "columns, numbers, comparisons, 'and', 'or', 'not'"
                raise _Syntax(
                    Fault(
                        f"'{written}' means nothing here",
                        file=self._file,
                        line=1,
                        column=column,
                        suggestion=meant,
                        expected=expected,
                    )
                )
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
        return Fault(
            f"'{unit}' is not a unit",
            file=self._file,
            line=1,
            column=column,
            suggestion=f"{number} {suggestion}" if suggestion else "",
            expected="" if suggestion else "such as 5 ms, 512 KiB, 25 GB/s",
        )

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
        return first if len(nodes) == 1 else ExpressionOperation(word, tuple(nodes), first.column)

    def _not(self) -> Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        with_depth = self._deeper(token)
        node = ExpressionOperation("not", (self._not(),), token.column)
        self.depth = with_depth - 1
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        links: list[Node] = []
        while token := self._take(*COMPARISONS):
            right = self._sum()
            links.append(ExpressionOperation(token.text, (left, right), token.column))
            left = right
        if not links:
            return left
        return (
            links[0]
            if len(links) == 1
            else ExpressionOperation("and", tuple(links), links[0].column)
        )

    def _sum(self) -> Node:
        node = self._product()
        while token := self._take("+", "-"):
            node = ExpressionOperation(token.text, (node, self._product()), token.column)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while token := self._take("*", "/"):
            node = ExpressionOperation(token.text, (node, self._unary()), token.column)
        return node

    def _unary(self) -> Node:
        token = self._take("-", "+")
        if token is None:
            return self._atom()
        with_depth = self._deeper(token)
        inner = self._unary()
        self.depth = with_depth - 1
        return inner if token.text == "+" else ExpressionOperation("neg", (inner,), token.column)

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
                raise self._error(token, "this parenthesis is never closed", "a ')' after it")
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
