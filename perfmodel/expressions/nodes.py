"""Nodes of an expression's syntax tree: numbers, texts, columns and operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number in SI units, with the dimension of its unit."""

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
    """A reference to a column by name."""

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
    """Yield a node and all its descendants in preorder."""
    yield node
    if isinstance(node, ExpressionOperation):
        for child in node.operands:
            yield from walk(child)
