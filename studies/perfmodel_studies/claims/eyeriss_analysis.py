"""What the model says of the analysis that preceded the chip: energies in products, batch of 16."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.kinds.spatial import AccessCosts, GroupedConvolution, PeArray, choose

from perfmodel_studies.row_stationary.eyeriss import ALEXNET

#: Costs of a word on the wires, from the buffer and from main memory, in products (table IV).
COSTS = AccessCosts(array=2.0, buffer=6.0, dram=200.0, clock=0.0)
IMAGES = 16.0
#: Inputs and outputs of the fully connected layers: kernel of the size of the image, or 1.
_CONNECTED = {"FC1": (256, 6, 4096), "FC2": (4096, 1, 4096), "FC3": (4096, 1, 1000)}


def predicted() -> dict[str, float]:
    """Return claim -> 10^9 products' worth of energy, of main memory and of the registers."""
    engine = pm.hardware("eyeriss_256").machine()
    facts = {
        name: engine.facts[f"engines.{engine.engine}.{name}"]
        for name in (
            "height",
            "width",
            "filter_words",
            "input_words",
            "sum_words",
            "filter_bus",
            "input_bus",
            "sum_bus",
        )
    }
    words = (
        engine.facts[f"engines.{engine.engine}.buffer"]
        / engine.facts[f"engines.{engine.engine}.word"]
    )
    array = PeArray(**facts, buffer_words=words)
    layers = {name: chip.layer._replace(images=IMAGES) for name, chip in ALEXNET.items()}
    for name, (channels, size, filters) in _CONNECTED.items():
        layers[name] = GroupedConvolution(
            *map(float, (1, IMAGES, filters, channels, 1, 1, size, size, 1, 1, 1, 1, size, size))
        )
    values: dict[str, float] = {}
    for name, layer in layers.items():
        counts = choose(layer, array, COSTS).counts
        dram_words = counts.dram_input + counts.dram_filter + counts.dram_output
        values[f"{name.lower()}.dram_energy"] = float(COSTS.dram * dram_words) / 1e9
        values[f"{name.lower()}.register_energy"] = float(4.0 * counts.macs) / 1e9
    return values
