"""Which designs of MLPerf Tiny's FPGAs are public, and the cases of their rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase
from perfmodel.measurement_csv import CsvRow

from perfmodel_studies.claims.finn import PRECISION, board, cnv
from perfmodel_studies.words import has_words

__all__ = ["fpga_case", "is_fpga"]

#: Boards that fpgaConvNet was submitted on, by part and by what the row calls the system.
_BOARDS: Final = {
    "XC7Z007S": "cora_z7",
    "XC7Z010": "zybo",
    "XC7Z020": "zedboard",
    "XC7Z045": "zc706",
}
#: Name of an open submission -> device by part, network, precision.
_OPEN: Final = {
    "AD08": (
        {"XC7Z020": "hls4ml_ad08", "XC7A100T": "hls4ml_ad08_arty"},
        "ad08_autoencoder",
        "w=int16,a=int8",
    ),
    "KWS-W3A3": (
        {"XC7Z020": "finn_kws_w3a3", "XC7A100T": "finn_kws_w3a3_arty"},
        "kws_mlp_w3a3",
        "w=int3,a=int3",
    ),
}
#: Parts that FINN's own network ran on.
_CNV: Final = {"XC7Z020": "xc7z020", "XC7A100T": "xc7a100t"}
#: Submitter or system -> why its rows are not predicted.
_UNKNOWN: Final = (
    (r"RN0[78]", "what hls4ml's streamed convolutions of a stride take is not published"),
    (r"kai_jiang|ANPU", "the accelerator's array and tiling are not published"),
)


def fpga_case(
    devices: Sequence[str | Path], row: CsvRow, name: str, latency_s: float | None
) -> ValidationCase:
    """Return the case of a row of an FPGA: its latency, where the design is published."""
    part, net = row.get("soc_key"), row.get("benchmark")
    who = f"{row.get('submitter')} {row.get('framework')}".lower()
    if latency_s is None:
        return ValidationCase(name, part, group=net, reason="no latency")
    system = row.get("system")
    opened = next((design for mark, design in _OPEN.items() if has_words(system, mark)), None)
    if row.get("division") == "open" and opened is not None and part in opened[0]:
        machine = pm.hardware(opened[0][part], devices).machine()
        quantity = MeasuredQuantity("latency_s", "latency_s", latency_s, pm.workload(opened[1]))
        return ValidationCase(
            name, part, machine, (quantity,), opened[2], machine.runtime.name, group=net
        )
    if row.get("division") == "open" and has_words(row.get("system"), "CNV-W1A1") and part in _CNV:
        quantity = MeasuredQuantity("latency_s", "latency_s", latency_s, cnv())
        return ValidationCase(
            name, part, board(_CNV[part]), (quantity,), PRECISION, "finn", group=net
        )
    if not has_words(who, "fpgaconvnet") or row.get("division") != "closed":
        return ValidationCase(name, part, group=net, reason=_why(row))
    name_of = _BOARDS.get(part) or re.sub(r"[^a-z0-9]+", "_", row.get("system").lower())
    try:
        machine = pm.hardware(f"fpgaconvnet_{name_of}_{net}", devices).machine()
    except InputError as error:
        return ValidationCase(
            name, part, group=net, reason=f"no published design: {error.faults[0]}"
        )
    quantity = MeasuredQuantity(
        "latency_s", "latency_s", latency_s, pm.workload(f"mlperf_tiny_{net}")
    )
    return ValidationCase(name, part, machine, (quantity,), "int8", "fpgaconvnet", group=net)


def is_fpga(machine: pm.Machine) -> bool:
    """Return whether a machine is a design on an FPGA, which no library's constants describe."""
    return machine.device.engine(machine.engine).kind == "fpga"


def _why(row: CsvRow) -> str:
    text = f"{row.get('submitter')} {row.get('system')} {row.get('accelerator')}"
    known = (why for pattern, why in _UNKNOWN if re.search(pattern, text))
    return next(known, "a design on an FPGA that is not published")
