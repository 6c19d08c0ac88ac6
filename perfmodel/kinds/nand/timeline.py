"""One flash channel of a prediction, as input of the event simulation.

`split` has the time of a matrix in closed form; `events` simulates the requests and page reads of a
single channel. These functions take the geometry of a machine's flash and the tile of a matrix to
the parameters of that simulation, for charts and for tests of the closed form.
"""

from __future__ import annotations

from perfmodel.hardware.fact_views import memory_view
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.nand.events import FlashChannel
from perfmodel.kinds.nand.geometry import Flash, FlashMatrix, published_columns, tile
from perfmodel.kinds.nand.spec import InFlashCompute, NandFlash, flash_from


def geometry(machine: Machine) -> Flash:
    """Return the geometry of a machine's flash and cores.

    Parameters
    ----------
    machine
        Has an engine of kind ``nand``, and plain numbers as facts.
    """
    memory = memory_view(NandFlash, machine.facts, weights_memory(machine))
    return flash_from(memory, machine.engine_as(InFlashCompute, "nand"))


def weights_memory(machine: Machine) -> str:
    """Return the name of the memory that stores the weights."""
    named = [m.name for m in machine.device.memories if "weights" in m.roles]
    return (named or [machine.main_memory])[0]


def channel_of(
    flash: Flash,
    matrix: FlashMatrix,
    *,
    columns: float = 0.0,
    pieces: int = 16,
    requests_first: bool = True,
) -> FlashChannel:
    """Return the parameters of one channel that multiplies by a matrix.

    Parameters
    ----------
    flash, matrix
        Plain numbers.
    columns
        Columns of the tile; 0 for the published rule.
    pieces, requests_first
        As in `FlashChannel`.
    """
    each = columns / flash.channels if columns else published_columns(flash, matrix)
    shape = tile(flash, matrix, each)
    lane = flash.bandwidth / flash.channels
    vectors = matrix.vectors
    return FlashChannel(
        int(flash.dies),
        float(flash.read_time),
        float(vectors * shape.columns_each * matrix.value / lane),
        float(vectors * shape.rows / flash.dies * matrix.result / lane),
        float(vectors * flash.core_time),
        float(flash.sent / lane),
        pieces,
        requests_first,
    )
