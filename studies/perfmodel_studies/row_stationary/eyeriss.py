"""The layers that Eyeriss was measured on, how the chip maps them, and what the model says of them.

Chen, Krishna, Emer and Sze, JSSC 52(1), 2017: AlexNet in batches of four, VGG-16 in batches of
three, at 200 MHz and 1 V. Power is that of the chip, without DRAM, over the whole time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import perfmodel as pm
from perfmodel.arrays import Value
from perfmodel.kinds.spatial.best_mapping import AccessCosts, choose
from perfmodel.kinds.spatial.counts import count
from perfmodel.kinds.spatial.energy import AccessEnergy, compressed_words, energy_parts
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping

from perfmodel_studies.row_stationary.divisors import least_dram
from perfmodel_studies.tables import table

__all__ = ["ALEXNET", "VGG16", "ChipLayer", "LayerResult", "MappingBasis", "eyeriss_layers"]

MappingBasis: TypeAlias = Literal["chip", "chosen"]


class ChipLayer(NamedTuple):
    """A convolution as it ran on the chip.

    Attributes
    ----------
    layer
        Its shape, with the batch.
    input_zeros
        Share of zeros among its inputs, padding counted, as measured with the chip.
    output_zeros
        Share of zeros among its outputs before pooling (Manasi et al., CNNergy, 2020).
    mapping
        Images n, filters m, rows e, then p, q, r, t, as given for the chip; or None.
    channels_a_pass
        q x r, where only that is known.
    """

    layer: GroupedConvolution
    input_zeros: float
    output_zeros: float
    mapping: RowMapping | None = None
    channels_a_pass: int = 0


class LayerResult(NamedTuple):
    """What the model says of a layer on the chip: seconds, watts, bytes, joules by part."""

    processing_s: float
    total_s: float
    power_w: float
    dram_bytes: float
    buffer_bytes: float
    active_elements: float
    energy_j: Mapping[str, float]
    mapping: RowMapping


def _chip_layer(
    layer: Sequence[float],
    zeros: tuple[float, float],
    mapping: Sequence[float] | None = None,
    channels_a_pass: int = 0,
) -> ChipLayer:
    """Return a square layer of the published table."""
    groups, images, filters, channels, out, kernel, stride, image = map(float, layer)
    sizes = (out, out, kernel, kernel, stride, stride, 1.0, 1.0, image, image)
    convolution = GroupedConvolution(groups, images, filters, channels, *sizes)
    row_mapping = None if mapping is None else RowMapping(*mapping)
    return ChipLayer(convolution, *zeros, row_mapping, channels_a_pass)


ALEXNET, VGG16 = (
    {name: _chip_layer(**row) for name, row in layers.items()}
    for layers in table("eyeriss_layers").values()
)


def eyeriss_layers(
    network: Literal["alexnet", "vgg16"], mapping: MappingBasis = "chip", device: str = "eyeriss"
) -> dict[str, LayerResult]:
    """Return layer -> what the model says of it on the chip.

    Parameters
    ----------
    network
        The layers that were measured.
    mapping
        ``chip``: as the chip maps them, as far as it is known; ``chosen``: as `choose` does.
    device
        A device whose default engine is of kind ``spatial``.
    """
    facts = _facts(device)
    layers = ALEXNET if network == "alexnet" else VGG16
    return {name: _result(chip, mapping, facts) for name, chip in layers.items()}


@lru_cache(maxsize=8)
def _facts(device: str) -> Mapping[str, Value]:
    machine = pm.hardware(device).machine()
    head = f"engines.{machine.engine}."
    own = {path.removeprefix(head): v for path, v in machine.facts.items()}
    main = machine.main_memory
    return own | {
        "dram_bandwidth": machine.facts[f"memories.{main}.bandwidth"],
        "dram_energy": machine.facts[f"memories.{main}.energy_per_byte"] * own["word"],
        "idle": machine.facts["power.idle"],
        "buffer_words": own["buffer"] / own["word"],
    }


def _result(chip: ChipLayer, basis: MappingBasis, facts: Mapping[str, Value]) -> LayerResult:
    array = PeArray(*(float(facts[name]) for name in PeArray._fields))
    each = AccessEnergy(*(float(facts[f"{n}_energy"]) for n in AccessEnergy._fields))
    if basis == "chosen":
        costs = AccessCosts(each.array, each.buffer, facts["dram_energy"], each.clock)
        mapping = RowMapping(*map(float, choose(chip.layer, array, costs).mapping))
    else:
        mapping = chip.mapping or least_dram(chip.layer, array, chip.channels_a_pass)
    counts = count(chip.layer, mapping, array)
    word = float(facts["word"])
    inputs = compressed_words(counts.dram_input, counts.padded_input, chip.input_zeros)
    outputs = compressed_words(counts.dram_output, counts.dram_output, chip.output_zeros)
    maps = float(inputs + outputs) * word
    dram = maps + float(counts.dram_filter) * word
    processing = float(counts.cycles / facts["clock"])
    total = max(processing + maps / facts["dram_bandwidth"], dram / facts["dram_bandwidth"])
    parts = energy_parts(
        counts, each, total * facts["clock"], product_share=1.0 - chip.input_zeros, fill=dram / word
    )
    energy = {name: float(joule) for name, joule in parts.items()}
    energy["idle"] = float(facts["idle"] * total)
    return LayerResult(
        processing,
        float(total),
        float(sum(energy.values()) / total),
        dram,
        float(counts.buffer_input + counts.buffer_sum) * word,
        float(counts.active),
        energy,
        mapping,
    )
