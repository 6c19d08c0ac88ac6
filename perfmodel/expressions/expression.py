"""Expressions over named columns: dimension check, evaluation on arrays, and margin.

`parse_expression` returns an `Expression`. Its check rejects unknown names and comparisons of
different dimensions; its margin measures how far a condition is from changing its value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from perfmodel.columns import TEXT, TRUTH, dimension_of
from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.expressions.nodes import (
    ARITHMETIC,
    COMPARISONS,
    ExpressionOperation,
    Name,
    Node,
    Number,
    Text,
    walk,
)
from perfmodel.expressions.syntax import Parser
from perfmodel.units import DIMENSIONS


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition (or a quantity) over named columns.

    Attributes
    ----------
    text : str
        Source text.
    root : Node
        Syntax tree.
    file : str
        File or option that contains the expression, for error messages.
    """

    text: str
    root: Node
    file: str = ""

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """Evaluate on columns of numbers or arrays that broadcast; NaN satisfies no comparison.

        Raises
        ------
        InputError
            Lists all unknown names and combinations of different dimensions.
        """
        faults = self.check(
            columns, {name: _dimension_of_values(value) for name, value in columns.items()}
        )
        if faults:
            raise InputError(faults)
        with np.errstate(all="ignore"):
            return _evaluate(self.root, columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that the expression reads, in order of appearance."""
        names = [node.name for node in walk(self.root) if isinstance(node, Name)]
        return tuple(dict.fromkeys(names))

    def condition_faults(
        self, names: Iterable[str], dimensions: Mapping[str, str] | None = None
    ) -> list[Fault]:
        """Return the faults of `check`, and one if the expression is not a condition."""
        faults = self.check(names, dimensions)
        root = self.root
        truth = isinstance(root, ExpressionOperation) and root.kind not in ARITHMETIC
        if isinstance(root, Name):
            truth = dimensions is None or dimensions.get(root.name) == TRUTH
        if not truth and not faults:
            expected = "a comparison, such as latency_s <= 5 ms"
            faults.append(self._fault(root, "this is not a condition", expected=expected))
        return faults

    def check(
        self, names: Iterable[str], dimensions: Mapping[str, str] | None = None
    ) -> list[Fault]:
        """Return unknown names and dimension mismatches, given the available columns.

        Parameters
        ----------
        names : iterable of str
            Names of the columns.
        dimensions : mapping of str to str, optional
            Column -> dimension, ``"text"`` or ``"truth"``; by default derived from its name.
        """
        known = list(names)
        dimension_by_name = dimensions or {}
        unknown = [n for n in walk(self.root) if isinstance(n, Name) and n.name not in known]
        texts = self._compared_with_texts(dimension_by_name) if unknown else ()
        faults: list[Fault] = []
        for node in unknown:
            suggestion = nearest(node.name, known)
            columns = one_of(known)
            expected = f"'{node.name}' in quotes, or a column" if node.name in texts else columns
            faults.append(
                self._fault(
                    node,
                    f"there is no column '{node.name}'",
                    suggestion=suggestion,
                    expected="" if suggestion else expected,
                )
            )
        if not faults:
            self._dimension(self.root, dimension_by_name, faults)
        return faults

    def _compared_with_texts(self, dimensions: Mapping[str, str]) -> set[str]:
        """Return names beside text columns: an unknown one is probably a text without quotes."""
        return {
            child.name
            for node in walk(self.root)
            if isinstance(node, ExpressionOperation)
            for child in node.operands
            if isinstance(child, Name)
            if any(isinstance(o, Name) and dimensions.get(o.name) == TEXT for o in node.operands)
        }

    def margin(self, columns: Mapping[str, Any]) -> Any:
        """Return the relative margin of the condition: positive where it holds, else negative.

        Parameters
        ----------
        columns : mapping of str to number or array

        Returns
        -------
        float or ndarray
            For ``a < b``, ``(b - a) / max(|a|, |b|)``; the minimum over the terms of an ``and``,
            the maximum for an ``or``; 1 or -1 for a truth value, and where one side is infinite.
            NaN counts as -inf.
        """
        with np.errstate(all="ignore"):
            return _signed_margin(self.root, columns)

    def _fault(self, node: Node, message: str, **remedy: str) -> Fault:
        place = f"'{self.text}'" if not self.file else self.file
        return Fault(message, file=place, line=1, column=node.column, **remedy)

    def _dimension(
        self, node: Node, dimension_by_name: Mapping[str, str], faults: list[Fault]
    ) -> str | None:
        """Return the dimension of a subtree; ``None`` if it may be compared with anything."""
        if isinstance(node, Number):
            return node.dimension or None
        if isinstance(node, Text):
            return TEXT
        if isinstance(node, Name):
            return dimension_by_name.get(node.name) or dimension_of(node.name) or None
        parts = [self._dimension(child, dimension_by_name, faults) for child in node.operands]
        kind = node.kind
        if kind in ("and", "or", "not"):
            for child, part in zip(node.operands, parts, strict=True):
                if part not in (TRUTH, None) or isinstance(child, Number):
                    faults.append(
                        self._fault(
                            child,
                            "this is not a condition",
                            expected="a comparison, such as latency_s <= 5 ms",
                        )
                    )
            return TRUTH
        if TEXT in parts and (kind not in ("==", "!=") or len(set(parts)) > 1):
            at = node.operands[parts.index(TEXT)]
            faults.append(
                self._fault(
                    at,
                    "a text can only be compared with another by == or !=",
                    expected="such as device == 'a100'",
                )
            )
            return TRUTH if kind in COMPARISONS else None
        if kind in COMPARISONS or kind in ("+", "-"):
            known = [p for p in parts if p is not None]
            if len(set(known)) > 1:
                left, right = (_noun_of(p) for p in dict.fromkeys(known))
                verb = "compared" if kind in COMPARISONS else "added"
                faults.append(
                    self._fault(
                        node,
                        f"{left} and {right} cannot be {verb}",
                        expected=f"{left} on both sides",
                    )
                )
            return TRUTH if kind in COMPARISONS else (known[0] if known else None)
        return parts[0] if kind == "neg" else None

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def parse_expression(text: str, file: str = "") -> Expression:
    """Parse an expression.

    Parameters
    ----------
    text : str
        Such as ``"tokens_per_s >= 20 and energy_j < 3 J"``.
    file : str
        File or option that contains it, for error messages: ``--where``.

    Raises
    ------
    InputError
        Syntax errors and unknown units, with their column.
    """
    return Expression(text, Parser(text, file).parse(), file)


def _noun_of(name: str) -> str:
    if name in DIMENSIONS:
        return DIMENSIONS[name].noun
    return {TEXT: "a text", TRUTH: "a truth value"}.get(name, f"a {name}")


def _dimension_of_values(value: Any) -> str:
    kind = np.asarray(value).dtype.kind
    return {"b": TRUTH, "U": TEXT, "O": TEXT}.get(kind, "")


def _evaluate(node: Node, columns: Mapping[str, Any]) -> Any:
    """Return the value of a subtree on columns; a missing column value is NaN."""
    if isinstance(node, Number | Text):
        return node.value
    if isinstance(node, Name):
        value = columns[node.name]
        return np.nan if value is None else value
    if node.kind == "not":
        negated = _negated(node.operands[0])
        if negated is not None:
            return _evaluate(negated, columns)
        return np.logical_not(_evaluate(node.operands[0], columns))
    parts = [_evaluate(child, columns) for child in node.operands]
    kind = node.kind
    if kind in ("and", "or"):
        combine = np.logical_and if kind == "and" else np.logical_or
        return combine.reduce(np.broadcast_arrays(*parts), axis=0)
    return _OPERATIONS[kind](*parts)


def _unequal(left: Any, right: Any) -> Any:
    unequal = np.asarray(left != right)
    for side in (left, right):
        if np.asarray(side).dtype.kind == "f":
            unequal = unequal & ~np.isnan(side)
    return unequal


def _equal(left: Any, right: Any) -> Any:
    return np.asarray(left == right)


_OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.divide,
    "neg": operator.neg,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
    "==": _equal,
    "!=": _unequal,
}

#: Negation of each comparison of two numbers.
_OPPOSITES: Final = {"<=": ">", ">": "<=", ">=": "<", "<": ">=", "==": "!=", "!=": "=="}


def _negated(node: Node) -> Node | None:
    """Return the negation of a node with ``not`` pushed inwards; None for a plain truth value.

    A comparison with NaN and its negation are both false: `not (energy_j < 1 J)` does not select a
    device with unknown energies.
    """
    if not isinstance(node, ExpressionOperation):
        return None
    if node.kind == "not":
        return node.operands[0]
    if node.kind in _OPPOSITES:
        return ExpressionOperation(_OPPOSITES[node.kind], node.operands, node.column)
    if node.kind in ("and", "or"):
        inner = tuple(ExpressionOperation("not", (child,), child.column) for child in node.operands)
        return ExpressionOperation("or" if node.kind == "and" else "and", inner, node.column)
    return None


def _signed_margin(node: Node, columns: Mapping[str, Any]) -> Any:
    """Return the margin of a subtree by the rules of `Expression.margin`."""
    if isinstance(node, ExpressionOperation) and node.kind == "not":
        negated = _negated(node.operands[0])
        if negated is not None:
            return _signed_margin(negated, columns)
        return -np.asarray(_signed_margin(node.operands[0], columns))
    if isinstance(node, ExpressionOperation) and node.kind in ("and", "or"):
        parts = [_signed_margin(child, columns) for child in node.operands]
        combine = np.minimum if node.kind == "and" else np.maximum
        return combine.reduce(np.broadcast_arrays(*parts), axis=0)
    if isinstance(node, ExpressionOperation) and node.kind in ("<=", ">=", "<", ">"):
        left, right = (np.asarray(_evaluate(c, columns), dtype=float) for c in node.operands)
        high, low = (right, left) if node.kind[0] == "<" else (left, right)
        scale = np.maximum(np.abs(high), np.abs(low))
        difference = np.where(high == low, 0.0, high - low)
        # A time that never comes is longer than any: an infinite side counts as far apart.
        far = np.isinf(difference)
        relative = difference / np.where(scale > 0, scale, 1.0)
        gap = np.where(far, np.sign(difference), relative)
        # Equal sides satisfy `<=` but not `<`: the sign must agree with the comparison.
        smallest = np.finfo(float).tiny
        gap = np.where(gap == 0.0, smallest if node.kind[-1] == "=" else -smallest, gap)
        return np.where(np.isnan(gap), -np.inf, gap)
    values = np.asarray(_evaluate(node, columns))
    truth = values if values.dtype.kind == "b" else np.nan_to_num(values.astype(float)) != 0
    return np.where(truth, 1.0, -1.0)
