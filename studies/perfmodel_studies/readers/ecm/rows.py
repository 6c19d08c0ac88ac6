"""Rows of the files: what was run, with which vectors and working set, and how long a line took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault
from perfmodel.measurement_csv import CsvTable, read_rows

__all__ = ["LEVELS", "MACHINES", "StreamRow", "likwid_rows", "stencil_rows", "zen4_rows"]

#: Node in the file -> device of the library.
MACHINES: Final = {
    "skylakesp2": "xeon_gold_6148_core",
    "casclakesp2": "xeon_gold_6248_core",
    "icx36": "xeon_platinum_8360y_core",
    "rome1": "epyc_7452_core",
    "milan1": "epyc_7543_core",
}
ZEN4: Final = "zen4_core"
LEVELS: Final = {"L1": "L1", "L2": "L2", "L3": "L3", "MEM": "DRAM"}
VECTORS: Final = {"avx": 32.0, "avx512": 64.0, "sse": 16.0}
#: Kinds of the memory benchmark -> kernel, arrays.
MEMBENCH: Final = {
    "read": ("load", 1),
    "write": ("store", 1),
    "copy": ("copy", 2),
    "triad": ("stream", 3),
}
#: Names in the stencil file -> kernel.
SWEEPS: Final = {"schoenauer_triad": "triad", "ddot": "ddot"}
STENCILS: Final = {
    "jacobi2d5pt": "jacobi_2d_5pt",
    "jacobi2d5pt_M18": "jacobi_2d_5pt",
    "stencil3d7pt": "jacobi_3d_7pt",
}
#: Rows of the grid of ``jacobi2d5pt_M18``.
_FEW = 18
#: Largest working set in KiB of a level on the Zen 4 core; what lies between two is an edge.
_BANDS: Final = (
    (32.0, "L1"),
    (63.0, "edge"),
    (512.0, "L2"),
    (1500.0, "edge"),
    (8192.0, "L3"),
    (130000.0, "edge"),
)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A measured row.

    Attributes
    ----------
    device
        Of the library.
    node
        As the file names the machine.
    kernel
        Of `perfmodel.workload.streaming.KERNELS`.
    level
        ``L1``, ``L2``, ``L3``, ``DRAM``, or ``edge`` between two of them.
    size
        Bytes of all arrays; 0 where the file gives the level alone.
    extents
        Free dimensions of a stencil.
    vector
        Bytes of a vector.
    cycles
        Clocks per line of results; or `seconds_per_line`, the other is 0.
    other
        Clocks per line that kerncraft's model gives; 0 where there is none.
    """

    device: str
    node: str
    kernel: str
    level: str
    size: float
    extents: tuple[tuple[str, float], ...]
    vector: float
    cycles: float
    seconds_per_line: float
    other: float = 0.0

    @property
    def name(self) -> str:
        """As reports name it."""
        if self.extents:
            shown = " x ".join(f"{value:g}" for _, value in self.extents)
            return f"{self.kernel} {shown}"
        where = f"{self.size / 1024:g} KiB" if self.size else self.level
        return f"{self.kernel} {where} {self.vector:g} B"


def likwid_rows(path: Path, faults: list[Fault]) -> list[StreamRow]:
    """Return the rows of ``ecm_model_vs_measured.csv``."""
    rows = read_rows(path)
    faults += rows.missing(
        ("machine", "isa", "kernel", "level", "ecm_cy_per_CL", "measured_cy_per_CL")
    )
    if faults:
        return []
    out: list[StreamRow] = []
    for row in rows:
        measured = rows.number(row, "measured_cy_per_CL", faults)
        other = rows.number(row, "ecm_cy_per_CL", faults)
        node = row.get("machine")
        out.append(
            StreamRow(
                MACHINES.get(node, node),
                node,
                row.get("kernel"),
                LEVELS.get(row.get("level"), row.get("level")),
                0.0,
                (),
                VECTORS.get(row.get("isa"), 0.0),
                measured or 0.0,
                0.0,
                other or 0.0,
            )
        )
    return out


def zen4_rows(bench: Path | None, sweeps: Path | None, faults: list[Fault]) -> list[StreamRow]:
    """Return the streaming rows of the Zen 4 core: its memory benchmark, and two sweeps."""
    out: list[StreamRow] = []
    if bench is not None:
        for kind, size, rate in _bench(bench, faults):
            kernel, arrays = MEMBENCH[kind]
            out.append(_zen4(kernel, size, 0.0, 64.0 * arrays / rate))
    if sweeps is not None:
        rows = read_rows(sweeps)
        faults += rows.missing(("kernel", "size", "cy_per_CL_min"))
        for row in rows:
            kernel = SWEEPS.get(row.get("kernel"))
            if kernel is not None:
                size, cycles = _sizes(rows, row, faults)
                out.append(_zen4(kernel, size, cycles, 0.0))
    return out


def stencil_rows(path: Path, faults: list[Fault]) -> list[StreamRow]:
    """Return the stencils of ``stencil_zen4_quiet.csv``."""
    rows = read_rows(path)
    faults += rows.missing(("kernel", "size", "cy_per_CL_min"))
    out: list[StreamRow] = []
    for row in rows:
        kernel = STENCILS.get(row.get("kernel"))
        if kernel is None:
            continue
        n, cycles = _sizes(rows, row, faults)
        if row.get("kernel").endswith("_M18"):
            extents = (("rows", float(_FEW)), ("columns", n))
        elif kernel == "jacobi_2d_5pt":
            extents = (("rows", n), ("columns", n))
        else:
            extents = (("planes", n), ("rows", n), ("columns", n))
        points = 1.0
        for _, extent in extents:
            points *= extent
        size = 16.0 * points
        out.append(
            StreamRow(ZEN4, "zen4", kernel, _band(size / 1024), size, extents, 64.0, cycles, 0.0)
        )
    return out


def _bench(path: Path, faults: list[Fault]) -> list[tuple[str, float, float]]:
    """Return (kind, KiB, bytes per second) of the benchmark's bandwidths.

    The file is three tables in one, of clocks, bandwidths and latencies, so it has no one header.
    """
    out: list[tuple[str, float, float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        kind, *cells = line.split(",")
        if kind not in MEMBENCH:
            continue
        try:
            size, rate = float(cells[0]), float(cells[1]) * 1e9
        except (IndexError, ValueError):
            faults.append(Fault("no size and bandwidth", path=f"{path}:{number}"))
            continue
        if size > 0 and rate > 0:
            out.append((kind, size, rate))
    return out


def _zen4(kernel: str, size_kib: float, cycles: float, seconds: float) -> StreamRow:
    return StreamRow(
        ZEN4, "zen4", kernel, _band(size_kib), size_kib * 1024, (), 64.0, cycles, seconds
    )


def _sizes(rows: CsvTable, row: object, faults: list[Fault]) -> tuple[float, float]:
    size = rows.number(row, "size", faults)  # pyright: ignore[reportArgumentType]
    cycles = rows.number(row, "cy_per_CL_min", faults)  # pyright: ignore[reportArgumentType]
    return size or 0.0, cycles or 0.0


def _band(size_kib: float) -> str:
    return next((name for largest, name in _BANDS if size_kib <= largest), "DRAM")
