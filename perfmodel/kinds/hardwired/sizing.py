"""Metal area and number of chips of a hardwired model, before it is made.

``metal = weights * bits * area per bit``; a chip has its share of the metal besides its other
blocks, and is at most a reticle: ``chips = ceil(metal / (reticle - other blocks))`` (Liu et al.,
HNLPU, arXiv 2508.16151). `hardwire` and the kind `hardwired` call `hardwired_size`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.fact_views import engine_view
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.hardwired.spec import HardwiredChips
from perfmodel.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class HardwiredSize:
    """Area, chips and power of a model on chips of one kind.

    Attributes
    ----------
    weights
        Weights of matrices, which are hardwired.
    looked_up_weights
        Weights that are only looked up (an embedding) and stay in memory.
    weight_bits
        Bits of the hardwired weights.
    metal_m2
        Area of all wires.
    chip_m2
        Area of a chip, other blocks included, if the metal is spread over the device's chips.
    chips
        Fewest chips, each within the reticle, that hold the metal.
    fits
        Whether the device's own chips suffice.
    power_w
        Power of all chips of the device, supply and cooling included.
    device_chips
        Chips that the device has.
    """

    weights: Value
    looked_up_weights: Value
    weight_bits: Value
    metal_m2: Value
    chip_m2: Value
    chips: Value
    fits: Value
    power_w: Value
    device_chips: Value


def chip_parts_m2(facts: Mapping[str, Value], engine: str, metal_m2: Value) -> dict[str, Value]:
    """Return the area of a chip by block, in square metres, with its share of the metal."""
    chips = engine_view(HardwiredChips, facts, engine)
    return {"weight": metal_m2 / chips.units, **chips.block_areas}


def hardwired_size(
    workload: Workload, device: Device | Machine, precision: str | Precision
) -> HardwiredSize:
    """Return the metal area, chips and power of a model on hardwired chips.

    Every bit of a matrix occupies the device's ``weight_area``; a chip has its share of that metal
    besides its other blocks, and is at most one reticle.

    Parameters
    ----------
    workload
        The model; phase and batch are ignored.
    device
        Has an engine of kind ``hardwired``; facts may be varied.
    precision
        Determines the bits of the weights.

    Raises
    ------
    InputError
        The device has no such engine.
    """
    machine = device.machine() if isinstance(device, Device) else device
    chips = machine.engine_as(HardwiredChips, "hardwired")
    formats = as_precision(precision)
    graph = workload.graph()
    wired = {name for _, operator in graph.walk() if operator.nests for name in operator.reads}
    count: dict[bool, Value] = {True: 0.0, False: 0.0}
    bits: Value = 0.0
    for name, times in graph.stored_weights().items():
        tensor = graph.tensors[name]
        elements = workload.number(times * tensor.elements)
        count[name in wired] = count[name in wired] + elements
        if name in wired:
            bits = bits + elements * formats.bits(tensor.slot)
    metal = bits * chips.weight_area
    parts = chip_parts_m2(machine.facts, machine.engine, metal)
    chip = sum(parts.values())
    room = chips.reticle - (chip - parts["weight"])
    xp = namespace(metal, room)
    room = xp.where(room > 0, room, np.nan)
    power = chips.units * chips.supply_factor * sum(chips.block_powers.values())
    return HardwiredSize(
        count[True],
        count[False],
        bits,
        metal,
        chip,
        xp.ceil(metal / room - 1e-9),
        chip <= chips.reticle,
        power,
        chips.units,
    )
