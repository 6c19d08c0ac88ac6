"""Operators of a large language model in fp16, from LLMCompass's measurements.

Zhang, Ning, Prabhakar and Wentzlaff, "LLMCompass: enabling efficient hardware design for large
language model inference", ISCA 2024; its artifact (BSD-3-Clause), figure 5. Streaming rows are
printed as elements a second, without a unit; 1e9 of them are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault
from perfmodel.evaluate.batched import evaluate_together
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.result import ValidationResult
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.operators import product, streaming
from perfmodel_studies.readers.gpu_kernels.rows import table

NAME: Final = "llmcompass_kernels"
TITLE: Final = "Operators of LLMs in fp16 on A100 and MI210 (LLMCompass): products, softmax, norms"
#: Where its file lies.
PLACES: Final = ("measured/llmcompass_kernels.csv", "llmcompass_kernels.csv")

_STREAMS: Final = {"softmax": "softmax", "layernorm": "layer_norm", "gelu": "gelu"}
_NOTES: Final = (
    "constants of the runtime are fitted on the rows of the A100: of one device, none is left out",
)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict every row; the group is the operator."""
    path = folder.need(NAME, *PLACES)
    find = Finder(devices)
    columns = ("op", "device", "M", "N", "K", "giga_elements_per_s", "time_ms")
    with table(path, columns) as (rows, faults):
        cases = [_case(rows, row, find, faults) for row in rows]
    return evaluate_together(Cases(NAME, cases, notes=(*_NOTES, *folder.note(path))))


def _case(rows: CsvTable, row: CsvRow, find: Finder, faults: list[Fault]) -> ValidationCase:
    operation = row["op"]
    m, n = rows.number(row, "M", faults), rows.number(row, "N", faults)
    # A vector is one row.
    m, n = (m or 1.0), (n or 1.0)
    name = f"{operation} M={m:g} N={n:g}"
    if operation == "matmul":
        k, milliseconds = rows.number(row, "K", faults), rows.number(row, "time_ms", faults)
        work = product(m, n, k or 1.0)
        seconds = 1e-3 * (milliseconds or 0.0)
        name += f" K={k or 0:g}"
    elif operation in _STREAMS:
        rate = rows.number(row, "giga_elements_per_s", faults, scale=1e9)
        work = streaming(_STREAMS[operation], m, n)
        seconds = m * n / (rate or 1.0)
    else:
        return ValidationCase(
            name, row["device"], reason=f"no operator of the library is '{operation}'"
        )
    device = find(row["device"])
    if isinstance(device, str):
        return ValidationCase(name, row["device"], reason=device)
    return ValidationCase(
        name,
        device.name,
        device,
        [MeasuredQuantity("latency_s", "latency_s", seconds, work)],
        "fp16",
        "torch_eager_half",
        operation,
    )
