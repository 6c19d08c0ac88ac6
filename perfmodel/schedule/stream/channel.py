"""Channels that weights are streamed from, and the seconds of a load.

``latency + size / bandwidth`` for most memories; storage behind a command queue serves few requests
more slowly (`perfmodel.kinds.storage`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.errors import InputError, not_among
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.storage import batch_time
from perfmodel.prediction import Prediction

#: Kinds of storage read by commands, whose cost for few requests is modelled.
_COMMAND_STORAGE = frozenset({"ufs", "emmc", "sd", "nvme"})


@dataclass(frozen=True, slots=True)
class StreamChannel:
    """Memory that weights are streamed from.

    Attributes
    ----------
    name
        Name of the memory.
    bandwidth_bytes_per_s
        Bandwidth of a long read.
    latency_s
        Latency before the first byte of a load.
    block_bytes, depth, command_s, command_rate, lane_bytes_per_s, pipelined
        Parameters of storage behind a command queue (`perfmodel.kinds.storage`): a load that cannot
        fill the queue is slower; 0 bytes per block for other memories.
    interface_bytes_per_s
        Bandwidth of the interface of such storage.
    energy_j_per_byte
        Energy per byte read; NaN if not stated.
    """

    name: str
    bandwidth_bytes_per_s: float
    latency_s: float = 0.0
    block_bytes: float = 0.0
    depth: float = 1.0
    command_s: float = 0.0
    command_rate: float | None = None
    lane_bytes_per_s: float | None = None
    pipelined: bool = False
    interface_bytes_per_s: float = 0.0
    energy_j_per_byte: float = float("nan")

    def seconds(self, size_bytes: float, pieces: float = 0.0) -> float:
        """Return the seconds of a load that must be complete before its data is used.

        ``latency_s + size_bytes / bandwidth_bytes_per_s`` for memories without blocks; for storage
        the batch time of its read requests (`perfmodel.kinds.storage`).

        Parameters
        ----------
        size_bytes
            Size of the load in bytes.
        pieces
            Number of read requests, if known; by default the number of blocks.
        """
        if size_bytes <= 0.0:
            return 0.0
        if not self.block_bytes:
            return self.latency_s + size_bytes / self.bandwidth_bytes_per_s
        count = pieces or max(1.0, float(np.ceil(size_bytes / self.block_bytes - 1e-9)))
        return float(
            batch_time(
                count,
                size_bytes / count,
                self.depth,
                self.command_s,
                self.interface_bytes_per_s,
                commands=self.command_rate,
                lane=self.lane_bytes_per_s,
                pipelined=self.pipelined,
            )
        )


def channel_of(prediction: Prediction, name: str) -> StreamChannel:
    """Return the channel of a memory of the prediction's device.

    Raises
    ------
    InputError
        No such memory feeds the engine.
    """
    setting = prediction.setting
    machine = prediction.machine
    memories = {m.name: m for m in machine.hierarchy(setting.engine_name)}
    faults = not_among(f"no memory '{name}' feeds the engine", name, memories, "source")
    if faults:
        raise InputError(faults)
    head = f"memories.{name}."

    def fact(field: str) -> float | None:
        value = setting.fact(head + field)
        return None if value is None else first_number(value)

    rate = first_number(bandwidth(setting, name))
    energy = fact("energy_per_byte")
    joule = float("nan") if energy is None else energy
    if memories[name].kind not in _COMMAND_STORAGE:
        return StreamChannel(name, rate, fact("latency") or 0.0, energy_j_per_byte=joule)
    raw = (fact("bandwidth") or rate) * (fact("sustained_fraction") or 1.0)
    return StreamChannel(
        name,
        rate,
        0.0,
        fact("block") or 0.0,
        fact("depth") or 1.0,
        fact("command_latency") or 0.0,
        fact("commands_per_s"),
        fact("lane_bandwidth"),
        memories[name].kind == "nvme",
        raw,
        joule,
    )
