"""Workloads from ONNX files: weights are not read, symbolic dimensions remain free.

The walk binds only those free dimensions that decide the structure (a trip count, a branch); all
others remain polynomials, so that one graph serves arrays of sizes. Readers of TensorFlow Lite,
Keras and ``torch.export`` return the same `OnnxWorkload` from translated records.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.free_dimensions import LENGTH_DEFAULT
from perfmodel.workload.importers.onnx.graph_build import OnnxBuild
from perfmodel.workload.importers.onnx.node import OnnxValue
from perfmodel.workload.importers.onnx.parser import read_onnx
from perfmodel.workload.importers.onnx.quantiser_formats import stated_precision
from perfmodel.workload.importers.onnx.records import RawModel
from perfmodel.workload.importers.onnx.symbolic_extents import free_symbols
from perfmodel.workload.importers.onnx.walk_steps import WalkResult
from perfmodel.workload.symbols import Dim, evaluate
from perfmodel.workload.workload import PLAIN, Workload, as_number, check_extent

_LONGEST_DEFAULT: Final = 2**20
_SINGLE: Final = "one number, no array"


class OnnxWorkload(Workload):
    """A workload read from an ONNX file.

    Attributes
    ----------
    structural
        Free dimension -> reason why the graph's structure depends on it; it accepts no array.
    """

    __slots__ = ("_extents", "_model", "structural")

    def __init__(self, model: RawModel, settings: Mapping[str, Value]) -> None:
        name = model.name or Path(model.file).stem
        length = LENGTH_DEFAULT
        while True:
            resolved = _resolve_structure(model, name, settings, length)
            faults = _too_small(resolved.walked.window_extents, resolved.parameters, model.file)
            if not faults:
                break
            # A default length doubles until every window fits.
            length *= 2
            defaults = resolved.walked.defaults.items()
            has_free_length = any(n not in settings and d * 2 == length for n, d in defaults)
            if not has_free_length or length > _LONGEST_DEFAULT:
                raise InputError(faults)
        self._model = model
        self._extents: dict[Dim, str] = resolved.walked.window_extents
        self.structural = resolved.structural
        assumed = {n: d for n, d in resolved.walked.defaults.items() if n not in settings}
        super().__init__(
            name,
            resolved.build,
            resolved.parameters,
            _items_of_run(resolved.walked.inputs),
            precision=model.precision
            or stated_precision(model, resolved.build(PLAIN))
            or _precision(resolved.build),
            origin=model.file,
            notes=(
                *model.notes,
                *(f"'{n}' is taken to be {value:g}" for n, value in assumed.items()),
                *(f"'{n}' decides the structure: {why}" for n, why in resolved.structural.items()),
            ),
        )

    def graph(self, semantics: ExecutionSemantics = PLAIN) -> Graph:
        """Return the graph, and append its notes to those of the workload."""
        graph = super().graph(semantics)
        build = self._build
        if isinstance(build, OnnxBuild):
            self.notes = tuple(dict.fromkeys((*self.notes, *build.notes)))
        return graph

    def bind(self, settings: Mapping[str, Value]) -> Workload:
        """Return the workload with other numbers for its free dimensions.

        Changing a dimension that the structure depends on walks the model again.

        Raises
        ------
        InputError
            Unknown names, invalid extents, an array for a dimension that requires one number, or an
            input too small for a window.
        """
        others = {
            k: v
            for k, v in settings.items()
            if k not in self.structural or is_array(v) or v != self.parameters[k]
        }
        if any(k in self.structural or k not in self.parameters for k in others):
            return OnnxWorkload(self._model, {**self.parameters, **settings})
        rebound = super().bind(others)
        copy = object.__new__(OnnxWorkload)
        for slot in Workload.__slots__:
            setattr(copy, slot, getattr(rebound, slot))
        copy._model, copy._extents, copy.structural = self._model, self._extents, self.structural
        faults = _too_small(copy._extents, copy.parameters, self.origin)
        if faults:
            raise InputError(faults)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model as read and the parameters."""
        return OnnxWorkload, (self._model, dict(self.parameters))


