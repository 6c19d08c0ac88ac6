"""Accelerators whose memories and access costs are published, as hierarchies.

All are examples of ZigZag 3.9.1 (KU Leuven; its ``inputs/hardware`` and ``inputs/mapping``): arrays
and memories shaped like those of well-known chips, with the joules an access that ZigZag gives
them. They are not measurements of these chips.
"""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.cost.mapping.hierarchy import (
    ArrayDimension,
    Dim,
    Direction,
    Hierarchy,
    MemoryLevel,
    Operand,
    Port,
)

_PJ = 1e-12
_INPUT: tuple[tuple[Operand, Direction], ...] = (("input", "feed"), ("input", "fill"))
_WEIGHT: tuple[tuple[Operand, Direction], ...] = (("weight", "feed"), ("weight", "fill"))
_OUTPUT: tuple[tuple[Operand, Direction], ...] = (
    ("output", "feed"), ("output", "drain"), ("output", "fill"), ("output", "collect"),
)  # fmt: skip
_READS: tuple[Direction, ...] = ("feed", "drain")


def tpu_like() -> Hierarchy:
    """A systolic array of 32 x 32 units, weights from DRAM, inputs and outputs in 2 MB of SRAM."""
    array = _array(("D1", 32, {"out_channels": 32}), ("D2", 32, {"in_channels": 32}), systolic=True)
    return _accelerator(
        "tpu_like", array, 0.04,
        _registers("rf_128B", 128, (0.095, 0.095), 8, _WEIGHT),
        _registers("rf_2B", 2, (0.021, 0.021), 16, _OUTPUT),
        _sram("sram_2MB", 2**21, (416.16, 378.4), 2048, _INPUT + _OUTPUT, "D1 D2"),
        _dram("D1 D2"),
    )  # fmt: skip


def edge_tpu_like() -> Hierarchy:
    """8 x 8 channels by 4 x 4 positions, 32 KB for weights, 2 MB for inputs and outputs."""
    dims = "D1 D2 D3 D4"
    array = _array(
        ("D1", 8, {"out_channels": 8}), ("D2", 8, {"in_channels": 8}),
        ("D3", 4, {"out_columns": 4}), ("D4", 4, {"out_rows": 4}),
    )  # fmt: skip
    return _accelerator(
        "edge_tpu_like", array, 0.04,
        _registers("rf_1B", 1, (0.01, 0.01), 8, _WEIGHT, "D3 D4"),
        _registers("rf_2B", 2, (0.02, 0.02), 16, _OUTPUT, "D2"),
        _sram("sram_32KB", 2**15, (22.9, 52.01), 512, _WEIGHT, dims),
        _sram("sram_2MB", 2**21, (416.16, 378.4), 2048, _INPUT + _OUTPUT, dims),
        _dram(dims),
    )  # fmt: skip


def meta_prototype_like() -> Hierarchy:
    """32 x 2 channels by 4 x 4 positions, local buffers below 1 MB for weights and for the rest."""
    dims = "D1 D2 D3 D4"
    array = _array(
        ("D1", 32, {"out_channels": 32}), ("D2", 2, {"in_channels": 2}),
        ("D3", 4, {"out_columns": 4}), ("D4", 4, {"out_rows": 4}),
    )  # fmt: skip
    return _accelerator(
        "meta_prototype", array, 0.04,
        _registers("rf_1B", 1, (0.01, 0.01), 8, _WEIGHT, "D3 D4"),
        _registers("rf_2B", 2, (0.02, 0.02), 16, _OUTPUT, "D2"),
        _sram("sram_64KB", 2**16, (26.56, 30.8), 512, _WEIGHT, dims),
        _sram("sram_32KB", 2**15, (13.28, 15.4), 256, _INPUT, dims),
        _sram("sram_1MB_A", 2**20, (208.08, 189.2), 1024, _INPUT + _OUTPUT, dims),
        _sram("sram_1MB_W", 2**20, (208.08, 189.2), 1024, _WEIGHT, dims),
        _dram(dims),
    )  # fmt: skip


def ascend_like() -> Hierarchy:
    """16 x 16 channels by 2 x 2 positions, a buffer an operand below 1 MB for weights and the rest.

    DRAM serves two of the four dimensions only, as in ZigZag's file; the buffers serve all.
    """
    dims = "D1 D2 D3 D4"
    array = _array(
        ("D1", 16, {"out_channels": 16}), ("D2", 16, {"in_channels": 16}),
        ("D3", 2, {"out_columns": 2}), ("D4", 2, {"out_rows": 2}),
    )  # fmt: skip
    return _accelerator(
        "ascend_like", array, 0.04,
        _registers("rf_1B", 1, (0.01, 0.01), 8, _WEIGHT, "D3 D4"),
        _registers("rf_2B", 2, (0.02, 0.02), 16, _OUTPUT, "D2"),
        _sram("rf_64KB_I", 2**13, (26.56, 30.72), 512, _INPUT, dims),
        _sram("rf_64KB_W", 2**13, (50.16, 108.0), 2048, _WEIGHT, dims),
        _sram("sram_256KB_O", 2**18, (123.2, 212.8), 2048, _OUTPUT, dims),
        _sram("sram_1MB_A", 2**20, (465.6, 825.6), 4096, _INPUT + _OUTPUT, dims),
        _sram("sram_1MB_W", 2**20, (465.6, 825.6), 4096, _WEIGHT, dims),
        _dram("D1 D2"),
    )  # fmt: skip


