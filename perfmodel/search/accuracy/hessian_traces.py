"""HAWQ: loss from quantisation of a layer, by the trace of its Hessian."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.measurement_csv import read_columns
from perfmodel.search.accuracy.accuracy_faults import unknown_layer_faults
from perfmodel.search.accuracy.layer_option import LayerOption, describe
from perfmodel.search.accuracy.layer_weights import Source, Weights, read_weights
from perfmodel.search.accuracy.separable_model import SeparableModel
from perfmodel.search.accuracy.simulated_quantisation import simulated
from perfmodel.search.accuracy.weight_compression import squared_error
from perfmodel.settings import FaultList
from perfmodel.specfile import Marks, read
from perfmodel.units import is_number

_DELTA: Final = re.compile(r"delta_weights_(\d+)bit_square")
_TRACE: Final = ("trace", "Hutchinson_trace")


@dataclass(frozen=True)
class Traces(SeparableModel):
    """Hessian traces of layers times the squared change of their weights: see `hawq`.

    Formats of activations add no loss.
    """

    name: str
    traces: Mapping[str, float]
    deltas: Mapping[str, Mapping[int, float]]
    weights: Weights | None = None
    _errors: dict[tuple[str, str], float] = field(
        default_factory=dict[tuple[str, str], float], compare=False, repr=False
    )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self.traces)

    @property
    def known(self) -> Collection[str]:
        """Names of the layers."""
        return self.traces

    def combination_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return a fault for each layer with neither a stored change nor weights."""
        if self.weights is None:
            return []
        without_change = [
            name for name in layers if name in self.traces and not self.deltas.get(name)
        ]
        return unknown_layer_faults(without_change, self.weights.names, self.weights.file)

    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return ``trace * ||C(W) - W||^2`` of each option."""
        return [self.traces[layer] * self._change(layer, option, faults) for option in options]

    def _change(self, layer: str, option: LayerOption, faults: list[Fault]) -> float:
        """Return the squared change ``||C(W) - W||^2`` of a layer's weights."""
        change = option._replace(activations=None)
        text = describe(change)
        if (layer, text) in self._errors:
            return self._errors[layer, text]
        stored = self.deltas.get(layer, {})
        format = change.weights
        if format is not None and change == LayerOption(format) and format.family == "int":
            known = None if np.ndim(format.bits) else stored.get(int(format.bits))
            if known is not None and format.bits == int(format.bits):
                return known
        if change == LayerOption():
            return 0.0
        own = self.weights.find(layer) if self.weights is not None else None
        if own is None or (format is not None and not simulated(format)):
            have = ", ".join(f"int{bits}" for bits in sorted(stored)) or "none"
            faults.append(
                Fault(
                    f"no change of weights of layer '{layer}' for '{text}'",
                    path="accuracy",
                    expected=f"an integer format of the file ({have}), or weights=",
                )
            )
            return 0.0
        error = sum(squared_error(w.read(), change, w.axis) for w in own.weights)
        self._errors[layer, text] = error
        return error


def hawq(
    path: str | Path | Mapping[str, float],
    *,
    model: str | None = None,
    layers: Sequence[str] | None = None,
    weights: Source | None = None,
) -> Traces:
    """Return an accuracy model from HAWQ traces.

    Parameters
    ----------
    path
        JSON in the form of HAWQ's notebook (``models: {name: {Hutchinson_trace: [...],
        delta_weights_4bit_square: [...], ...}}``); CSV with ``layer``, ``trace`` and optionally
        columns such as ``delta_weights_4bit_square``; or a mapping layer -> trace.
    model
        Name of the model in the file; optional if there is only one.
    layers
        Names of a JSON file's layers, in order; by default ``"0"``, ``"1"``, ...
    weights
        Source of the layers' weights (as for `sqnr`), required for options whose squared change is
        not in the file.

    Raises
    ------
    InputError
        For all faults of the file.

    Notes
    -----
    The loss from quantisation is the average trace of the layer's Hessian times ``||Q(W) - W||^2``:
    Dong et al., "HAWQ-V2", NeurIPS 2020 (arXiv 2019); Yao et al., "HAWQ-V3", ICML 2021. It covers
    weights only, not activations.
    """
    source = read_weights(weights) if weights is not None else None
    if isinstance(path, Mapping):
        faults = FaultList(
            Fault(f"trace {trace!r}", str(layer), expected="a finite number")
            for layer, trace in path.items()
            if not np.isfinite(trace)
        )
        faults.settle()
        traces = {layer: float(trace) for layer, trace in path.items()}
        return Traces("hawq traces (weights only)", traces, {}, source)
    file = Path(path)
    if file.suffix.lower() == ".csv":
        traces, deltas = _csv(file)
        return Traces(f"hawq traces of {file.name} (weights only)", traces, deltas, source)
    data, marks = read(file)
    columns, name = _model(data, marks, str(file), model)
    traces, deltas = _columns(columns, marks, str(file), ("models", name), layers)
    return Traces(f"hawq traces of {name} in {file.name} (weights only)", traces, deltas, source)


