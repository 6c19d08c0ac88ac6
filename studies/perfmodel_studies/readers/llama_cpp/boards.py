"""Llama 3.2 3B on small computers, from two benchmarks of each: HPL and the bytes of a copy.

geerlingguy/sbc-reviews: ollama's Q4_K_M. A row's own benchmarks are the facts of its machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import decode, device_named, precision_of, read

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "sbc_reviews"
TITLE: Final = "Llama 3.2 3B on small computers, from their HPL and memory copies"
#: Where its file lies.
PLACES: Final = ("measured/sbc_reviews.csv", "sbc_reviews.csv")
RUNTIME = "llama_cpp_board"
MODEL = "llama_3_2_3b"
MEAN_CONTEXT = 256

_COLUMNS = ("name", "arch", "hpl_gflops", "ai_cpu_llama3_2_3b", "memory_mb_sec_memcpy")
#: Systems whose row was measured on their graphics processor.
_ON_GPU = re.compile(r"Framework Desktop|Mac Studio|M\d (?:Ultra|Max)|GB10|DGX|Spark")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the boards that ran the model; groups are instruction sets."""
    path, rows = read(folder, NAME, PLACES, _COLUMNS)
    faults: list[Fault] = []
    cases = [_case(rows, row, devices, faults) for row in rows if row.get("ai_cpu_llama3_2_3b")]
    if faults:
        raise InputError(faults)
    notes = ("boards that did not run the model are no rows", *folder.note(path))
    return Cases(NAME, cases, notes=notes)


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    name, arch = row.get("name"), row.get("arch")
    speed = rows.number(row, "ai_cpu_llama3_2_3b", faults)
    linpack = rows.number(row, "hpl_gflops", faults, scale=1e9)
    copied = rows.number(row, "memory_mb_sec_memcpy", faults, scale=1e6)
    try:
        if _ON_GPU.search(name):
            raise InputError(Fault("measured on its graphics processor, of which nothing is said"))
        if arch == "riscv64":
            raise InputError(Fault("RISC-V without vector kernels: ten times slower, not modelled"))
        if speed is None or linpack is None or copied is None:
            raise InputError(Fault("HPL or memory copies were not measured"))
        ask = decode(MODEL, MEAN_CONTEXT, speed)
        machine = device_named("board_by_benchmarks", devices).machine(RUNTIME).vary(
            {"memories.main.bandwidth": 2.0 * copied, "engines.main.peaks.fp16": 8.0 * linpack}
        )  # fmt: skip
    except InputError as error:
        return ValidationCase(name, name, reason=str(error.faults[0]))
    precision = precision_of("q4_k_m", ask.workload)
    return ValidationCase(name, name, machine, [ask], precision, RUNTIME, group=arch)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the two constants were fitted, a board left out at a time."""
    return [refit(load(folder, devices), "latency_s", CONSTANTS, left_out="board")]


CONSTANTS: Final = (
    Constant("runtime.efficiency.bandwidth", 0.86, 0.1, 1.2),
    Constant("runtime.efficiency.gemm", 1.1, 0.05, 1.2),
)
