"""Activation ranges and samples of a network, from a file or recorded in a run."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.atomic import replacing
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Format
from perfmodel.measurement_csv import read_columns
from perfmodel.regular_files import open_regular_file
from perfmodel.search.accuracy.simulated_quantisation import fake_quantise
from perfmodel.settings import FaultList

_COLUMNS: Final = ("tensor", "low", "high", "rms")
_POINTS: Final = 4096
#: Consecutive values per sample, so that groups and blocks contain neighbours.
_RUN: Final = 64


class Ranges:
    """Activation samples by the name of the tensor (or of the layer that reads it).

    Attributes
    ----------
    samples
        Tensor -> values, shape ``(count,)``.
    """

    __slots__ = ("samples",)

    def __init__(self, samples: Mapping[str, npt.ArrayLike]) -> None:
        self.samples = {
            name: np.asarray(values, dtype=np.float64).ravel() for name, values in samples.items()
        }

    @classmethod
    def of_range(cls, low: float, high: float, rms: float | None = None) -> Array:
        """Return synthetic values for a range, shape ``(4096,)``.

        Uniform over the range; with a root mean square, normal (half-normal if low >= 0) and
        clipped to the range, with both ends included.
        """
        share = (np.arange(_POINTS) + 0.5) / _POINTS
        if rms is None:
            return low + (high - low) * share
        half = low >= 0
        normal = NormalDist()
        values = np.array([normal.inv_cdf(0.5 + p / 2 if half else p) for p in share]) * rms
        values = np.clip(values, low, high)
        values[0], values[-1] = low, high
        return values

    def save(self, path: str | Path) -> None:
        """Write an NPZ file for `read_ranges`."""
        with replacing(path) as temporary, temporary.open("wb") as stream:
            # Without `allow_pickle`, which NumPy 2.0 would store as another array.
            arrays: dict[str, Any] = dict(self.samples)
            np.savez(stream, **arrays)


def activation_noise(values: npt.ArrayLike, format: Format) -> float:
    """Return the noise-to-signal ratio of activations in a format; zero if all are zero.

    Integers have a scale and an integer zero point per tensor (Jacob et al., CVPR 2018), so
    non-negative values use every code; other formats are as for weights, with one scale.
    """
    dense = np.asarray(values, dtype=np.float64).ravel()
    if format.family == "int" and not format.group and format.element_bits <= 16:
        format = replace(format, name=f"uint8@{format.element_bits:g}")
    error = fake_quantise(dense, format, axis=None) - dense
    power = float(np.vdot(dense, dense))
    return float(np.vdot(error, error)) / power if power > 0 else 0.0


def read_ranges(path: str | Path | Ranges) -> Ranges:
    """Read a calibration file.

    Parameters
    ----------
    path
        CSV with ``tensor``, ``low``, ``high`` and optionally ``rms``; or NPZ with an array of
        sample values per tensor, where two numbers are a range. `Ranges` are returned unchanged.

    Raises
    ------
    InputError
        For all faults of the file.
    """
    if isinstance(path, Ranges):
        return path
    file = Path(path)
    return _npz(file) if file.suffix.lower() == ".npz" else _csv(file)


def _npz(file: Path) -> Ranges:
    try:
        with open_regular_file(file) as stream, np.load(stream, allow_pickle=False) as data:
            arrays: dict[str, Any] = {name: data[name] for name in data.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        system_error = getattr(error, "strerror", None)
        reason = system_error.lower() if system_error else "is no NPZ file of numbers"
        raise input_error(
            reason, file=str(file), expected="a file that numpy.savez wrote"
        ) from None
    faults = FaultList()
    samples: dict[str, Array] = {}
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu" or not values.size or not np.isfinite(values).all():
            faults.append(Fault("no finite numbers", name, str(file), expected="sample values"))
            continue
        flat = np.asarray(values, dtype=np.float64).ravel()
        if flat.size == 2 and flat[0] > flat[1]:
            faults.append(
                Fault(
                    f"range from {flat[0]:g} to {flat[1]:g}",
                    name,
                    str(file),
                    expected="low, then high",
                )
            )
        samples[name] = Ranges.of_range(flat[0], flat[1]) if flat.size == 2 else flat
    if not arrays:
        faults.append(Fault("holds no tensors", file=str(file), expected="sample values"))
    faults.settle()
    return Ranges(samples)


def _csv(file: Path) -> Ranges:
    faults = FaultList()
    rows = read_columns(file, "tensor", _COLUMNS[:3], _COLUMNS[3:], faults)
    samples: dict[str, Array] = {}
    for row in rows:
        name = row.get("tensor")
        if not name or name in samples:
            message = f"tensor '{name}' again" if name else "no name"
            faults.append(rows.fault(row, "tensor", message, "each tensor once, by its name"))
        low, high = (rows.required(row, column, faults) for column in ("low", "high"))
        rms = rows.number(row, "rms", faults)
        if low is None or high is None:
            continue
        if low > high:
            faults.append(rows.fault(row, "high", f"{high:g} is below {low:g}", "low, then high"))
            continue
        samples[name] = Ranges.of_range(low, high, rms)
    faults.settle()
    return Ranges(samples)


def record_ranges(
    path: str | Path, feeds: Iterable[Mapping[str, Any]], *, samples: int = 4096, seed: int = 0
) -> Ranges:
    """Run an ONNX network and record samples of the activations that weighted operators read.

    Parameters
    ----------
    path
        ONNX file.
    feeds
        Inputs of each run, name -> array, as for onnxruntime.
    samples
        Recorded values per tensor over all runs, in random sequences of 64 neighbours.
    seed
        Seed of the random draws.

    Raises
    ------
    InputError
        The file is not ONNX, onnxruntime is not installed, or it rejects the inputs.
    """
    from perfmodel.search.accuracy.onnx_session import refusals, session
    from perfmodel.search.accuracy.onnx_weights import load, weighted_nodes

    file = Path(path)
    model: Any = load(file)
    top = {name for node in model.graph.node for name in node.output}
    top |= {value.name for value in model.graph.input}
    read = [operand.activation for operand in weighted_nodes(model)]
    wanted = [name for name in dict.fromkeys(read) if name in top]
    onnx: Any = import_module("onnx")
    have = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in have)
    parts: dict[str, list[Array]] = {name: [] for name in wanted}
    draw = np.random.default_rng(seed)
    runner, inputs = session(model.SerializeToString(), str(file)), list(feeds)
    with refusals(str(file)):
        for feed in inputs:
            for name, values in zip(wanted, runner.run(wanted, dict(feed)), strict=True):
                share = -(-samples // len(inputs))
                parts[name].append(_drawn(np.asarray(values, np.float64).ravel(), share, draw))
    return Ranges({name: np.concatenate(drawn) for name, drawn in parts.items() if drawn})


def _drawn(values: Array, count: int, draw: np.random.Generator) -> Array:
    if values.size <= count:
        return values
    run = min(_RUN, count)
    starts = draw.integers(0, values.size - run + 1, size=max(1, count // run))
    return values[(starts[:, None] + np.arange(run)).ravel()]