def load_onnx(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read an ONNX file without its weights.

    Parameters
    ----------
    path
        Path of the file; external data files are not needed.
    settings
        Free dimension -> number or array, by its name in the file; a dimension without a name is
        called ``dim_<input>_<axis>``. A scalar input may be set by its name. Defaults are 1 for a
        batch, 224 for the height and width of an image and 128 for any other length; the notes list
        the defaults that were used.

    Raises
    ------
    InputError
        The file is not an ONNX file or has no graph, or the settings do not apply; all faults at
        once.
    """
    return OnnxWorkload(read_onnx(path), settings or {})


def _too_small(
    extents: Mapping[Dim, str], parameters: Mapping[str, Value], file: str
) -> list[Fault]:
    """Return the fault of an input that is too small for a window."""
    for dim, label in extents.items():
        value = evaluate(dim, parameters)
        if not _is_numeric(value):
            return []
        if np.min(value) < 1:
            names = sorted(free_symbols(dim))
            message = f"{label} would be left with an extent of {np.min(value):g}"
            expected = "a larger " + (" or ".join(names) or "input")
            return [Fault(message, (*names, "graph")[0], file, expected=expected)]
    return []


class _ResolvedModel(NamedTuple):
    """A model with the dimensions bound that its structure depends on."""

    build: OnnxBuild
    walked: WalkResult
    structural: dict[str, str]
    parameters: dict[str, Value]


def _resolve_structure(
    model: RawModel, name: str, settings: Mapping[str, Value], length: int
) -> _ResolvedModel:
    """Bind the free dimensions that the structure depends on, walking until no new one appears."""
    settable = [v.name for v in model.graph.inputs if v.shape == ()]
    scalars = _scalars(model, {k: v for k, v in settings.items() if k in settable})
    structural: dict[str, str] = {}
    bound: dict[str, int] = {}
    while True:
        walked = OnnxBuild(model, name, bound, scalars, {}).walk(length)
        _check_settings(walked, settings, settable, model.file)
        unbound = {
            s: b for b in reversed(walked.blockers) for s in sorted(b.symbols) if s not in bound
        }
        if not unbound:
            break
        faults: list[Fault] = []
        for symbol, blocker in unbound.items():
            value = settings.get(symbol, walked.defaults.get(symbol, 1))
            reason = f"{blocker.label}: {blocker.reason}"
            if is_array(value) or isinstance(value, list | tuple):
                message = f"'{symbol}' decides the structure ({reason})"
                faults.append(Fault(message, symbol, model.file, expected=_SINGLE))
                continue
            if value != int(value):
                faults.append(Fault(f"{value} is not whole", symbol, model.file))
            structural[symbol] = reason
            bound[symbol] = int(value)
        if faults:
            raise InputError(faults)
    parameters: dict[str, Value] = (
        {k: as_number(settings.get(k, v)) for k, v in walked.defaults.items()} | bound | scalars
    )
    numbers = {k: float(np.max(v)) for k, v in parameters.items() if _is_numeric(v)}
    build = OnnxBuild(model, name, bound, scalars, numbers)
    build.walked = walked if length == LENGTH_DEFAULT else None
    return _ResolvedModel(build, walked, structural, parameters)


def _is_numeric(value: Value) -> bool:
    """Return whether a value is a number or a numpy array, which can be evaluated at once."""
    return not is_array(value) or isinstance(value, np.ndarray | np.generic)


def _scalars(model: RawModel, values: Mapping[str, Value]) -> dict[str, float]:
    """Return the numbers of scalar inputs that the user sets."""
    faults: list[Fault] = []
    scalars: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, int | float):
            scalars[name] = value
        elif is_array(value) and np.ndim(value) == 0:
            scalars[name] = float(np.asarray(value, dtype=float))
        else:
            message = f"input '{name}' holds one number"
            faults.append(Fault(message, name, model.file, expected=_SINGLE))
    if faults:
        raise InputError(faults)
    return scalars


def _check_settings(
    walked: WalkResult, settings: Mapping[str, Value], settable: list[str], file: str
) -> None:
    """Raise the faults of the settings: unknown names and invalid extents."""
    known = [*walked.defaults, *settable]
    faults: list[Fault] = []
    for name, value in settings.items():
        if name in settable:
            continue
        if name in walked.defaults:
            faults += check_extent(name, value)
        else:
            faults.append(
                Fault(
                    f"the network has no free dimension '{name}'",
                    name,
                    file,
                    expected=one_of(sorted(known)) if known else "no settings",
                    suggestion=nearest(name, known),
                )
            )
    if faults:
        raise InputError(faults)


def _items_of_run(inputs: list[OnnxValue]) -> tuple[str, Dim]:
    """Return the items that a run processes: frames if the first input is an image."""
    first = inputs[0].shape if inputs else None
    if first is not None and len(first) == 4 and {first[1], first[3]} & {1, 3, 4}:
        return "frames", first[0]
    return "runs", 1


def _precision(build: OnnxBuild) -> str:
    """Return the floating-point format of most of the file's parameters."""
    formats: dict[str, float] = {}
    for tensor in build(PLAIN).tensors.values():
        if tensor.role == "weight" and tensor.format in {"", "fp32", "fp16", "bf16", "fp64"}:
            size = evaluate(tensor.elements, build.numbers)
            key = tensor.format or "fp32"
            formats[key] = formats.get(key, 0.0) + float(size)
    return max(formats, key=lambda f: formats[f]) if formats else "fp32"
