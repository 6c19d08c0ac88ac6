"""Boards of Vitis AI's tables as devices of the library, with the cores and clock of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine

__all__ = ["Board", "Boards"]


class _Known(NamedTuple):
    board: str
    device: str
    runtime: str
    #: What the column of the configuration must have.
    config: str = ""
    #: Runtime of several threads; that of one, without the processor's part, where it has a name.
    threads: str = "vitis_ai_threads"
    #: Whether a configuration's kernels are cores of several images, or engines of one image each.
    cores: bool = False


#: Patterns of the columns ``board``, as `_plain` writes it, and of its configuration -> device and
#: runtimes; the first that is found.
_BOARDS: Final = (
    _Known(r"KV260|KRIA", "kv260", "vitis_ai"),
    _Known(r"ZCU102", "zcu102", "vitis_ai_1_4", r"B\d+.*V1\.[0-4]"),
    _Known(r"ZCU102", "zcu102", "vitis_ai"),
    _Known(r"ZCU104", "zcu104", "vitis_ai_1_4", r"B\d+.*V1\.[0-4]"),
    _Known(r"ZCU104", "zcu104", "vitis_ai"),
    _Known(r"ULTRA96", "ultra96_dpu", "vitis_ai_1_4", r"B\d+.*V1\.[0-4]"),
    _Known(r"ULTRA96", "ultra96_dpu", "vitis_ai"),
    _Known(r"U55", "u55c_dpu", "vitis_ai_alveo", r"DPUCAHX8H", "vitis_ai_alveo_threads"),
    _Known(r"U50", "u50lv_dpu", "vitis_ai_alveo", r"DPUCAHX8H", "vitis_ai_alveo_threads"),
    _Known(r"U200", "u200_dpu", "vitis_ai_alveo_ddr", r"DPUCADF8H",
           "vitis_ai_alveo_ddr_threads", cores=True),
    _Known(r"U250", "u250_dpu", "vitis_ai_alveo_ddr", r"DPUCADF8H",
           "vitis_ai_alveo_ddr_threads", cores=True),
    _Known(r"VCK5000", "vck5000_dpu", "vitis_ai_vck5000", "", "vitis_ai_vck5000_threads"),
    _Known(r"VCK190", "vck190_dpu", "vitis_ai_versal", "", "vitis_ai_versal_threads"),
    _Known(r"VEK280", "vek280_dpu", "vitis_ai_3_5", "", "vitis_ai_3_5_threads"),
    _Known(r"V70", "v70_dpu", "vitis_ai_3_5", "", "vitis_ai_3_5_threads"),
)  # fmt: skip
#: A configuration's cores and clock, such as ``3  B4096  @ 281MHz``.
_CORES: Final = re.compile(r"(\d+)\s+B\d+F?\s*@\s*(\d+)\s*MHz", re.IGNORECASE)
#: Architectures of a DPUCZDX8G: pixels, input and output channels (PG338).
_ARCHITECTURES: Final = {
    "B512": (4, 8, 8), "B800": (4, 10, 10), "B1024": (8, 8, 8), "B1152": (4, 12, 12),
    "B1600": (8, 10, 10), "B2304": (8, 12, 12), "B3136": (8, 14, 14), "B4096": (8, 16, 16),
}  # fmt: skip
_ARCHITECTURE: Final = re.compile(r"\bB\d{3,4}")
#: Engines that work on an image each, such as ``8PE@350`` or ``11 DPUCAHX8H-DWC kernels``.
_ENGINES: Final = re.compile(r"(\d+)\s*(?:PE@|DPUC\w+(?:-DWC)?\s+kernels)")
#: AI Engines of a DPUCVDX8G, 32 an image: ``192 AIEs``, or ``C32B6``.
_AI_ENGINES: Final = re.compile(r"(\d+)\s*AIEs?\b", re.IGNORECASE)
_BATCH: Final = re.compile(r"\bC32B(\d+)")


@dataclass(frozen=True, slots=True)
class Board:
    """What a row ran on.

    Attributes
    ----------
    one, several
        Machines of one thread, and of as many as keep all cores busy.
    together
        Images that one thread gives a core at a time.
    images
        Images that run at once with several threads.
    """

    one: Machine
    several: Machine
    together: int
    images: int


class Boards:
    """Machines of rows, each made once."""

    def __init__(self, devices: Sequence[str | Path]) -> None:
        self._devices = devices
        self._made: dict[tuple[str, str], Board | str] = {}

    def of(self, board: str, config: str) -> Board | str:
        """Return the machines of a board under a configuration, or why there are none."""
        key = (board, config)
        if key not in self._made:
            self._made[key] = self._make(board, config)
        return self._made[key]

    def _make(self, board: str, config: str) -> Board | str:
        known = next(
            (k for k in _BOARDS if re.search(k.board, _plain(board))
             and re.search(k.config, config, re.IGNORECASE)), None
        )  # fmt: skip
        if known is None:
            return f"no device for {board} with this configuration"
        try:
            device = hardware(known.device, self._devices)
        except InputError as error:
            return str(error.faults[0])
        changes: dict[str, float] = {}
        found = _CORES.search(config)
        if found:
            changes["engines.dpu.units"] = float(found[1])
            changes["engines.dpu.clock"] = float(found[2]) * 1e6
        named = _ARCHITECTURE.search(config)
        if named and named[0] in _ARCHITECTURES:
            sides = ("pixels", "input_channels", "output_channels")
            for side, width in zip(sides, _ARCHITECTURES[named[0]], strict=True):
                changes[f"engines.dpu.design.{side}"] = float(width)
        engines = _engines(config)
        if engines and known.cores:
            changes["engines.dpu.units"] = float(engines)
        elif engines:
            whole = device.machine(known.threads)
            cores = whole["engines.dpu.units"]
            if engines % int(cores):
                cores = changes["engines.dpu.units"] = 1.0
            changes["engines.dpu.design.images"] = engines / cores
            if "memories.maps.capacity" in whole.facts:
                share = engines / cores / whole["engines.dpu.design.images"]
                changes["memories.maps.capacity"] = whole["memories.maps.capacity"] * share
        one, several = (
            device.machine(name).vary(changes) for name in (known.runtime, known.threads)
        )
        together = one["engines.dpu.design.images"]
        return Board(one, several, int(together), int(one["engines.dpu.units"] * together))


def _plain(board: str) -> str:
    """Return a board's name in capitals, without what stands between letters and digits."""
    return re.sub(r"[^A-Z0-9]", "", board.upper())


def _engines(config: str) -> int:
    """Return how many images a configuration works on at once; 0 where it does not say."""
    found = _ENGINES.search(config) or _BATCH.search(config)
    if found:
        return int(found[1])
    found = _AI_ENGINES.search(config)
    return int(found[1]) // 32 if found and int(found[1]) % 32 == 0 else 0
