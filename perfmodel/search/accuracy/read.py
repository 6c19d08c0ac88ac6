"""Reader of sensitivities from CSV, YAML, JSON or a mapping, which reports all faults at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.measurements import CsvRow, CsvTable, read_rows
from perfmodel.search.accuracy.option import LayerOption, canonical, describe, parse_option
from perfmodel.specfile import Marks, read

#: (layer, its option, other layer, its option).
PairKey: TypeAlias = tuple[str, str, str, str]
_CHOICE: Final = ("weights", "activations", "sparsity", "kept")
_TOP: Final = ("sensitivities", "pairs", "unit", "source", "note")
_PAIR: Final = ("layers", "options", "sensitivity")


class Sensitivities(NamedTuple):
    """Sensitivities of a file, with options as canonical text."""

    losses: dict[str, dict[str, float]]
    pairs: dict[PairKey, float]
    unit: str = ""


def read_sensitivities(path: Path) -> Sensitivities:
    """Read a file in one of the forms of `perfmodel.search.accuracy.table`.

    Raises
    ------
    InputError
        For all faults of the file.
    """
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        data, marks = read(path)
        return _Tree(marks, str(path)).read(data)
    return _read_csv(path)


def from_mapping(source: Mapping[Any, Any]) -> Sensitivities:
    """Return sensitivities from ``layer -> option (text or `LayerOption`) -> number``."""
    return _Tree(Marks(), "").read({layer: _texts(options) for layer, options in source.items()})


def _texts(data: Any) -> Any:
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
    (_long if "sensitivity" in rows.columns else _wide)(rows, losses, faults)
    if faults:
        raise InputError(sorted(faults, key=attrgetter("line", "column")))
    return Sensitivities(losses, {})


def _long(rows: CsvTable, losses: dict[str, dict[str, float]], faults: list[Fault]) -> None:
    """Read a table with one row per sensitivity."""
    faults += rows.unknown(("layer", "option", *_CHOICE, "sensitivity"))
    for row in rows:
        marks = {
            "option": "",
            "weights": "w=",
            "activations": "a=",
            "sparsity": "",
            "kept": "kept=",
        }
        parts = {
            column: mark + row.get(column) for column, mark in marks.items() if row.get(column)
        }
        text, column = ",".join(parts.values()) or "as_is", next(iter(parts), "sensitivity")
        _add(rows, row, column, text, "sensitivity", losses, faults)


def _wide(rows: CsvTable, losses: dict[str, dict[str, float]], faults: list[Fault]) -> None:
    """Read a table with one row per layer and one column per option."""
    options = [name for name in rows.columns if name != "layer"]
    if not options:
        expected = "a column 'sensitivity', or one for each option"
        faults.append(rows.fault(None, "layer", "a table without options", expected))
    good = [o for o in options if rows.trying(None, o, faults, parse_option, o) is not None]
    for row in rows:
        for name in good:
            _add(rows, row, name, name, name, losses, faults)


def _add(
    rows: CsvTable,
    row: CsvRow,
    place: str,
    text: str,
    column: str,
    losses: dict[str, dict[str, float]],
    faults: list[Fault],
) -> None:
    """Add one sensitivity from a row, or its faults."""
    layer = row.get("layer")
    if not layer:
        faults.append(rows.fault(row, "layer", "a layer without a name", "a name"))
    key = rows.trying(row, place, faults, canonical, text)
    value = rows.required(row, column, faults)
    if not layer or key is None or value is None:
        return
    own = losses.setdefault(layer, {})
    if key in own:
        message = f"'{key}' of layer '{layer}' stands there twice"
        faults.append(rows.fault(row, place, message, "each option of a layer once"))
    own[key] = value


class _Tree:
    """Reader of nested mappings, which collects faults."""

    def __init__(self, marks: Marks, file: str) -> None:
        self.marks, self.file = marks, file
        self.faults: list[Fault] = []

    def read(self, data: Any) -> Sensitivities:
        top = self._mapping(data, ())
        full = "sensitivities" in top
        if full:
            for key in top:
                if key not in _TOP:
                    self._fault(
                        (key,), f"unknown key '{key}'", one_of(_TOP), nearest(key, _TOP), key=True
                    )
        start: tuple[str, ...] = ("sensitivities",) if full else ()
        layers = self._mapping(top["sensitivities"], start) if full else top
        losses = {layer: self._layer(options, (*start, layer)) for layer, options in layers.items()}
        if not losses and not self.faults:
            self._fault(start, "no layers", "layer: {option: number}")
        pairs = self._pairs(top.get("pairs"), losses) if full else {}
        unit = top.get("unit", "") if full else ""
        if not isinstance(unit, str):
            self._fault(("unit",), "the unit is no text", "a text, or empty")
        if self.faults:
            raise InputError(self.faults)
        return Sensitivities(losses, pairs, str(unit))

    def _mapping(self, data: Any, path: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(data, Mapping):
            return {str(k): v for k, v in cast("Mapping[Any, Any]", data).items()}
        self._fault(path, "is no mapping", "names and values")
        return {}

    def _layer(self, data: Any, path: tuple[str, ...]) -> dict[str, float]:
        losses: dict[str, float] = {}
        for text, value in self._mapping(data, path).items():
            place = (*path, text)
            key = self._option(text, place)
            if key in losses:
                self._fault(place, f"'{key}' stands there twice", "each option once", key=True)
            number = self._number(value, place)
            if key and number is not None:
                losses[key] = number
        return losses

    def _pairs(self, data: Any, losses: Mapping[str, Any]) -> dict[PairKey, float]:
        pairs: dict[PairKey, float] = {}
        if data is not None and not isinstance(data, list):
            self._fault(("pairs",), "is no list", "a list of {layers, options, sensitivity}")
            return pairs
        for i, entry in enumerate(cast("list[Any]", data or [])):
            path = ("pairs", i)
            pair: Any = entry
            if not isinstance(pair, Mapping) or set(cast("Mapping[str, Any]", pair)) != set(_PAIR):
                self._fault(path, "is no pair", "the keys " + ", ".join(_PAIR))
                continue
            layers, options = (self._two(pair[k], (*path, k)) for k in ("layers", "options"))
            value = self._number(pair["sensitivity"], (*path, "sensitivity"))
            if layers is None or options is None or value is None:
                continue
            for k, layer in enumerate(layers):
                if layer not in losses:
                    self._fault(
                        (*path, "layers", k), f"no layer '{layer}'", "", nearest(layer, losses)
                    )
            texts = [self._option(t, (*path, "options", k)) for k, t in enumerate(options)]
            key = (layers[0], texts[0], layers[1], texts[1])
            if key in pairs or (*key[2:], *key[:2]) in pairs or layers[0] == layers[1]:
                self._fault(path, "a pair that stands there twice, or of one layer", "each once")
            pairs[key] = value
        return pairs

    def _two(self, data: Any, path: tuple[str | int, ...]) -> tuple[str, str] | None:
        if isinstance(data, list | tuple) and len(cast("list[Any]", data)) == 2:
            one, other = cast("list[Any]", data)
            return str(one), str(other)
        self._fault(path, "is no pair", "two texts in brackets")
        return None

    def _option(self, text: str, path: tuple[str | int, ...]) -> str:
        try:
            return canonical(text)
        except InputError as error:
            for fault in error.faults:
                self._fault(path, fault.message, fault.expected, fault.suggestion, key=True)
            return ""

    def _number(self, value: Any, path: tuple[str | int, ...]) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            self._fault(path, f"{value!r} is no number", "a finite number")
            return None
        number = float(cast("float", value))
        if not math.isfinite(number):
            self._fault(path, f"{value!r} is not finite", "a finite number")
            return None
        return number

    def _fault(
        self,
        path: tuple[str | int, ...],
        message: str,
        expected: str,
        suggestion: str = "",
        *,
        key: bool = False,
    ) -> None:
        line, column = self.marks.at(path, key=key)
        shown = ".".join(str(part) for part in path)
        self.faults.append(Fault(message, shown, self.file, line, column, expected, suggestion))
