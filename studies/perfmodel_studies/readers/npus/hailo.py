"""Hailo's model zoo: frames a second of public networks on Hailo's chips, at batches of 1 and 8.

hailo-ai/hailo_model_zoo, docs/public_models: one frame after the other keeps a network's layers
busy at once, so a frame takes the inverse of the rate. A graph whose multiply-accumulates are not
those that the row states is not taken for the row's network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.npus.flat import Flat
from perfmodel_studies.readers.npus.networks import network

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "hailo_model_zoo"
TITLE: Final = "Hailo's model zoo: vision networks on the Hailo-8, 8L, 10H, 15H and 15L"
#: Where its file lies.
PLACES: Final = ("measured/hailo_model_zoo.csv", "hailo_model_zoo.csv")
RUNTIME: Final = "hailo"
#: Batch of each target; the first is the primary one.
BATCHES: Final = {"batch8_s": 8.0, "batch1_s": 1.0}
#: Multiply-accumulates of a graph over those that the row states, at the least and at the most.
ALIKE: Final = (0.7, 1.4)

_COLUMNS = ("chip", "model", "fps_b1", "fps_b8", "input", "ops_g")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    notes = (
        "text towers are taken to run in 16 bits: their weights take twice as long to load",
        *note,
    )
    return Cases(NAME, cases, "batch8_s", notes)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    chip, model = row.get("chip"), row.get("model")
    name = f"{chip} {model}"
    giga = rows.number(row, "ops_g", faults)
    asked: list[MeasuredQuantity] = []
    try:
        machine = hardware(chip.lower(), devices)
        for target, batch in BATCHES.items():
            speed = rows.number(row, target.replace("batch", "fps_b").removesuffix("_s"), faults)
            workload = network(NAME, model, batch, _size(row.get("input")))
            _check(workload, giga * batch if giga else None)
            if speed:
                asked.append(MeasuredQuantity(target, "latency_s", batch / speed, workload))
    except InputError as error:
        return ValidationCase(name, chip, reason=str(error.faults[0]))
    if not asked:
        return ValidationCase(name, chip, reason="no rate was measured")
    return ValidationCase(
        name, chip, machine, asked, precision_of(model), RUNTIME, row.get("task"), warm=True
    )


def precision_of(model: str) -> str:
    """Return the precision of a network: the table states none."""
    return "int16" if "text_encoder" in model else "int8"


def _size(said: str) -> tuple[float, float] | None:
    found = re.match(r"(\d+)x(\d+)x\d+$", said)
    if found is None or found[1] == "1":
        return None
    return float(found[1]), float(found[2])


def _check(workload: Workload, giga: float | None) -> None:
    graph = workload.graph()
    macs = sum(
        workload.number(block.count) * workload.number(operator.macs)
        for block in graph.blocks for operator in block.operators
    )  # fmt: skip
    share = 2e-9 * macs / giga if giga else 1.0
    if not ALIKE[0] < share < ALIKE[1]:
        raise InputError(Fault("the library's graph of that name is another network's: its "
                               "operations are not those that the row states"))  # fmt: skip


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted, a chip left out at a time; both batches together."""
    asked = load(folder, devices).asked()
    flat = Flat(asked)
    targets = [q.target for _, q in asked]
    out: list[Refit] = []
    chips = [case.device for case, _ in asked]
    for target in BATCHES:
        seen = np.array([t == target for t in targets])
        out.append(Refit(f"{target}, chip left out", flat.measured, chips, CONSTANTS, flat, "chip",
                         scale=0.2, judged=seen))  # fmt: skip
    return out


CONSTANTS: Final = (
    Constant("runtime.kernels.conv.peak_share", 0.5, 0.02, 1.5),
    Constant("runtime.kernels.depthwise.peak_share", 0.007, 0.001, 1.2),
    Constant("runtime.kernels.gemm.peak_share", 0.3, 0.01, 1.2),
    Constant("runtime.kernels.batched_gemm.peak_share", 0.02, 0.001, 1.2),
    Constant("runtime.per_run", 1e-4, 1e-9, 1e-2),
    Constant("runtime.per_operator", 1e-6, 1e-9, 1e-3),
)
