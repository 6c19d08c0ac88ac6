"""Reader of ZigZag's accelerator and mapping files into hierarchies.

ZigZag's hardware files state sizes in bits and energies in picojoules per access of the widest
port, and name the operands I1, I2 and O. The mapping file states which loop is unrolled along which
array dimension, and which operand of the layer is I1, I2 and O. Latency and area of memories are
ignored, as in ZigZag's cost model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from perfmodel.cost.mapping.hierarchy import (
    ArrayDimension,
    Dim,
    Direction,
    Hierarchy,
    MemoryLevel,
    Operand,
    Port,
)
from perfmodel.errors import input_error
from perfmodel.specfile import shipped

_DIMS: dict[str, Dim] = {
    "B": "batch",
    "G": "groups",
    "K": "out_channels",
    "C": "in_channels",
    "OX": "out_columns",
    "OY": "out_rows",
    "FX": "kernel_columns",
    "FY": "kernel_rows",
}
_OPERANDS: dict[str, Operand] = {"W": "weight", "I": "input", "O": "output"}
_DIRECTIONS: dict[str, Direction] = {"tl": "feed", "fl": "collect", "th": "drain", "fh": "fill"}
_PJ = 1e-12


def from_zigzag(accelerator: Mapping[str, Any], mapping: Mapping[str, Any]) -> Hierarchy:
    """Return the hierarchy described by a pair of ZigZag files.

    Parameters
    ----------
    accelerator
        Contents of the hardware file: ``memories`` inner to outer, ``operational_array``.
    mapping
        One entry of the mapping file, usually ``default``: ``spatial_mapping`` and
        ``memory_operand_links``.

    Raises
    ------
    InputError
        For a missing key, or an unsupported loop, operand or transfer.
    """
    try:
        links: dict[str, Operand] = {
            str(memory): _OPERANDS[str(layer)]
            for layer, memory in mapping["memory_operand_links"].items()
        }
        array = accelerator["operational_array"]
        systolic = {str(dim) for dim in array.get("systolic_dimensions", ())}
        unrolled = mapping["spatial_mapping"]
        spread = tuple(
            ArrayDimension(
                name=str(dim),
                units=int(units),
                loops=tuple(
                    (_DIMS[loop], min(times, int(units)))
                    for loop, times in (_pair(item) for item in unrolled.get(dim, ()))
                    if times > 1
                ),
                systolic=str(dim) in systolic,
            )
            for dim, units in zip(array["dimensions"], array["sizes"], strict=True)
        )
        return Hierarchy(
            memories=tuple(
                _memory(str(name), memory, links)
                for name, memory in accelerator["memories"].items()
            ),
            spread=spread,
            mac_j=float(array["unit_energy"]) * _PJ,
            name=str(accelerator.get("name", "accelerator")),
        )
    except KeyError as missing:
        raise input_error(
            f"{missing} is missing or not known", expected="an accelerator as of ZigZag 3.9"
        ) from missing


def published(name: str) -> Hierarchy:
    """Return the accelerator of this name from ``hardware_specs/hierarchies.yaml``."""
    return from_zigzag(**shipped("hardware_specs", "hierarchies.yaml")[name])


#: Accelerators with published memories and access costs, by the name of their ZigZag file.
KNOWN: dict[str, Callable[[], Hierarchy]] = {
    name: partial(published, name)
    for name in (
        "tpu_like",
        "edge_tpu_like",
        "meta_prototype_like",
        "ascend_like",
        "tesla_npu_like",
        "eyeriss_like",
    )
}
tpu_like = KNOWN["tpu_like"]


def _pair(item: Any) -> tuple[str, int]:
    """Return a loop and its unrolling factor, written ``K, 32`` or as a list."""
    loop, times = item.split(",") if isinstance(item, str) else item
    return str(loop).strip(), int(times)


def _memory(name: str, memory: Mapping[str, Any], links: Mapping[str, Operand]) -> MemoryLevel:
    ports: list[Port] = []
    for port in memory["ports"]:
        uses: list[tuple[Operand, Direction]] = []
        for item in port["allocation"]:
            operand, direction = item.split(",") if isinstance(item, str) else item
            uses.append((links[str(operand).strip()], _DIRECTIONS[str(direction).strip()]))
        ports.append(Port(float(port["bandwidth_max"]), float(port["bandwidth_min"]), tuple(uses)))
    return MemoryLevel(
        name=name,
        capacity_bytes=float(memory["size"]) / 8,
        read_j=float(memory["r_cost"]) * _PJ,
        write_j=float(memory["w_cost"]) * _PJ,
        ports=tuple(ports),
        serves=tuple(str(dim) for dim in memory["served_dimensions"]),
        double_buffered=bool(memory.get("force_double_buffering", False)),
    )
