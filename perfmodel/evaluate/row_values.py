"""Evaluation of a row's values: texts and numbers by name, as declared by a data set's form.

`RowValues` starts with the cells of a row; each declared value is added by name and may refer to
those before it. Called by `perfmodel.evaluate.datasets` for every row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.dataset_form import (
    CellForm,
    ConditionForm,
    MeaningForm,
    NumberForm,
    TextForm,
    ValueForm,
)
from perfmodel.expressions import parse_expression
from perfmodel.measurement_csv import CsvRow, CsvTable

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_WORD: Final = re.compile(r"(\w+)=(\S+)")


class RowValues:
    """Cells of a row, and the values derived from them.

    Parameters
    ----------
    table, row
        The file and one of its rows.
    faults
        Receives faults of cells that are not valid numbers.
    signed
        Columns whose numbers may be zero or negative.
    words
        Column of words ``name=value``, each of which is a value of the row; may be empty.
    tables
        Additional tables by name.

    Attributes
    ----------
    settings
        Settings stated by the meanings of names in the row (`MeaningForm.set`).
    """

    def __init__(
        self,
        table: CsvTable,
        row: CsvRow,
        faults: list[Fault],
        signed: Sequence[str] = (),
        words: str = "",
        tables: Mapping[str, Sequence[CsvRow]] | None = None,
    ) -> None:
        self._table, self._row, self._faults, self._signed = table, row, faults, signed
        self._words, self._tables = words, tables or {}
        self._values: dict[str, str | float | None] = {}
        if words:
            self._values |= dict(_WORD.findall(row.get(words)))
        self.settings: dict[str, Any] = {}

    def add(self, name: str, form: ValueForm) -> None:
        """Evaluate a value and store it by name.

        Raises
        ------
        InputError
            A text that is not among the data set's names.
        """
        if isinstance(form, str):
            self._values[name] = self.text(form)
        elif isinstance(form, NumberForm):
            self._values[name] = self._number_value(form)
        elif isinstance(form, CellForm):
            self._values[name] = self._cell_of(form)
        else:
            self._values[name] = self._text_value(name, form)

    def state(self, name: str, value: float | None) -> None:
        """Store a given value by name."""
        self._values[name] = value

    def _cell_of(self, form: CellForm) -> str:
        """Return the cell of another table that a form declares."""
        patterns = {
            column: re.compile(_HOLE.sub(lambda hole: re.escape(self._as_text(hole[1])), pattern))
            for column, pattern in form.where.items()
        }
        for row in self._tables.get(form.table, ()):
            if all(pattern.search(row.get(column)) for column, pattern in patterns.items()):
                return row.get(form.column)
        return ""

    def text(self, template: str) -> str:
        """Return a template with its ``{name}`` placeholders filled."""
        return _HOLE.sub(lambda hole: self._as_text(hole[1]), template).strip()

    def _as_text(self, name: str) -> str:
        """Return a value or a cell as text."""
        value = self._values.get(name, self._row.get(name))
        return "" if value is None else value if isinstance(value, str) else f"{value:g}"

    def _text_value(self, name: str, form: TextForm) -> str:
        """Return the value of a text: template, match, case, and table of names."""
        text = self.text(form.text)
        for pattern in form.drop:
            text = re.sub(pattern, " ", text).strip()
        if form.match is not None:
            text = _matched_part(form.match, text)
        text = text.strip() if form.case is None else text.strip().lower()
        if form.case == "snake":
            text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
        if form.names is None and form.patterns is None:
            return text
        if text in (form.names or {}):
            return self._meaning_of((form.names or {})[text])
        for pattern, meaning in (form.patterns or {}).items():
            if re.search(pattern, text):
                return self._meaning_of(meaning)
        if form.otherwise is not None:
            self._values[name] = text
            return self.text(form.otherwise)
        for pattern, reason in form.reasons.items():
            if re.search(pattern, text):
                raise InputError(self.text(reason))
        raise InputError(f"no {form.noun or name} is '{text}'")

    def _meaning_of(self, meaning: str | MeaningForm) -> str:
        """Return the text of a meaning; its settings and values are stored."""
        if isinstance(meaning, str):
            return self.text(meaning)
        self.settings |= meaning.set
        self._values |= meaning.values
        return self.text(meaning.model)

    def _number_value(self, form: NumberForm) -> float | None:
        """Return the value of a number form."""
        for name, source in form.matched.items():
            template, _, pattern = source.partition("|")
            taken = re.search(pattern.strip(), self.text(template))
            self._values[name] = None if taken is None else float(taken[1])
        value = self.number(form.number)
        if value is None:
            return form.otherwise
        return value if form.digits is None else float(f"{value:.{form.digits}g}")

    def number(self, expression: str) -> float | None:
        """Return the value of an expression; ``None`` if one of its cells or values is empty."""
        tree = parse_expression(expression)
        numbers: dict[str, Any] = {}
        for name in tree.names:
            value = self._values[name] if name in self._values else self._cell(name)
            if value is None or value == "":
                return None
            numbers[name] = float(value)
        result = float(tree(numbers))
        return None if np.isnan(result) else result

    def _cell(self, column: str) -> float | None:
        """Return the number in a cell."""
        if self._words and column not in self._table.columns:
            return None  # a word that this row lacks
        above_zero = column not in self._signed
        return self._table.number(self._row, column, self._faults, above_zero=above_zero)

    def fits(self, condition: ConditionForm, others: Mapping[str, str] | None = None) -> bool:
        """Return whether a condition holds; `others` are texts in addition to the row's."""
        texts = others or {}

        def has(name: str, pattern: str) -> bool:
            return re.search(pattern, texts.get(name, self._as_text(name))) is not None

        return all(has(n, p) for n, p in condition.where.items()) and not any(
            has(n, p) for n, p in condition.unless.items()
        )

    def setting(self, value: float | int | bool | str) -> Any:
        """Return a setting's number or text; ``None`` if a cell that it needs is empty.

        A text with a placeholder is a template, a word that is neither a column nor a value is
        literal (``decode``), anything else is an expression.
        """
        if not isinstance(value, str):
            return value
        if "{" in value:
            return self.text(value) or None
        if value.isidentifier() and value not in self._values and value not in self._table.columns:
            return value
        number = self.number(value)
        return int(number) if number is not None and number.is_integer() else number


def _matched_part(pattern: str, text: str) -> str:
    """Return the first non-empty group of a match, or the entire match; empty without a match."""
    match = re.search(pattern, text)
    if match is None:
        return ""
    groups: list[str] = [group for group in match.groups() if group]
    return groups[0] if groups else match[0]
