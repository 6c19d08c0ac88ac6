"""Recursive-descent parser of conditions, with one level of the grammar per operator precedence.

The scanner recognises numbers with units; faults state the column and, for common mistakes such as
``=<``, the intended operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from perfmodel.errors import InputError, input_error, nearest
from perfmodel.expressions.nodes import COMPARISONS, ExpressionOperation, Name, Node, Number, Text
from perfmodel.units import DIMENSIONS, UnitError, dimension, parse, units_of

_MAX_LENGTH: Final = 2000
_MAX_DEPTH: Final = 50


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int
    value: float = 0.0
    dimension: str = ""


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a token, and of a number followed by any word."""
    units = {u for name in DIMENSIONS for u in units_of(name) if u}
    longest = sorted(units, key=len, reverse=True)
    unit = "|".join(map(re.escape, longest))
    number = rf"(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\s*(?:{unit})(?![\w.]))?"
    token = re.compile(
        rf"\s*(?:(?P<number>{number})|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
        r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<op><=|>=|==|!=|=<|=>|<>|&&|\|\||[-+*/<>()=&|!])|(?P<bad>\S))"
    )
    number_and_word = re.compile(
        r"((?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ%][\w/%^²]*)"
    )
    return token, number_and_word


_COMMON_MISTAKES: Final = {
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
#: Operators by precedence, lowest first.
_PRECEDENCE: Final = (("or",), ("and",), ("not",), COMPARISONS, ("+", "-"), ("*", "/"))


class Parser:
    """Recursive descent parser of one expression."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.tokens: list[_Token] = []
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        """Return the syntax tree.

        Raises
        ------
        InputError
            Syntax errors and unknown units, with their column.
        """
        if len(self.text) > _MAX_LENGTH:
            message = f"{len(self.text)} characters are too many"
            raise input_error(message, file=self.file, expected=f"at most {_MAX_LENGTH}")
        self.tokens = list(self._scan())
        if len(self.tokens) == 1:
            expected = "such as latency_s <= 5 ms"
            raise input_error("an empty condition", file=self.file, expected=expected)
        root = self._parse_level()
        if self._peek.kind != "end":
            raise self._error(
                self._peek,
                f"'{self._peek.text}' does not belong here",
                "'and', 'or', a comparison, or the end",
            )
        return root

    def _scan(self) -> Iterator[_Token]:
        """Yield the tokens of the text, the last of kind ``end``."""
        token, number_and_word = _patterns()
        position = 0
        end = len(self.text.rstrip())
        while position < end:
            match = token.match(self.text, position)
            assert match is not None  # `bad` matches any character
            kind, written = str(match.lastgroup), match[match.lastgroup or 0]
            column = match.start(kind) + 1
            position = match.end()
            scanned = _Token(kind, written, column)
            if kind == "number":
                mistyped = number_and_word.match(self.text, column - 1)
                if mistyped is not None and mistyped.end() > position and mistyped[2] not in _WORDS:
                    raise self._unit_error(mistyped[1], mistyped[2], column)
                scanned = _number(written, column)
            elif kind == "bad" or written in _COMMON_MISTAKES:
                meant = _COMMON_MISTAKES.get(written, "")
                expected = "" if meant else "columns, numbers, comparisons, 'and', 'or', 'not'"
                raise self._error(scanned, f"'{written}' means nothing here", expected, meant)
            elif kind == "name" and written.lower() in _WORDS:
                scanned = _Token("op", written.lower(), column)
            yield scanned
        yield _Token("end", "the end", len(self.text) + 1)

    def _unit_error(self, number: str, unit: str, column: int) -> InputError:
        """Return the error of an unknown unit, suggesting the nearest known one."""
        known = {u: u.lower() for name in DIMENSIONS for u in units_of(name)}
        suggestion = next((u for u, folded in known.items() if folded == unit.lower()), "")
        if not suggestion or unit.startswith("K"):  # KB: `parse` knows common mistakes
            for name in DIMENSIONS:
                try:
                    parse(f"{number} {unit}", name)
                except UnitError as error:
                    if error.suggestion:
                        suggestion = error.suggestion.partition(" ")[2]
                        break
        suggestion = suggestion or nearest(unit, known)
        expected = "" if suggestion else "such as 5 ms, 512 KiB, 25 GB/s"
        place, meant = _Token("number", unit, column), f"{number} {suggestion}"
        return self._error(place, f"'{unit}' is not a unit", expected, meant if suggestion else "")

    @property
    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, *operators: str) -> _Token | None:
        token = self._peek
        if token.kind == "op" and token.text in operators:
            self.at += 1
            return token
        return None

    def _error(
        self, token: _Token, message: str, expected: str = "", suggestion: str = ""
    ) -> InputError:
        file = self.file or f"'{self.text}'"
        return input_error(message, "", file, 1, token.column, expected, suggestion)

    def _parse_level(self, level: int = 0) -> Node:
        """Parse the operators of a precedence level and all higher ones."""
        if level == len(_PRECEDENCE):
            return self._parse_unary()
        operators = _PRECEDENCE[level]
        if operators == ("not",):
            token = self._take("not")
            return self._parse_operand(token, level) if token else self._parse_level(level + 1)
        nodes: list[Node] = [self._parse_level(level + 1)]
        comparisons: list[Node] = []
        while token := self._take(*operators):
            right = self._parse_level(level + 1)
            if operators in (("or",), ("and",)):
                nodes.append(right)
            elif operators == COMPARISONS:  # a <= b <= c
                nodes, right = [_in_unit_of(right, nodes[0])], _in_unit_of(nodes[0], right)
                comparisons.append(ExpressionOperation(token.text, (nodes[0], right), token.column))
                nodes = [right]
            else:
                nodes = [ExpressionOperation(token.text, (nodes[0], right), token.column)]
        word = "and" if comparisons else operators[0]
        nodes = comparisons or nodes
        return (
            nodes[0]
            if len(nodes) == 1
            else ExpressionOperation(word, tuple(nodes), nodes[0].column)
        )

    def _parse_operand(self, token: _Token, level: int) -> Node:
        """Parse the operand of a sign, a ``not`` or a parenthesis, limiting the nesting depth."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._error(token, "nested too deeply", f"at most {_MAX_DEPTH} levels")
        node = self._parse_level(level)
        self.depth -= 1
        if token.text in ("+", "("):
            return node
        kind = "neg" if token.text == "-" else "not"
        return ExpressionOperation(kind, (node,), token.column)

    def _parse_unary(self) -> Node:
        token = self._take("-", "+")
        if token is None:
            return self._parse_atom()
        return self._parse_operand(token, len(_PRECEDENCE))

    def _parse_atom(self) -> Node:
        """Parse a number, a column, a quoted text, or an expression in parentheses."""
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
            node = self._parse_operand(token, 0)
            if not self._take(")"):
                raise self._error(token, "this parenthesis is never closed", "a ')' after it")
            return node
        message = (
            "the condition stops short" if token.kind == "end" else f"'{token.text}' is misplaced"
        )
        raise self._error(token, message, "a column, a number such as 5 ms, or a parenthesis")


#: Columns that are not in SI units: dimension of a number, end of the column's name, the column's
#: units in an SI unit, and the column's dimension.
_OWN_UNITS: Final = (("area", "_mm2", 1e6, "silicon"), ("time", "_hours", 1.0 / 3600.0, ""))


def _in_unit_of(column: Node, number: Node) -> Node:
    """Return a number that is compared with a column, in the unit of the column."""
    if not isinstance(column, Name) or not isinstance(number, Number):
        return number
    for dimension_name, end, factor, own in _OWN_UNITS:
        if number.dimension == dimension_name and column.name.endswith(end):
            return Number(number.value * factor, own, number.column)
    return number


def _number(written: str, column: int) -> _Token:
    unit_dimension = dimension(written)
    value = parse(written, unit_dimension) if unit_dimension else float(written.replace("_", ""))
    return _Token("number", written, column, value, unit_dimension)
