"""Coral's Edge TPU: milliseconds an inference on the USB Accelerator and on the Dev Board.

coral.ai/docs/edgetpu/benchmarks: the delegate of TensorFlow Lite, one network at a time. Detectors
end in an operator that the host runs (boxes and their suppression), which no graph has: they are
predicted and not fitted on.
"""

from __future__ import annotations

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

from perfmodel_studies.readers.npus.flat import Flat
from perfmodel_studies.readers.npus.networks import network

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "coral_edgetpu"
TITLE: Final = "Coral's Edge TPU on USB 3 and on one lane of PCIe: vision networks"
#: Where its file lies.
PLACES: Final = ("measured/coral_edgetpu.csv", "coral_edgetpu.csv")
RUNTIME: Final = "edge_tpu"
#: Column -> device.
DEVICES: Final = {"usb_accel_edgetpu_ms": "edge_tpu_usb", "dev_board_edgetpu_ms": "edge_tpu"}


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: two a row."""
    with measured_table(folder, NAME, PLACES, ("model", *DEVICES)) as (rows, faults, note):
        cases = [
            _case(rows, row, column, device, devices, faults)
            for row in rows for column, device in DEVICES.items()
        ]  # fmt: skip
    return Cases(NAME, cases, notes=note)


def _case(
    rows: CsvTable, row: CsvRow, column: str, device: str, devices: Sequence[str | Path],
    faults: list[Fault],
) -> ValidationCase:  # fmt: skip
    model = row.get("model")
    name = f"{device} {model}"
    seconds = rows.number(row, column, faults, scale=1e-3)
    try:
        machine, workload = hardware(device, devices), network(NAME, model)
    except InputError as error:
        return ValidationCase(name, device, reason=str(error.faults[0]))
    if seconds is None:
        return ValidationCase(name, device, reason="no latency was measured")
    asked = [MeasuredQuantity("latency_s", "latency_s", seconds, workload)]
    return ValidationCase(name, device, machine, asked, "int8", RUNTIME, model, warm=True)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted, a network or a device left out at a time."""
    asked = load(folder, devices).asked()
    flat = Flat(asked)
    weights = np.array([0.0 if "SSD" in case.group else 1.0 for case, _ in asked])
    by_network = [case.group for case, _ in asked]
    by_device = [case.device for case, _ in asked]
    return [
        Refit(f"latency_s, {what} left out", flat.measured, groups, CONSTANTS, flat, what,
              scale=0.2, weights=weights)
        for what, groups in (("network", by_network), ("device", by_device))
    ]  # fmt: skip


CONSTANTS: Final = (
    Constant("runtime.kernels.conv.peak_share", 0.6, 0.02, 1.0),
    Constant("runtime.efficiency.bandwidth", 0.8, 0.02, 1.2),
    Constant("runtime.per_run", 1e-3, 1e-6, 1e-2),
)
