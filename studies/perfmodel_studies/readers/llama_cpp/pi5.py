"""Qwen2.5-0.5B in GGUF files of several widths on a Raspberry Pi 5: speed, and energy a token.

ggml-org/llama.cpp, issue 26484: 256 tokens on four threads; power at the board's own controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    number,
    precision_of,
    read_cases,
    token,
)

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "llamacpp_rpi5_quant_energy"
TITLE: Final = "llama.cpp on a Raspberry Pi 5: Qwen2.5-0.5B by weight format, with energy"
#: Where its file lies.
PLACES: Final = ("measured/llamacpp_rpi5_quant_energy.csv", "llamacpp_rpi5_quant_energy.csv")
RUNTIME = "llama_cpp_cpu_neon"
#: The files' sizes are those of this model, to the 6 MB of its vocabulary.
MODEL = "qwen_2_5_0_5b"
MEAN_CONTEXT = 128
#: Power of the table is at the board's own controller.
DEVICE = "raspberry_pi_5_board"

_COLUMNS = ("quant", "tok_s", "j_per_token")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are weight formats."""
    return read_cases(folder, NAME, PLACES, _COLUMNS, partial(_case, devices))


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, faults: list[Fault]
) -> ValidationCase:
    quant, device = row.get("quant"), "Raspberry Pi 5"
    speed = number(rows, row, "tok_s", faults)
    joule = number(rows, row, "j_per_token", faults)
    try:
        ask = decode(MODEL, MEAN_CONTEXT, speed)
        energy = replace(ask, target="energy_j", metric="energy_j", measured=joule)
        machine = hardware(DEVICE, devices).machine(RUNTIME)
        precision = precision_of(quant, token(MODEL, MEAN_CONTEXT))
    except InputError as error:
        return ValidationCase(quant, device, reason=str(error.faults[0]))
    asks: list[MeasuredQuantity] = [ask, energy]
    return ValidationCase(quant, device, machine, asks, precision, RUNTIME, group=quant)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the board's sustained bandwidth and power were fitted, by format left out."""
    cases = load(folder, devices)
    share = Constant("memories.dram.sustained_fraction", 0.6, 0.1, 1.0)
    watts = Constant("power.busy", 6.0, 1.0, 30.0)
    return [
        refit(cases, "latency_s", [share], left_out="format", group=lambda case: case.group),
        refit(cases, "energy_j", [watts], left_out="format", group=lambda case: case.group),
    ]
