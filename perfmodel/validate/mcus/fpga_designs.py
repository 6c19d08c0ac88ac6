"""Which designs of MLPerf Tiny's FPGAs are public, and the cases of their rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.measurements import Row
from perfmodel.validate.case import Case, Question
from perfmodel.workload.library import find

__all__ = ["fpga_case"]

#: Boards that fpgaConvNet was submitted on, by part and by what the row calls the system.
_BOARDS: Final = {
    "XC7Z007S": "cora_z7", "XC7Z010": "zybo", "XC7Z020": "zedboard", "XC7Z045": "zc706",
}  # fmt: skip
#: Submitter or system -> why its rows are not predicted.
_UNKNOWN: Final = (
    (r"RN0[78]", "what hls4ml's streamed convolutions of a stride take is not published"),
    (r"kai_jiang|ANPU", "the accelerator's array and tiling are not published"),
)


def fpga_case(
    devices: Sequence[str | Path], row: Row, name: str, latency_s: float | None
) -> Case:  # fmt: skip
    """Return the case of a row of an FPGA: its latency, where the design is published."""
    part, net = row.get("soc_key"), row.get("benchmark")
    who = f"{row.get('submitter')} {row.get('framework')}".lower()
    if latency_s is None:
        return Case(name, part, group=net, reason="no latency")
    if "fpgaconvnet" not in who or row.get("division") != "closed":
        return Case(name, part, group=net, reason=_why(row))
    board = _BOARDS.get(part) or re.sub(r"[^a-z0-9]+", "_", row.get("system").lower())
    try:
        machine = hardware(f"fpgaconvnet_{board}_{net}", devices).machine()
    except InputError as error:
        return Case(name, part, group=net, reason=f"no published design: {error.faults[0]}")
    question = Question("latency_s", "latency_s", latency_s, find(f"mlperf_tiny_{net}", {}))
    return Case(name, part, machine, (question,), "int8", "fpgaconvnet", group=net)


def _why(row: Row) -> str:
    text = f"{row.get('submitter')} {row.get('system')} {row.get('accelerator')}"
    known = (why for pattern, why in _UNKNOWN if re.search(pattern, text))
    return next(known, "a design on an FPGA that is not published")
