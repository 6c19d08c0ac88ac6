"""T-MAC and llama.cpp on CPUs, by threads: low-bit Llama-2-7B and BitNet-3B.

microsoft/T-MAC, docs/profiling_data.md. llama.cpp runs Q4_0 for four bits and Q2_K for two and for
BitNet, whose rows no block of a K-quant divides: most of its tensors are IQ4_NL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.formats import Precision, as_precision, format_named
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable

from perfmodel_studies.readers.llama_cpp.rows import (
    decode,
    device_named,
    model_named,
    number,
    precision_of,
    read,
    token,
)

__all__ = ["NAME", "PLACES", "TITLE", "load", "machine_of", "precisions", "refits"]

NAME: Final = "tmac_llm_decode"
TITLE: Final = "T-MAC and llama.cpp on CPUs by threads: Llama-2-7B in 2 and 4 bits, BitNet-3B"
#: Where its file lies.
PLACES: Final = ("measured/tmac_llm_decode.csv", "tmac_llm_decode.csv")
MODELS: Final = {"BitNet-3B": "bitnet_b1_58_3b", "Llama-2-7B": "llama_2_7b"}
DEVICES: Final = {
    "M2-Ultra": "apple_m2_ultra", "Surface Book 3": "surface_book_3", "AGX Orin": "jetson_agx_orin",
    "Jetson AGX Orin": "jetson_agx_orin", "Raspberry Pi 5": "raspberry_pi_5",
}  # fmt: skip

#: Tokens in the context on average; the source does not say, and little depends on it.
MEAN_CONTEXT = 64

_COLUMNS = ("model", "device", "threads", "llama_cpp_tok_s", "tmac_tok_s")
_FORMATS: Final = {"W4": ("q4_0", "int4g128"), "W2": ("q2_k", "int2g128"), "": ("q2_k", "ternary")}


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return two cases a row: llama.cpp and T-MAC; groups are frameworks and formats."""
    path, rows = read(folder, NAME, PLACES, _COLUMNS)
    faults: list[Fault] = []
    cases = [case for row in rows for case in _cases(rows, row, devices, faults)]
    if faults:
        raise InputError(faults)
    return Cases(NAME, cases, notes=folder.note(path))


def _cases(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> list[ValidationCase]:
    threads = number(rows, row, "threads", faults)
    device, said = row.get("device"), row.get("model")
    out: list[ValidationCase] = []
    for place, column in enumerate(("llama_cpp_tok_s", "tmac_tok_s")):
        speed = number(rows, row, column, faults)
        framework = ("llama.cpp", "T-MAC")[place]
        name = f"{framework} {said} {device} {threads:g} threads"
        try:
            model = model_named(said, MODELS)
            spec = device_named(DEVICES.get(device, device), devices)
            machine = machine_of(spec, ("llama_cpp_cpu", "t_mac")[place], threads)
            ask = decode(model, MEAN_CONTEXT, speed)
            precision = precisions(said, model)[place]
        except InputError as error:
            out.append(ValidationCase(name, device, reason=str(error.faults[0])))
            continue
        bits = said.partition("(")[2].rstrip(")") or "ternary"
        group = f"{framework} {bits}"
        out.append(
            ValidationCase(name, device, machine, [ask], precision, machine.runtime, group=group)
        )
    return out


def machine_of(device: Device, framework: str, threads: float) -> Machine:
    """Return the CPU of a device with so many threads under llama.cpp or T-MAC.

    Raises
    ------
    InputError
        The device says no instruction set.
    """
    isa = next((i for tag, i in (("arm", "neon"), ("x86", "avx2")) if tag in device.tags), "")
    if not isa:
        raise InputError(Fault(f"{device.name} has no tag 'arm' or 'x86'", path="tags"))
    build = f"{framework}_{isa}" + ("_2024" if framework.startswith("llama_cpp") else "")
    machine = device.machine(build)
    boost = machine.get("engines.main.boost_clock")
    if threads == 1 and boost is not None:
        machine = machine.vary({"engines.main.clock": boost})
    return machine.vary({"engines.main.units": threads})


def precisions(said: str, model: str) -> tuple[Precision, Precision]:
    """Return the precisions of llama.cpp and of T-MAC (whose head stays in half precision)."""
    bits = said.partition("(")[2].rstrip(")")
    if bits not in _FORMATS:
        raise InputError(Fault(f"no formats are known for '{said}'"))
    file, table = _FORMATS[bits]
    half = ((1.0, format_named("fp16")),)
    weights = replace(
        format_named(table), overrides=(("head", half), ("embedding", half)), block=table
    )
    return precision_of(file, token(model, MEAN_CONTEXT)), replace(
        as_precision("w16a16"), weights=weights, text=f"w={table},head=fp16"
    )


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the three constants were fitted, a device left out at a time."""
    cases = load(folder, devices)
    return [
        refit(cases, "latency_s", CONSTANTS, apply=_facts),
        *(
            refit(cases, "latency_s", CONSTANTS, apply=_facts, name=f"latency_s, {framework}",
                  where=lambda case, said=framework: case.name.startswith(said))
            for framework in ("llama.cpp", "T-MAC")
        ),
    ]  # fmt: skip


def _facts(case: ValidationCase, constants: Mapping[str, float]) -> Mapping[str, float]:
    share = "llama.cpp" if case.name.startswith("llama.cpp") else "T-MAC"
    return {
        "runtime.issue_share": constants[share],
        "runtime.per_layer_doubling": constants["runtime.per_layer_doubling"],
    }


CONSTANTS: Final = (
    Constant("llama.cpp", 0.7, 0.05, 1.0),
    Constant("T-MAC", 0.9, 0.05, 1.0),
    Constant("runtime.per_layer_doubling", 0.1e-3, 1e-6, 1e-2),
)
