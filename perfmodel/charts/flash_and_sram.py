"""Picture of microcontrollers' memories: demand of each network on flash and on SRAM.

Weights, and the runtime's code if its size is stated, reside in flash; activations at their peak
reside in SRAM. A network fits if neither demand exceeds the usable capacity of its memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.charts import Chart, Picture, size
from perfmodel.charts.memory_use import CONTENT_COLORS
from perfmodel.charts.stacked_bars import shares_panel
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction


class MemoryDemand(NamedTuple):
    """Demand of a network on the two memories of a microcontroller, in bytes.

    Attributes
    ----------
    name
        Network, part and library.
    flash
        Contents of flash: ``weights``, and ``code`` if the runtime states its size.
    sram
        Contents of SRAM: ``activations`` at their peak; also the contents of flash if weights
        reside in main memory.
    flash_capacity, sram_capacity
        Usable capacities; that of flash is 0 if weights reside in main memory.
    """

    name: str
    flash: dict[str, float]
    sram: dict[str, float]
    flash_capacity: float
    sram_capacity: float

    @property
    def fits(self) -> bool:
        """Whether the demand on both memories is within their capacities."""
        is_stored = sum(self.flash.values()) <= self.flash_capacity
        return is_stored and sum(self.sram.values()) <= self.sram_capacity


def memory_demand(prediction: Prediction) -> MemoryDemand:
    """Return a prediction's demand on flash and SRAM; of many points the first."""
    point = prediction.at(0) if prediction.shape else prediction
    machine, placement = point.machine, point.placement
    name = f"{point.workload.name}, {machine.device.name}, {machine.runtime.name}"
    constants = {"weights": float(point.weight_bytes)}
    activations = {"activations": float(point.activation_bytes)}
    code = machine.facts.get("runtime.code")
    if code is not None:
        constants["code"] = float(np.asarray(code))
    main = machine.main_memory
    store = next((m for m, place in placement.items() if "weights" in place["holds"]), main)
    sram_capacity, flash_capacity = (
        float(placement[memory]["capacity_bytes"]) for memory in (main, store)
    )
    if store == main:
        return MemoryDemand(name, {}, constants | activations, 0.0, sram_capacity)
    return MemoryDemand(name, constants, activations, flash_capacity, sram_capacity)


@Picture
def flash_and_sram(*predictions: Prediction) -> Chart:
    """Draw flash above and SRAM below, a row for each prediction.

    The line marks the capacity; an excess is written next to it in red.

    Parameters
    ----------
    *predictions
        Predictions, one per row.

    Raises
    ------
    InputError
        There is no prediction.
    """
    if not predictions:
        raise input_error("nothing to draw", expected="at least one prediction")
    demands = [memory_demand(prediction) for prediction in predictions]
    texts = [
        f"{demand.name} {'fits' if demand.fits else 'does not fit'}: "
        f"{size(sum(demand.flash.values()))} of {size(demand.flash_capacity)} of flash, "
        f"{size(sum(demand.sram.values()))} of {size(demand.sram_capacity)} of SRAM."
        for demand in demands
    ]
    names = [demand.name.replace(", ", "<br>", 1) for demand in demands]
    panels = [
        shares_panel(
            names,
            {
                part: [getattr(demand, memory.lower()).get(part, 0.0) for demand in demands]
                for part in CONTENT_COLORS
            },
            [getattr(demand, f"{memory.lower()}_capacity") for demand in demands],
            CONTENT_COLORS,
            title=f"share of {memory} (%)",
            meta={"memory": memory.lower()},
            down=down,
        )
        for memory, down in (("flash", (0.6, 1.0)), ("SRAM", (0.0, 0.4)))
    ]
    return Chart(
        "What fits where",
        "weights and the library's code in flash, activations at their peak in SRAM",
        f"What fits where. {' '.join(texts)}",
        panels,
        legend="below",
        height=300 + 110 * len(demands),
        stacked=True,
        gap=0.55,
    )
