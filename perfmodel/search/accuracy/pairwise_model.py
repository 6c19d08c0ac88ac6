"""Accuracy model with added pairwise interaction terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from perfmodel.errors import input_error
from perfmodel.measurement_csv import read_columns
from perfmodel.search.accuracy.accuracy_model import AccuracyModel
from perfmodel.search.accuracy.accuracy_table import AccuracyTable, Floats
from perfmodel.search.accuracy.layer_option import LayerOption, canonical
from perfmodel.search.accuracy.sensitivity_files import PairKey
from perfmodel.search.accuracy.sensitivity_table import pair_arrays
from perfmodel.settings import FaultList

#: (layer, other) -> (option, other's option) -> interaction term of both options.
Pairs: TypeAlias = Mapping[
    tuple[str, str], Mapping[tuple[LayerOption | str, LayerOption | str], float]
]
_COLUMNS = ("layer", "option", "other_layer", "other_option", "sensitivity")


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A model with added pairwise terms: see `pairwise`."""

    model: AccuracyModel
    pairs: Mapping[PairKey, float]

    @property
    def name(self) -> str:
        """Name of the underlying model, and the number of terms."""
        return f"{self.model.name} with {len(self.pairs)} pairwise terms"

    @property
    def unit(self) -> str:
        """Unit of the underlying model."""
        return self.model.unit

    @property
    def measured_error(self) -> float | None:
        """None: the error of the underlying model was measured without these terms."""
        return None

    @property
    def error_note(self) -> str:
        """Reason for the missing error."""
        if self.model.measured_error is None:
            return ""
        return "the error of the model underneath was measured without the pairwise terms"

    @property
    def separable(self) -> bool:
        """Whether the underlying model is separable."""
        return self.model.separable

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the underlying losses with the pairwise terms added.

        Terms of other layers or options are ignored.
        """
        table = self.model.table(layers, options)
        pairs = dict(table.pairs)
        for pair, terms in pair_arrays(self.pairs, layers, options).items():
            pairs[pair] = pairs[pair] + terms if pair in pairs else terms
        return table._replace(pairs=pairs)

    def predicted(self, loss: Floats) -> Floats:
        """Return losses in the unit of the underlying model."""
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
        ``sensitivity``. In the unit of the model's loss; negative if the two changes compensate
        each other.

    Raises
    ------
    InputError
        For all faults of the pairs.
    """
    if not isinstance(pairs, Mapping):
        return Pairwise(model, _csv(Path(pairs)))
    read: dict[PairKey, float] = {}
    faults = FaultList()
    for (layer, other), terms in pairs.items():
        for (option, second), value in terms.items():
            texts = [faults.trying(canonical, each) for each in (option, second)]
            if texts[0] is not None and texts[1] is not None:
                faults.trying(_add, read, (layer, texts[0], other, texts[1]), float(value))
    faults.settle()
    return Pairwise(model, read)


def _add(pairs: dict[PairKey, float], key: PairKey, value: float) -> None:
    if key[0] == key[2]:
        raise input_error(f"a pair of '{key[0]}' with itself", expected="two layers")
    if key in pairs or (*key[2:], *key[:2]) in pairs:
        raise input_error(f"the pair {', '.join(key)} occurs twice", expected="each pair once")
    if not np.isfinite(value):
        raise input_error(f"{value} for {', '.join(key)}", expected="a finite number")
    pairs[key] = value


def _csv(file: Path) -> dict[PairKey, float]:
    faults = FaultList()
    rows = read_columns(file, "pair", _COLUMNS, (), faults)
    pairs: dict[PairKey, float] = {}
    for row in rows:
        option, other_option = (
            rows.trying(row, column, faults, canonical, row.get(column))
            for column in ("option", "other_option")
        )
        value = rows.required(row, "sensitivity", faults)
        if option is not None and other_option is not None and value is not None:
            key = (row.get("layer"), option, row.get("other_layer"), other_option)
            rows.trying(row, "layer", faults, _add, pairs, key, value)
    faults.settle()
    return pairs
