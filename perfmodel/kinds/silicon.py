"""Blocks of silicon that the spec of a device states: arrays, vector units, memories, wires.

A kind of engine states its blocks as `Kind.structure`; engines of other kinds count as many
multiply-accumulate units as their peaks need. Blocks follow varied facts, since they are read from
the facts of a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Final

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.area import SiliconBlock, SiliconBlocks, elements
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.fact_views import engine_view
from perfmodel.hardware.facts import text_fields
from perfmodel.hardware.technology.blocks import cache_bits, interface_area, wire_pitch
from perfmodel.hardware.technology.default_energies import ON_CHIP, dram_of
from perfmodel.hardware.technology.leakage import transistors_of
from perfmodel.hardware.technology.operations import width
from perfmodel.kinds import kind

_NODE: Final = "energy.node"


def silicon_of(
    device: Device, facts: Mapping[str, Value], weight_bytes: Value = 0.0
) -> SiliconBlocks | str:
    """Return the blocks of a device under facts, or the reason why there are none.

    Parameters
    ----------
    facts
        Facts of a machine, numbers or arrays.
    weight_bytes
        Bytes of weights of the network, for chips that hold them in their wires.
    """
    default = device.defaults.get(_NODE)
    metres = facts.get(_NODE, default and default.value)
    if metres is None:
        return "the spec states no silicon node (process, or energy.node)"
    node = 1e9 * metres
    blocks: dict[str, SiliconBlock] = {}
    for engine in device.engines_of_structure:
        own = _structure(engine, facts, weight_bytes)
        blocks |= {f"{engine.name}.{name}": block for name, block in own.items()}
    if not blocks:
        return "the spec states no structure of its engines"
    # Areas that a spec states include its memories.
    if not any(np.any(block.stated_m2) for block in blocks.values()):
        blocks |= dict(_memories(device, facts, node))
    return SiliconBlocks(blocks, node, transistors_of(device))


def vector_units(engine: Engine) -> dict[str, SiliconBlock]:
    """Return the vector lanes of the format that takes the most: arithmetic and three registers."""
    if engine.clock is None:
        return {}
    lanes = [
        elements(rate / (2.0 * engine.clock), name, 3.0 * width(name)[1])
        for name, rate in engine.vector_peaks.items()
    ]
    return {"vector": _largest(lanes)} if lanes else {}


def by_peaks(engine: Engine, _weight_bytes: Value = 0.0) -> dict[str, SiliconBlock]:
    """Return the multiply-accumulate units that the peaks need; formats share them."""
    if engine.clock is None:
        return {}
    units = [
        elements(rate / (2.0 * engine.clock), name, 2.0 * width(name)[1])
        for name, rate in engine.peaks.items()
    ]
    return {"matrix": _largest(units), **vector_units(engine)} if units else {}


def first_peak(engine: Engine) -> str:
    """Return the format in which an element multiplies once per clock."""
    return next(iter(engine.peaks))


def buffers(**sizes: Value) -> dict[str, SiliconBlock]:
    """Return buffers as blocks; those that a spec does not state are None."""
    return {
        name: SiliconBlock(memory_bytes=size) for name, size in sizes.items() if size is not None
    }


def _structure(
    engine: Engine, facts: Mapping[str, Value], weight_bytes: Value
) -> Mapping[str, SiliconBlock]:
    model = kind(engine.kind)
    own = engine_view(model.spec, facts, engine.name, text_fields(engine))
    return (model.structure or by_peaks)(own, weight_bytes)


def _largest(blocks: list[SiliconBlock]) -> SiliconBlock:
    """Return a block with the most logic of all."""
    areas = [block.logic_m2 for block in blocks]
    return SiliconBlock(logic_m2=reduce(namespace(*areas).maximum, areas))


def _memories(
    device: Device, facts: Mapping[str, Value], node: Value
) -> Iterator[tuple[str, SiliconBlock]]:
    """Yield memories on the chip with the wires to their engines, and interfaces to others."""
    named: Mapping[str, str] = {} if device.energy is None else device.energy.memories
    for memory in device.memories:
        head = f"memories.{memory.name}."
        if memory.kind not in ON_CHIP:
            of_kind = dram_of(memory, named) or memory.name
            area = interface_area(of_kind, facts[f"{head}bandwidth"], node)
            if memory.kind == "dram" and area is not None:
                yield f"{memory.name}.interface", SiliconBlock(estimated_m2=area)
            continue
        capacity = facts[f"{head}capacity"]
        yield (
            memory.name,
            SiliconBlock(memory_bytes=capacity * cache_bits(), memory_kind="cache")
            if memory.kind == "cache"
            else SiliconBlock(memory_bytes=capacity),
        )
        for engine in device.engines:
            clock = facts.get(f"engines.{engine.name}.clock")
            if engine.name in memory.feeds and clock is not None:
                bits = 8.0 * facts[f"{head}bandwidth"] / clock
                yield (
                    f"{memory.name}.wires",
                    SiliconBlock(estimated_m2=(bits * wire_pitch(node)) ** 2),
                )