def _model(data: Any, marks: Marks, file: str, model: str | None) -> tuple[dict[str, Any], str]:
    """Return the columns of one model in a JSON file, and its name."""
    models: Any = cast("dict[str, Any]", data).get("models") if isinstance(data, dict) else None
    if not isinstance(models, dict) or not models:
        line, column = marks.at(())
        raise input_error(
            "holds no models",
            "models",
            file,
            line,
            column,
            "models: {name: {Hutchinson_trace: [...]}}",
        )
    named = cast("dict[str, Any]", models)
    if model is None and len(named) == 1:
        model = next(iter(named))
    if model is None or model not in named:
        message = "says not which model" if model is None else f"no model '{model}'"
        raise input_error(
            message,
            "model",
            file,
            expected="model= one of " + ", ".join(named),
            suggestion=nearest(model or "", named),
        )
    columns = named[model]
    if not isinstance(columns, dict):
        line, column = marks.at(("models", model))
        raise input_error("is no model", f"models.{model}", file, line, column, "columns")
    return cast("dict[str, Any]", columns), model


def _columns(
    data: dict[str, Any],
    marks: Marks,
    file: str,
    path: tuple[str, str],
    layers: Sequence[str] | None,
) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return the traces and squared weight changes of a model's layers."""
    faults = FaultList()

    def fault(key: str, message: str, expected: str) -> None:
        line, column = marks.at((*path, key))
        faults.append(Fault(message, ".".join((*path, key)), file, line, column, expected))

    key = next((name for name in _TRACE if name in data), "")
    if not key:
        fault(_TRACE[1], "no traces", "a list under Hutchinson_trace")
        raise InputError(faults)
    wanted = {key: 0} | {k: int(m[1]) for k in data if (m := _DELTA.fullmatch(k))}
    columns: dict[str, list[float]] = {}
    for name in wanted:
        values = data[name]
        if not isinstance(values, list) or not all(is_number(v) for v in cast("list[Any]", values)):
            fault(name, "the value is not a list of numbers", "a number for each layer")
            continue
        columns[name] = [float(v) for v in cast("list[float]", values)]
    count = len(columns.get(key, ()))
    for name, values in columns.items():
        if len(values) != count:
            fault(name, f"{len(values)} numbers for {count} layers", "a number for each layer")
    names = [str(i) for i in range(count)] if layers is None else list(layers)
    if len(names) != count or len(set(names)) != len(names):
        faults.append(
            Fault(
                f"{len(names)} names for {count} layers",
                "layers",
                file,
                expected="a name of its own for each layer",
            )
        )
    faults.settle()
    traces = dict(zip(names, columns[key], strict=True))
    deltas = {
        name: {bits: columns[c][i] for c, bits in wanted.items() if bits}
        for i, name in enumerate(names)
    }
    return traces, deltas


def _csv(file: Path) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    faults = FaultList()
    deltas = [f"delta_weights_{bits}bit_square" for bits in range(1, 17)]
    rows = read_columns(file, "layer", ("layer", "trace"), deltas, faults)
    bits = {c: int(m[1]) for c in rows.columns if (m := _DELTA.fullmatch(c))}
    traces: dict[str, float] = {}
    changes: dict[str, dict[int, float]] = {}
    for row in rows:
        layer = row.get("layer")
        if not layer or layer in traces:
            message = f"layer '{layer}' occurs twice" if layer else "a layer without a name"
            faults.append(rows.fault(row, "layer", message, "each layer once, by its name"))
        traces[layer] = rows.required(row, "trace", faults) or 0.0
        numbers = {b: rows.number(row, c, faults, above_zero=False) for c, b in bits.items()}
        changes[layer] = {b: number for b, number in numbers.items() if number is not None}
    faults.settle()
    return traces, changes
