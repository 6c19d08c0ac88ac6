"""The layers that Eyeriss was measured on, how the chip maps them, and what the model says of them.

Chen, Krishna, Emer and Sze, JSSC 52(1), 2017: AlexNet in batches of four, VGG-16 in batches of
three, at 200 MHz and 1 V. Power is that of the chip, without DRAM, over the whole time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import perfmodel as pm
from perfmodel.arrays import Value
from perfmodel.kinds.spatial.choose import AccessCosts, choose
from perfmodel.kinds.spatial.counts import count
from perfmodel.kinds.spatial.energy import AccessEnergy, compressed_words, energy_parts
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping

from perfmodel_studies.row_stationary.divisors import least_dram

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


def _conv(
    groups: int,
    images: int,
    filters: int,
    channels: int,
    out: int,
    kernel: int,
    stride: int,
    image: int,
) -> GroupedConvolution:
    return GroupedConvolution(
        *map(
            float,
            (
                groups,
                images,
                filters,
                channels,
                out,
                out,
                kernel,
                kernel,
                stride,
                stride,
                1,
                1,
                image,
                image,
            ),
        )
    )


# As quoted for the chip. With q = 4, r = 1 and t = 4 CONV3 moves 69 MB through the buffer, where
# 50.2 were measured; the mapping of CONV4 and CONV5 would move 50.2, but is not what was quoted.
ALEXNET: Mapping[str, ChipLayer] = {
    "CONV1": ChipLayer(
        _conv(1, 4, 96, 3, 55, 11, 4, 227), 0.0001, 0.5102, RowMapping(1, 96, 7, 16, 1, 1, 2)
    ),
    "CONV2": ChipLayer(
        _conv(2, 4, 128, 48, 27, 5, 1, 27), 0.387, 0.8066, RowMapping(1, 64, 27, 16, 2, 1, 1)
    ),
    "CONV3": ChipLayer(
        _conv(1, 4, 384, 256, 13, 3, 1, 13), 0.725, 0.7244, RowMapping(4, 64, 13, 16, 4, 1, 4)
    ),
    "CONV4": ChipLayer(
        _conv(2, 4, 192, 192, 13, 3, 1, 13), 0.793, 0.7018, RowMapping(4, 64, 13, 16, 3, 2, 2)
    ),
    "CONV5": ChipLayer(
        _conv(2, 4, 128, 192, 13, 3, 1, 13), 0.776, 0.9050, RowMapping(4, 64, 13, 16, 3, 2, 2)
    ),
}
"""AlexNet, batch 4."""


def _vgg(
    filters: int, channels: int, out: int, zeros: tuple[float, float], a_pass: int
) -> ChipLayer:
    return ChipLayer(_conv(1, 3, filters, channels, out, 3, 1, out), *zeros, None, a_pass)


# No mapping of VGG-16 was published. Channels of a pass follow from the megabytes through the
# buffer, and are fitted to that column: every pass reads and writes all partial sums. The rest is
# what moves least to and from main memory.
VGG16: Mapping[str, ChipLayer] = {
    "CONV1-1": _vgg(64, 3, 224, (0.016, 0.4711), 1),
    "CONV1-2": _vgg(64, 64, 224, (0.477, 0.3136), 1),
    "CONV2-1": _vgg(128, 64, 112, (0.248, 0.3396), 1),
    "CONV2-2": _vgg(128, 128, 112, (0.387, 0.5199), 1),
    "CONV3-1": _vgg(256, 128, 56, (0.397, 0.4795), 2),
    "CONV3-2": _vgg(256, 256, 56, (0.581, 0.4886), 2),
    "CONV3-3": _vgg(256, 256, 56, (0.587, 0.6991), 2),
    "CONV4-1": _vgg(512, 256, 28, (0.643, 0.6533), 4),
    "CONV4-2": _vgg(512, 512, 28, (0.747, 0.7075), 4),
    "CONV4-3": _vgg(512, 512, 28, (0.854, 0.8730), 4),
    "CONV5-1": _vgg(512, 512, 14, (0.794, 0.7651), 8),
    "CONV5-2": _vgg(512, 512, 14, (0.874, 0.7977), 8),
    "CONV5-3": _vgg(512, 512, 14, (0.885, 0.9320), 8),
}
"""VGG-16, batch 3."""


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
