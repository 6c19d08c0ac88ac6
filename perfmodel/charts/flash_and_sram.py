"""What fits where on microcontrollers: flash and SRAM that networks need and parts have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.charts import Chart, Picture, size
from perfmodel.charts.bars import shares_panel
from perfmodel.charts.memory import PARTS
from perfmodel.errors import input_error

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


class Need(NamedTuple):
    """What a network takes of a part's two memories, bytes.

    Attributes
    ----------
    name
        Network, part and library.
    stored
        ``weights``, and ``code`` where the runtime says what its code takes.
    live
        Activations at their peak, and weights where they have no memory of their own.
    flash, sram
        Usable capacities; `flash` is 0 where weights lie in main memory.
    """

    name: str
    stored: dict[str, float]
    live: dict[str, float]
    flash: float
    sram: float

    @property
    def fits(self) -> bool:
        """Whether both memories hold what they must."""
        return sum(self.stored.values()) <= self.flash and sum(self.live.values()) <= self.sram


def needs(prediction: Prediction) -> Need:
    """Return what a prediction's network takes of flash and SRAM; of many points the first."""
    p = prediction.at(0) if prediction.shape else prediction
    machine = p.machine
    weights, live = float(p.weight_bytes), float(p.activation_bytes)
    code = machine.facts.get("runtime.code")
    extra = {"code": float(np.asarray(code))} if code is not None else {}
    places = p.placement
    main = machine.main_memory
    store = next((m for m, place in places.items() if "weights" in place["holds"]), main)
    room = float(places[main]["capacity_bytes"])
    name = f"{p.workload.name}, {machine.device.name}, {machine.runtime.name}"
    if store == main:
        return Need(name, {}, {"weights": weights, "activations": live, **extra}, 0.0, room)
    stored = {"weights": weights, **extra}
    return Need(name, stored, {"activations": live}, float(places[store]["capacity_bytes"]), room)


@Picture
def flash_and_sram(*predictions: Prediction) -> Chart:
    """Draw flash above and SRAM below, a row for each prediction.

    The line is where a memory is full; what is too much stands beside it in red.

    Parameters
    ----------
    *predictions
        One for each row.

    Raises
    ------
    InputError
        There is no prediction.
    """
    if not predictions:
        raise input_error("nothing to draw", expected="at least one prediction")
    rows = [needs(p) for p in predictions]
    texts = [
        f"{row.name} {'fits' if row.fits else 'does not fit'}: {size(sum(row.stored.values()))} of "
        f"{size(row.flash)} of flash, {size(sum(row.live.values()))} of {size(row.sram)} of SRAM."
        for row in rows
    ]
    flash = [row.stored for row in rows], [row.flash for row in rows], (0.6, 1.0)
    sram = [row.live for row in rows], [row.sram for row in rows], (0.0, 0.4)
    return Chart(
        "What fits where",
        "weights and the library's code in flash, activations at their peak in SRAM",
        f"What fits where. {' '.join(texts)}",
        [
            shares_panel(
                [row.name.replace(", ", "<br>", 1) for row in rows],
                {part: [own.get(part, 0.0) for own in amounts] for part in PARTS},
                rooms,
                PARTS,
                title=f"share of {memory} (%)",
                meta={"memory": memory.lower()},
                down=down,
            )
            for memory, (amounts, rooms, down) in (("flash", flash), ("SRAM", sram))
        ],
        legend="below",
        height=300 + 110 * len(rows),
        stacked=True,
        gap=0.55,
    )