def tesla_npu_like() -> Hierarchy:
    """32 channels by 8 x 4 positions, 1 KB for inputs and for weights, 1 MB behind each."""
    dims = "D1 D2 D3"
    array = _array(
        ("D1", 32, {"out_channels": 32}), ("D2", 32, {"out_columns": 8}), ("D3", 4, {"out_rows": 4})
    )
    return _accelerator(
        "npu_like", array, 0.04,
        _registers("rf_1B", 1, (0.01, 0.01), 8, _WEIGHT, "D2 D3"),
        _registers("rf_4B", 4, (0.022, 0.022), 16, _OUTPUT),
        _sram("sram_1KB_I", 2**10, (4.78, 5.59), 256, _INPUT, dims),
        _sram("sram_1KB_W", 2**10, (4.78, 5.59), 256, _WEIGHT, dims),
        _sram("sram_1MB_A", 2**20, (208.08, 189.2), 1024, _INPUT + _OUTPUT, dims),
        _sram("sram_1MB_W", 2**20, (208.08, 189.2), 1024, _WEIGHT, dims),
        _dram(dims),
    )  # fmt: skip


def eyeriss_like() -> Hierarchy:
    """14 x 12 units with registers for every operand, as ZigZag has it: channels on both sides.

    Not the row-stationary dataflow of the chip; see the kind ``spatial`` for that.
    """
    array = _array(("D1", 14, {"out_channels": 14}), ("D2", 12, {"in_channels": 12}))
    output = (_port(24, 24, _some(_OUTPUT, True)), _port(24, 24, _some(_OUTPUT, False)))
    return _accelerator(
        "eyeriss_like", array, 0.5,
        _registers("rf_64B_A", 64, (1.0, 1.5), 8, _INPUT),
        _registers("rf_64B_W", 64, (1.0, 1.5), 8, _WEIGHT),
        MemoryLevel("rf_16B", 16, 1.5 * _PJ, 2.0 * _PJ, output),
        _one_port("sram_8KB", 2**13, (10, 15), 128, _OUTPUT, "D1 D2"),
        _sram("sram_64KB", 2**16, (20, 25), 128, _WEIGHT, "D1 D2", granule=128),
        _one_port("sram_1M", 2**20, (100, 130), 384, _INPUT + _OUTPUT, "D1 D2"),
        _dram("D1 D2", (1000, 1000)),
    )  # fmt: skip


#: All of them, by the name that ZigZag gives their files.
KNOWN: dict[str, Callable[[], Hierarchy]] = {
    "tpu_like": tpu_like,
    "edge_tpu_like": edge_tpu_like,
    "meta_prototype_like": meta_prototype_like,
    "ascend_like": ascend_like,
    "tesla_npu_like": tesla_npu_like,
    "eyeriss_like": eyeriss_like,
}

_Uses = tuple[tuple[Operand, Direction], ...]


def _accelerator(
    name: str, array: tuple[ArrayDimension, ...], mac_pj: float, *levels: MemoryLevel
) -> Hierarchy:
    return Hierarchy(levels, array, mac_pj * _PJ, name)


def _array(
    *dims: tuple[str, int, dict[Dim, int]], systolic: bool = False
) -> tuple[ArrayDimension, ...]:
    return tuple(
        ArrayDimension(name, units, tuple(loops.items()), systolic) for name, units, loops in dims
    )


def _port(width: float, granule: float, uses: _Uses) -> Port:
    return Port(width, granule, uses)


def _some(uses: _Uses, reads: bool) -> _Uses:
    return tuple(use for use in uses if (use[1] in _READS) == reads)


def _registers(
    name: str, size: float, cost: tuple[float, float], bits: float, uses: _Uses, serves: str = ""
) -> MemoryLevel:
    """A port for every transfer."""
    ports = tuple(_port(bits, bits, (use,)) for use in uses)
    return MemoryLevel(name, size, cost[0] * _PJ, cost[1] * _PJ, ports, tuple(serves.split()))


def _sram(
    name: str, size: float, cost: tuple[float, float], bits: float, uses: _Uses, serves: str,
    granule: float = 64,
) -> MemoryLevel:  # fmt: skip
    """A port to read and one to write."""
    ports = (_port(bits, granule, _some(uses, True)), _port(bits, granule, _some(uses, False)))
    return MemoryLevel(name, size, cost[0] * _PJ, cost[1] * _PJ, ports, tuple(serves.split()))


def _one_port(
    name: str, size: float, cost: tuple[float, float], bits: float, uses: _Uses, serves: str
) -> MemoryLevel:
    """One port for everything."""
    ports = (_port(bits, bits, uses),)
    return MemoryLevel(name, size, cost[0] * _PJ, cost[1] * _PJ, ports, tuple(serves.split()))


def _dram(serves: str, cost: tuple[float, float] = (700, 750)) -> MemoryLevel:
    return _one_port("dram", 1.25e9, cost, 64, _INPUT + _WEIGHT + _OUTPUT, serves)
