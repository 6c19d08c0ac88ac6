"""What fits where on microcontrollers: flash and SRAM that networks need and parts have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.charts import Chart, ChartAxis, Note, Panel, Picture, percent, size
from perfmodel.charts.bars import capacity_mark, need_of, stacked, with_free
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
    """Draw flash on the left and SRAM on the right, a row for each prediction.

    A pale bar is what is left; what is too much is marked in red.

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
    labels = [row.name.replace(", ", "<br>", 1) for row in rows]
    flash = _side("flash", [row.stored for row in rows], [row.flash for row in rows], labels)
    sram = _side("SRAM", [row.live for row in rows], [row.sram for row in rows], labels)
    texts = [
        f"{row.name} {'fits' if row.fits else 'does not fit'}: {size(sum(row.stored.values()))} of "
        f"{size(row.flash)} of flash, {size(sum(row.live.values()))} of {size(row.sram)} of SRAM."
        for row in rows
    ]
    return Chart(
        "What fits where",
        "weights and the library's code in flash, activations at their peak in SRAM; | is the "
        "capacity",
        f"What fits where. {' '.join(texts)}",
        [flash, sram],
        legend="below",
        height=190 + 78 * len(rows),
        stacked=True,
        gap=0.55,
    )


def _side(title: str, rows: list[dict[str, float]], rooms: list[float], labels: list[str]) -> Panel:
    """Return one memory of all parts, with what is too much of it."""
    stored = {part: [row.get(part, 0.0) for row in rows] for part in PARTS}
    parts, used = with_free(stored, rooms)
    notes: list[Note] = []
    for label, need, room in zip(labels, used, rooms, strict=True):
        if room:
            text, color = need_of(need, room)
            above = Note(text, 0.0, label, color=color, anchor="left auto", shift=(0, 24))
            notes += [above, capacity_mark(label, room)]
    left = title == "flash"
    return Panel(
        ChartAxis(title, 0.0, 1.06 * max(*used, *rooms) or 1.0, "bytes", most=5),
        ChartAxis(names=labels, grid=False, labels=left),
        stacked(
            labels,
            parts,
            PARTS,
            lambda part, i: f"{part}: {size(parts[part][i])}, {percent(parts[part][i], rooms[i])}",
            meta={"memory": title.lower()},
        ),
        notes=notes,
        across=(0.0, 0.47) if left else (0.53, 1.0),
    )
