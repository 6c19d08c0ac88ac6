"""A model with pairwise terms laid on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.measurements import read_rows
from perfmodel.search.accuracy.model import AccuracyModel, AccuracyTable, Floats
from perfmodel.search.accuracy.option import LayerOption, as_option, describe, parse_option
from perfmodel.search.accuracy.read import PairKey
from perfmodel.search.accuracy.sensitivities import pair_arrays

#: (layer, other) -> (option, other's option) -> what both together add beside their own losses.
Pairs: TypeAlias = Mapping[
    tuple[str, str], Mapping[tuple[LayerOption | str, LayerOption | str], float]
]
_COLUMNS = ("layer", "option", "other_layer", "other_option", "sensitivity")


@dataclass(frozen=True, slots=True)
class Pairwise:
    """See `pairwise`."""

    model: AccuracyModel
    pairs: Mapping[PairKey, float]

    @property
    def name(self) -> str:
        """Of the model underneath, and how many terms were added."""
        return f"{self.model.name} with {len(self.pairs)} pairwise terms"

    @property
    def unit(self) -> str:
        """Of the model underneath."""
        return self.model.unit

    @property
    def measured_error(self) -> float | None:
        """None: the model's own was measured without these terms."""
        return None

    @property
    def error_note(self) -> str:
        """Why there is no error."""
        if self.model.measured_error is None:
            return ""
        return "the error of the model underneath was measured without the pairwise terms"

    @property
    def separable(self) -> bool:
        """As the model underneath."""
        return self.model.separable

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the model's losses with the pairwise terms added.

        Terms of layers or options that are not asked for are left out.
        """
        made = self.model.table(layers, options)
        added = pair_arrays(self.pairs, layers, options)
        joined = dict(made.pairs)
        for pair, terms in added.items():
            joined[pair] = joined[pair] + terms if pair in joined else terms
        return made._replace(pairs=joined)

    def predicted(self, loss: Floats) -> Floats:
        """Return losses in the unit of the model underneath."""
        return self.model.predicted(loss)


def pairwise(model: AccuracyModel, pairs: Pairs | str | Path) -> Pairwise:
    """Add pairwise terms to a model.

    Parameters
    ----------
    model
        Any separable model.
    pairs
        ``(layer, other) -> (option, other's option) -> number``, options as text or `LayerOption`;
        or a CSV file with ``layer``, ``option``, ``other_layer``, ``other_option`` and
        ``sensitivity``. In the unit of the model's loss; negative where two changes hide each
        other.

    Raises
    ------
    InputError
        With every fault.
    """
    if not isinstance(pairs, Mapping):
        return Pairwise(model, _csv(Path(pairs)))
    found: dict[PairKey, float] = {}
    faults: list[Fault] = []
    for (layer, other), terms in pairs.items():
        for (option, second), value in terms.items():
            try:
                key = (layer, describe(as_option(option)), other, describe(as_option(second)))
            except InputError as error:
                faults += error.faults
                continue
            _add(found, key, float(value), faults)
    if faults:
        raise InputError(faults)
    return Pairwise(model, found)


def _add(
    found: dict[PairKey, float], key: PairKey, value: float, faults: list[Fault]
) -> None:  # fmt: skip
    if key[0] == key[2]:
        faults.append(Fault(f"a pair of '{key[0]}' with itself", expected="two layers"))
    elif key in found or (*key[2:], *key[:2]) in found:
        faults.append(Fault(f"the pair {', '.join(key)} stands there twice", expected="once"))
    elif not np.isfinite(value):
        faults.append(Fault(f"{value} for {', '.join(key)}", expected="a finite number"))
    else:
        found[key] = value


def _csv(file: Path) -> dict[PairKey, float]:
    faults: list[Fault] = []
    rows = read_rows(file, noun="pair", faults=faults)
    header = rows.missing(_COLUMNS)
    header += [
        rows.fault(None, c, f"unknown column '{c}'", "columns " + ", ".join(_COLUMNS),
                   nearest(c, _COLUMNS))
        for c in rows.columns if c not in _COLUMNS
    ]  # fmt: skip
    if header:
        raise InputError([*header, *faults])
    found: dict[PairKey, float] = {}
    for row in rows:
        before = len(faults)
        texts: dict[str, str] = {}
        for column in ("option", "other_option"):
            try:
                texts[column] = describe(parse_option(row.get(column)))
            except InputError as error:
                faults += [rows.fault(row, column, f.message, f.expected, f.suggestion)
                           for f in error.faults]  # fmt: skip
        value = rows.number(row, "sensitivity", faults, above_zero=False)
        if value is None and len(faults) == before:
            faults.append(rows.fault(row, "sensitivity", "an empty cell", "a finite number"))
        if len(faults) > before or value is None:
            continue
        wrong: list[Fault] = []
        key = (row.get("layer"), texts["option"], row.get("other_layer"), texts["other_option"])
        _add(found, key, value, wrong)
        faults += [rows.fault(row, "layer", f.message, f.expected) for f in wrong]
    if faults:
        raise InputError(faults)
    return found
