"""The tree of an expression: numbers, texts, columns and operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias


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
class ExpressionOperation:
    """Arithmetic (``+ - * /``, ``neg``), a comparison, or logic (``and or not``)."""

    kind: str
    operands: tuple[Node, ...]
    column: int


Node: TypeAlias = Number | Text | Name | ExpressionOperation
ARITHMETIC: Final = ("+", "-", "*", "/", "neg")
COMPARISONS: Final = ("<=", ">=", "<", ">", "==", "!=")


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it."""
    yield node
    if isinstance(node, ExpressionOperation):
        for child in node.operands:
            yield from walk(child)
