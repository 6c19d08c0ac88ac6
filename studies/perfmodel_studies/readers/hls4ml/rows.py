"""Rows of the reports: designs with their layers, and layers with what each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.files import DataFolder
from perfmodel.measurements import CsvRow, CsvTable, read_rows

__all__ = ["DESIGNS", "LAYERS", "Hls4mlDesign", "Hls4mlLayerReport", "read_designs"]

#: Where the files lie.
DESIGNS: Final = ("measured/hls4ml_mlp_csynth.csv", "hls4ml_mlp_csynth.csv")
LAYERS: Final = ("measured/hls4ml_mlp_csynth_layers.csv", "hls4ml_mlp_csynth_layers.csv")

#: Column of both files -> name of the amount.
_AMOUNTS: Final = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM_18K": "bram"}


@dataclass(frozen=True, slots=True)
class Hls4mlLayerReport:
    """What the report says of one dense layer.

    Attributes
    ----------
    clocks, interval
        Of the schedule.
    amounts
        ``lut``, ``ff``, ``dsp``, ``bram``.
    input_bits, sum_bits
        Bits of its inputs and of what it gives, which are those of its sums; 0 where the name of
        its function does not tell.
    """

    clocks: float
    interval: float
    amounts: Mapping[str, float]
    input_bits: int
    sum_bits: int


@dataclass(frozen=True, slots=True)
class Hls4mlDesign:
    """One design: a network under a configuration, and its report.

    Attributes
    ----------
    shapes
        Inputs and outputs of each dense layer.
    nonzeros
        Weights of each that are not zero.
    multipliers
        Weights of each that need a multiplier: the DSP slices of the layer in the network's design
        with DSP slices and a reuse factor of 1; empty where there is no such design.
    factors
        Reuse factor of each layer.
    multiply_in, strategy
        ``dsp`` or ``lut``; ``latency`` or ``resource``.
    bits
        Of the weights.
    clock
        Hz.
    layers
        Reports of the layers; empty where there are none.
    """

    model: str
    config: str
    part: str
    clock: float
    shapes: tuple[tuple[int, int], ...]
    nonzeros: tuple[float, ...]
    multipliers: tuple[float, ...]
    factors: tuple[float, ...]
    multiply_in: str
    strategy: str
    bits: int
    clocks: float
    interval: float
    amounts: Mapping[str, float]
    layers: tuple[Hls4mlLayerReport, ...]

    @property
    def name(self) -> str:
        """As reports name it."""
        return f"{self.model} {self.config}"


def read_designs(folder: DataFolder, name: str) -> list[Hls4mlDesign]:
    """Return the designs of a data folder, each with its layers.

    Raises
    ------
    InputError
        No file, or faults in it.
    """
    path = folder.need(name, *DESIGNS)
    layers = _layers(folder.find(*LAYERS))
    rows, faults = read_rows(path), list[Fault]()
    wanted = ("model", "config", "part", "target_clock_ns", "dense_layers", "dense_nnz")
    faults += rows.missing((*wanted, "reuse_factors", "latency_cycles_min", "interval_min"))
    if faults:
        raise InputError(faults)
    found = [_design(rows, row, layers, faults) for row in rows]
    if faults:
        raise InputError(faults)
    return found


def _design(
    rows: CsvTable,
    row: CsvRow,
    layers: Mapping[tuple[str, str], Sequence[Hls4mlLayerReport]],
    faults: list[Fault],
) -> Hls4mlDesign:
    def number(column: str) -> float:
        return rows.number(row, column, faults, above_zero=column not in _AMOUNTS) or 0.0

    model, config = row.get("model"), row.get("config")
    shapes = tuple(
        (int(n), int(m)) for n, m in re.findall(r"(\d+)\s*x\s*(\d+)", row.get("dense_layers"))
    )
    nonzeros = _numbers(row.get("dense_nnz"))
    factors = _numbers(row.get("reuse_factors"))
    if not shapes or len(nonzeros) != len(shapes):
        faults.append(rows.fault(row, "dense_nnz", "not one count a layer",
                                 f"{len(shapes)} numbers with ; between"))  # fmt: skip
    own = tuple(layers.get((model, config), ()))
    reference = layers.get((model, "DSP_reuse1"), ())
    multipliers = tuple(layer.amounts["dsp"] for layer in reference)
    bits = [int(b) for b in re.findall(r"fixed<\s*(\d+)", row.get("weight_types"))]
    return Hls4mlDesign(
        model, config, row.get("part").partition("-")[0], 1e9 / (number("target_clock_ns") or 5.0),
        shapes, nonzeros, multipliers if len(multipliers) == len(shapes) else (),
        factors if len(factors) == len(shapes) else (factors[:1] or (1.0,)) * len(shapes),
        # One report under the name of a design without DSP slices is that of the one with them.
        "lut" if config.upper().startswith("LUT") and not number("DSP") else "dsp",
        "resource" if "resource" in row.get("strategy").lower() else "latency",
        max(bits, default=8), number("latency_cycles_min"), number("interval_min"),
        {name: number(column) for column, name in _AMOUNTS.items()},
        own if len(own) == len(shapes) else (),
    )  # fmt: skip


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in re.findall(r"\d+(?:\.\d+)?", text))


def _layers(path: Path | None) -> dict[tuple[str, str], list[Hls4mlLayerReport]]:
    """Return (network, configuration) -> its layers in their order."""
    if path is None:
        return {}
    rows, faults = read_rows(path), list[Fault]()
    found: dict[tuple[str, str], list[tuple[int, Hls4mlLayerReport]]] = {}
    for row in rows:
        module = row.get("module")
        place = re.search(r"config(\d+)", module)
        bits = [int(found) for found in re.findall(r"fixed_(\d+)", module)]
        numbers = {
            column: rows.number(row, column, faults, above_zero=False) or 0.0
            for column in ("latency_min", "interval_min", *_AMOUNTS)
        }
        layer = Hls4mlLayerReport(
            numbers["latency_min"], numbers["interval_min"],
            {name: numbers[column] for column, name in _AMOUNTS.items()},
            bits[0] if bits else 0, bits[1] if len(bits) > 1 else 0,
        )  # fmt: skip
        at = found.setdefault((row.get("model"), row.get("config")), [])
        at.append((int(place.group(1)) if place else len(at), layer))
    if faults:
        raise InputError(faults)
    return {key: [layer for _, layer in sorted(at, key=lambda pair: pair[0])]
            for key, at in found.items()}  # fmt: skip
