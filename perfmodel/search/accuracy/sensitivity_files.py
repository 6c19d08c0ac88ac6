"""Reader of the sensitivities of layers to compression, from a file or a mapping.

The sensitivity of a layer to an option (`layer_option`: a number format, a sparsity, a share of its
channels) is the loss of accuracy if only this layer is changed; `sensitivity_table` adds them up.
Options are written as text. Four forms are accepted; all faults of a file are reported at once,
each with its line and column.

CSV with one row per sensitivity (the option in one column, or in ``weights``, ``activations``,
``sparsity`` and ``kept``)::

    layer,option,sensitivity
    conv1,int8,0.5
    conv1,w4a8,2

CSV with one row per layer and one column per option::

    layer,int8,w4a8
    conv1,0.5,2
    fc,1,3

YAML or JSON (a mapping in Python has the same form)::

    conv1: {int8: 0.5, w4a8: 2}
    fc: {int8: 1, w4a8: 3}

YAML or JSON with the unit, and with interaction terms of pairs of layers::

    sensitivities: {conv1: {int8: 0.5}, fc: {int8: 1}}
    unit: points of top-1
    pairs: [{layers: [conv1, fc], options: [int8, int8], sensitivity: -0.25}]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.measurement_csv import CsvRow, CsvTable, read_rows
from perfmodel.search.accuracy.layer_option import (
    AS_IS,
    LayerOption,
    canonical,
    describe,
    parse_option,
)
from perfmodel.specfile import Marks, read

#: (layer, its option, other layer, its option).
PairKey: TypeAlias = tuple[str, str, str, str]
#: Columns that together are an option, with the prefix of each in the text of the option.
_OPTION_PREFIXES: Final = {
    "option": "",
    "weights": "w=",
    "activations": "a=",
    "sparsity": "",
    "kept": "kept=",
}
_DOCUMENT_KEYS: Final = ("sensitivities", "pairs", "unit", "source", "note")
_PAIR_KEYS: Final = ("layers", "options", "sensitivity")
#: Keys and indices from the top of a document to a value.
_Path: TypeAlias = tuple[str | int, ...]


class Sensitivities(NamedTuple):
    """Sensitivities with options as canonical text, such as ``w=int4,a=int8``.

    Attributes
    ----------
    losses
        Layer -> option -> loss if only this layer has this option.
    pairs
        Loss of two changed layers in addition to the sum of both losses.
    unit
        Unit of the losses; empty if unknown.
    """

    losses: dict[str, dict[str, float]]
    pairs: dict[PairKey, float]
    unit: str = ""


def read_sensitivities(path: Path) -> Sensitivities:
    """Read a file in one of the forms of this module; the suffix tells CSV from YAML and JSON.

    Raises
    ------
    InputError
        For all faults of the file.
    """
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        data, marks = read(path)
        return _DocumentReader(marks, str(path)).read(data)
    return _read_csv(path)


def from_mapping(source: Mapping[Any, Any]) -> Sensitivities:
    """Return sensitivities from ``layer -> option (text or `LayerOption`) -> number``."""
    return _DocumentReader(Marks(), "").read(
        {layer: _with_option_texts(options) for layer, options in source.items()}
    )


def _with_option_texts(data: Any) -> Any:
    """Return the options of a layer with their text as keys; other data unchanged."""
    if not isinstance(data, Mapping):
        return data
    options = cast("Mapping[Any, Any]", data)
    return {describe(k) if isinstance(k, LayerOption) else k: v for k, v in options.items()}


def _read_csv(path: Path) -> Sensitivities:
    faults: list[Fault] = []
    rows = read_rows(path, noun="layer", faults=faults)
    missing = rows.missing(("layer",))
    if missing:
        raise InputError([*missing, *faults])
    losses: dict[str, dict[str, float]] = {}
    read_table = _read_row_per_sensitivity if "sensitivity" in rows.columns else _read_row_per_layer
    read_table(rows, losses, faults)
    if faults:
        raise InputError(sorted(faults, key=attrgetter("line", "column")))
    return Sensitivities(losses, {})


def _read_row_per_sensitivity(
    rows: CsvTable, losses: dict[str, dict[str, float]], faults: list[Fault]
) -> None:
    """Read a table with one row per sensitivity; a row without an option is the layer as it is."""
    faults += rows.unknown(("layer", *_OPTION_PREFIXES, "sensitivity"))
    for row in rows:
        texts = {
            column: prefix + row.get(column)
            for column, prefix in _OPTION_PREFIXES.items()
            if row.get(column)
        }
        option, option_column = ",".join(texts.values()) or AS_IS, next(iter(texts), "sensitivity")
        _add_cell(rows, row, option_column, option, "sensitivity", losses, faults)


def _read_row_per_layer(
    rows: CsvTable, losses: dict[str, dict[str, float]], faults: list[Fault]
) -> None:
    """Read a table with one row per layer and one column per option."""
    options = [name for name in rows.columns if name != "layer"]
    if not options:
        expected = "a column 'sensitivity', or one column for each option"
        faults.append(rows.fault(None, "layer", "the table has no options", expected))
    valid = [o for o in options if rows.trying(None, o, faults, parse_option, o) is not None]
    for row in rows:
        for option in valid:
            _add_cell(rows, row, option, option, option, losses, faults)


def _add_cell(
    rows: CsvTable,
    row: CsvRow,
    option_column: str,
    option_text: str,
    value_column: str,
    losses: dict[str, dict[str, float]],
    faults: list[Fault],
) -> None:
    """Add one sensitivity from a row, or its faults."""
    layer = row.get("layer")
    if not layer:
        faults.append(rows.fault(row, "layer", "the layer has no name", "a name"))
    option = rows.trying(row, option_column, faults, canonical, option_text)
    value = rows.required(row, value_column, faults)
    if not layer or option is None or value is None:
        return
    of_layer = losses.setdefault(layer, {})
    if option in of_layer:
        message = f"the option '{option}' of layer '{layer}' occurs twice"
        faults.append(rows.fault(row, option_column, message, "each option of a layer once"))
    of_layer[option] = value


class _DocumentReader:
    """Reader of a YAML or JSON document, or of a mapping, which collects faults.

    Parameters
    ----------
    marks
        Lines and columns of the values of the document.
    file
        File name in faults; empty for a mapping.
    """

    def __init__(self, marks: Marks, file: str) -> None:
        self.marks, self.file = marks, file
        self.faults: list[Fault] = []

    def read(self, data: Any) -> Sensitivities:
        """Return the sensitivities of a document.

        Raises
        ------
        InputError
            For all faults of the document.
        """
        document = self._mapping(data, ())
        if "sensitivities" not in document:
            losses, pairs, unit = self._losses(document, ()), dict[PairKey, float](), ""
        else:
            for key in document:
                if key not in _DOCUMENT_KEYS:
                    suggestion = nearest(key, _DOCUMENT_KEYS)
                    self._fault(
                        (key,), f"unknown key '{key}'", one_of(_DOCUMENT_KEYS), suggestion, key=True
                    )
            path = ("sensitivities",)
            losses = self._losses(self._mapping(document["sensitivities"], path), path)
            pairs = self._pairs(document.get("pairs"), losses)
            unit = document.get("unit", "")
            if not isinstance(unit, str):
                self._fault(("unit",), "the unit is not a text", "a text, or empty")
        if self.faults:
            raise InputError(self.faults)
        return Sensitivities(losses, pairs, str(unit))

    def _mapping(self, data: Any, path: _Path) -> dict[str, Any]:
        if isinstance(data, Mapping):
            return {str(k): v for k, v in cast("Mapping[Any, Any]", data).items()}
        self._fault(path, "the value is not a mapping", "names and values")
        return {}

    def _losses(self, layers: dict[str, Any], path: tuple[str, ...]) -> dict[str, dict[str, float]]:
        """Return layer -> option -> loss."""
        losses = {layer: self._layer(data, (*path, layer)) for layer, data in layers.items()}
        if not losses and not self.faults:
            self._fault(path, "there are no layers", "layer: {option: number}")
        return losses

    def _layer(self, data: Any, path: tuple[str, ...]) -> dict[str, float]:
        """Return option -> loss of one layer."""
        losses: dict[str, float] = {}
        for text, value in self._mapping(data, path).items():
            place = (*path, text)
            option = self._option(text, place)
            if option in losses:
                message = f"the option '{option}' occurs twice"
                self._fault(place, message, "each option of a layer once", key=True)
            number = self._number(value, place)
            if option and number is not None:
                losses[option] = number
        return losses

    def _pairs(self, data: Any, losses: Mapping[str, Any]) -> dict[PairKey, float]:
        """Return the interaction terms of pairs of layers."""
        pairs: dict[PairKey, float] = {}
        if data is not None and not isinstance(data, list):
            expected = "a list of {layers, options, sensitivity}"
            self._fault(("pairs",), "the pairs are not a list", expected)
            return pairs
        for i, entry in enumerate(cast("list[Any]", data or [])):
            path = ("pairs", i)
            term = self._pair(entry, path, losses)
            if term is None:
                continue
            key, value = term
            if key[0] == key[2]:
                self._fault(path, f"layer '{key[0]}' is paired with itself", "two layers")
            elif key in pairs or (*key[2:], *key[:2]) in pairs:
                self._fault(path, "the pair occurs twice", "each pair of options once")
            pairs[key] = value
        return pairs

    def _pair(
        self, entry: Any, path: _Path, losses: Mapping[str, Any]
    ) -> tuple[PairKey, float] | None:
        """Return one interaction term; None if some part of it cannot be read."""
        pair: Any = entry
        if not isinstance(pair, Mapping) or set(cast("Mapping[str, Any]", pair)) != set(_PAIR_KEYS):
            expected = "the keys " + ", ".join(_PAIR_KEYS)
            self._fault(path, "the entry does not describe a pair of layers", expected)
            return None
        layers, options = (self._two_texts(pair[k], (*path, k)) for k in ("layers", "options"))
        value = self._number(pair["sensitivity"], (*path, "sensitivity"))
        if layers is None or options is None or value is None:
            return None
        for k, layer in enumerate(layers):
            if layer not in losses:
                suggestion = nearest(layer, losses)
                self._fault((*path, "layers", k), f"no layer '{layer}'", "", suggestion)
        first, second = (self._option(t, (*path, "options", k)) for k, t in enumerate(options))
        return (layers[0], first, layers[1], second), value

    def _two_texts(self, data: Any, path: _Path) -> tuple[str, str] | None:
        if isinstance(data, list | tuple) and len(cast("list[Any]", data)) == 2:
            one, other = cast("list[Any]", data)
            return str(one), str(other)
        self._fault(path, "the value is not a list of two texts", "[first, second]")
        return None

    def _option(self, text: str, path: _Path) -> str:
        """Return the canonical text of an option; empty if it is not valid."""
        try:
            return canonical(text)
        except InputError as error:
            for fault in error.faults:
                self._fault(path, fault.message, fault.expected, fault.suggestion, key=True)
            return ""

    def _number(self, value: Any, path: _Path) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            self._fault(path, f"{value!r} is not a number", "a finite number")
            return None
        number = float(cast("float", value))
        if not math.isfinite(number):
            self._fault(path, f"{value!r} is not finite", "a finite number")
            return None
        return number

    def _fault(
        self,
        path: _Path,
        message: str,
        expected: str,
        suggestion: str = "",
        *,
        key: bool = False,
    ) -> None:
        """Add a fault at the value of a path, or at its key."""
        line, column = self.marks.at(path, key=key)
        shown = ".".join(str(part) for part in path)
        self.faults.append(Fault(message, shown, self.file, line, column, expected, suggestion))
