"""Spec of flash that computes, and of the processor that it feeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault
from perfmodel.hardware.device_checks import at_most, field_of, list_field, si_value
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.field_types import (
    ONE,
    Bandwidth,
    ComputeRate,
    Count,
    EnergyPerByte,
    PositiveSize,
    PositiveTime,
)
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.kinds.nand.geometry import Flash, Tiling
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show


class NandFlash(Memory):
    """NAND flash with its geometry; `bandwidth` is that of all channels together."""

    SCALES: ClassVar[Mapping[str, tuple[str, ...]]] = {"channels": ("bandwidth",)}
    """Facts that scale when another is varied."""

    channels: Count
    """Buses to the engine or memory that it feeds."""
    chips: Count = ONE
    """Chips per channel."""
    dies: Count = ONE
    """Dies per chip."""
    planes: Count = ONE
    """Planes per die: arrays that read pages independently."""
    page: PositiveSize
    """Bytes of a page, spare area excluded."""
    sent: PositiveSize | None = None
    """Bytes on the channel per page, spare area included where error correction is done at the
    other end; the page only if left out."""
    read_time: PositiveTime
    """Time to read a page from the cells into the page register (tR)."""
    link_bandwidth: Bandwidth | None = None
    """Bandwidth between the channels and their destination, where that is narrower (PCIe)."""
    read_energy: EnergyPerByte | None = None
    """Energy of reading a byte from the cells; `energy_per_byte` is that of the channels."""
    piece: PositiveSize | None = None
    """Bytes for which a read occupies its channel (read slicing); no waiting if left out."""

    @staticmethod
    def device_flaws(device: Any, index: int) -> Iterator[Flaw]:
        """Yield flaws of pages that lose bytes on the channel, and of pieces larger than a page."""
        flash = list_field(device, "memories")[index]
        at = ("memories", index)
        yield from at_most(flash, "piece", "page", "bytes", at)
        page, sent = (
            si_value(field_of(flash, "page"), "bytes"),
            si_value(field_of(flash, "sent"), "bytes"),
        )
        if page and sent and sent < page:
            yield Flaw(
                (*at, "sent"),
                f"{show(sent, 'bytes')} is less than a page",
                f"at least {show(page, 'bytes')}",
            )


class InFlashCompute(Engine):
    """A processor with flash dies that multiply; the peaks are the processor's.

    The weights are stored in a memory of kind ``nand`` with the role ``weights``.
    """

    cores: Count = ONE
    """Cores per die, at most one per plane."""
    core_rate: ComputeRate
    """Rate of a core in 8-bit operations; narrower weights are processed at the same rate in
    bytes."""
    correction_rate: Bandwidth | None = None
    """Throughput of a core's error correction, bytes per second."""
    core_energy: EnergyPerByte | None = None
    """Energy of correcting and multiplying a byte of weights in a die."""
    result_bits: Count | None = None
    """Bits of a partial sum as it leaves the die; those of the activations if left out."""
    tiling: Tiling = "best"
    """Rule for the width of tiles: the fastest power of two for each matrix (best), the width with
    the least traffic for any matrix (published), or the same but no wider than the matrix
    (narrowed)."""
    tile_columns: Count | None = None
    """Columns of every tile; `tiling` decides if left out."""

    @staticmethod
    def device_flaws(device: Any, index: int) -> Iterator[Flaw]:
        """Yield flaws of weights stored outside flash, and of more cores than planes."""
        engine = list_field(device, "engines")[index]
        memories = list_field(device, "memories")
        at = [i for i, memory in enumerate(memories) if "weights" in list_field(memory, "roles")]
        if not at:
            yield Flaw(
                ("engines", index),
                "no memory has the role 'weights'",
                "a memory of kind nand with the role 'weights'",
            )
            return
        flash = memories[at[0]]
        if field_of(flash, "kind") != "nand":
            message = f"'{field_of(flash, 'name')}' has the role 'weights', and is no NAND flash"
            yield Flaw(("memories", at[0], "kind"), message, "nand")
            return
        cores = si_value(field_of(engine, "cores"), "count") or 1.0
        planes = si_value(field_of(flash, "planes"), "count") or 1.0
        if cores > planes:
            yield Flaw(
                ("engines", index, "cores"),
                f"{cores:g} cores on {planes:g} planes a die",
                f"at most {planes:g}",
            )


def read_bandwidth(setting: Setting, level: str) -> Value:
    """Return the read bandwidth through the channels, bytes per second.

    The minimum over the channels, the link behind them and the cells, where every plane reads a
    page in ``read_time``.
    """
    memory = setting.memory(level, NandFlash)
    planes = memory.channels * memory.chips * memory.dies * memory.planes
    share = memory.page / or_else(memory.sent, memory.page)
    cells = planes * memory.page / memory.read_time
    out = setting.xp.minimum(memory.bandwidth * share, cells)
    link = memory.link_bandwidth
    return out if link is None else setting.xp.minimum(out, link * share)


def limit_faults(memory: NandFlash, engine: InFlashCompute, where: str, owner: str) -> list[Fault]:
    """Return faults of varied facts that are inconsistent with each other.

    Parameters
    ----------
    memory, engine
        Facts of the flash and of the engine.
    where, owner
        Their names.
    """
    page, head = memory.page, f"memories.{where}."
    pairs: tuple[tuple[str, Any, str, str, Any], ...] = (
        (f"engines.{owner}.cores", engine.cores, "at most", head + "planes", memory.planes),
        (head + "piece", or_else(memory.piece, 0.0), "at most", head + "page", page),
        (head + "sent", or_else(memory.sent, page), "at least", head + "page", page),
    )
    faults: list[Fault] = []
    for path, value, how, other, bound in pairs:
        wrong = np.greater(value, bound) if how == "at most" else np.less(value, bound)
        if np.any(wrong):
            low, high = (np.broadcast_to(v, np.shape(wrong))[wrong].flat[0] for v in (value, bound))
            faults.append(Fault(f"{low:g} with {other} of {high:g}", path, expected=f"{how} that"))
    return faults


def flash_from(memory: NandFlash, engine: InFlashCompute) -> Flash:
    """Return the geometry of a memory of kind ``nand`` and of the cores of its dies.

    Parameters
    ----------
    memory, engine
        Facts of the flash and of the engine of kind ``nand``.
    """
    page, correction = memory.page, engine.correction_rate
    core = 2.0 * page / engine.core_rate
    if correction is not None:
        core = namespace(core, correction).maximum(core, page / correction)
    return Flash(
        memory.channels,
        memory.chips * memory.dies,
        engine.cores,
        memory.planes,
        page,
        or_else(memory.sent, page),
        memory.read_time,
        memory.bandwidth,
        or_else(memory.link_bandwidth, float("inf")),
        or_else(memory.piece, 0.0),
        core,
    )


register_memory("nand", NandFlash, read_bandwidth)
