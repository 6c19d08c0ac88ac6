"""Reads of flash storage by size and number in flight, beside the law of `perfmodel.kinds.storage`.

A row is predicted as a network that reads one matrix from that storage as its main memory; the bare
roofline is then the interface's bandwidth.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from perfmodel.errors import Fault
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine, Peak
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

NAME = "flash_read"
TITLE = "Reads of flash storage by block and queue depth"
#: Where its file lies.
PLACES = ("measured/flash_read.csv", "flash_read.csv")
TARGET = "bandwidth_bytes_per_s"

#: How a device's name starts in the file -> device of the library, and its memory.
STORAGE = {"OnePlus 15R UFS 4.x (phone)": ("ufs_4_phone", "storage")}

#: Rows and columns of the matrix that is read: 1 GiB in fp32.
_EXTENT = 16384

_COLUMNS = ("device", "pattern", "block_kib", "parallel_lanes_or_qd", "mib_s")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; writes, and drives that the library lacks, have a reason."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        cases = [_case(rows, row, devices, faults) for row in rows]
    notes = ("two sessions of the phone differ by 13 % at the same block and lanes",)
    return Cases(NAME, cases, primary=TARGET, notes=(*notes, *note))


def _case(
    rows: CsvTable, row: CsvRow, devices: Sequence[str | Path], faults: list[Fault]
) -> ValidationCase:
    drive = row.get("device")
    block = rows.number(row, "block_kib", faults, scale=2.0**10)
    depth = rows.number(row, "parallel_lanes_or_qd", faults)
    rate = rows.number(row, "mib_s", faults, scale=2.0**20)
    shown = "?" if depth is None else f"{depth:g}"
    name = f"{row.get('block_kib')} KiB x {shown}"
    found = STORAGE.get(drive)
    reason = ""
    if "write" in row.get("pattern").lower():
        reason = "a write: the library's devices state reads"
    elif found is None:
        reason = "no device of the library has this drive"
    elif block is None or depth is None:
        reason = "the block or the number in flight is not stated"
    elif rate is None:
        reason = "no bandwidth was measured"
    if reason or found is None or block is None or depth is None or rate is None:
        return ValidationCase(name, drive, reason=reason)
    machine = storage_alone(hardware(found[0], devices), found[1], block, depth)
    question = MeasuredQuantity(TARGET, TARGET, rate, reading())
    return ValidationCase(name, drive, machine, (question,), "fp32", "ideal",
                group=f"{row.get('block_kib')} KiB")  # fmt: skip


def storage_alone(device: Device, memory: str, block: float, depth: float) -> Machine:
    """Return a machine that does nothing but read from one storage of a device.

    Parameters
    ----------
    block
        Bytes a request.
    depth
        Requests in flight.
    """
    storage = device.memory(memory).model_copy(update={"roles": ("main",), "feeds": ("reader",)})
    # Fast enough that reading is all that takes time.
    reader = Engine(name="reader", peaks={"fp32": Peak(value=1e20)})
    alone = Device(name=f"{device.name}_{memory}", sources=device.sources, engines=(reader,),
                   memories=(storage,))  # fmt: skip
    head = f"memories.{memory}."
    return alone.machine("ideal").vary({head + "block": block, head + "depth": depth})


@lru_cache(maxsize=1)
def reading() -> Workload:
    """Return a network that reads one large matrix once."""

    def build(semantics: ExecutionSemantics) -> Graph:
        del semantics
        g = GraphBuilder("reading")
        g.output(g.linear(g.input("x", (1, _EXTENT)), _EXTENT, bias=False))
        return g.build()

    return Workload("reading", build, {})
