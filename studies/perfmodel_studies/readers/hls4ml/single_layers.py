"""Dense layers one by one: cycles, initiation interval and amounts of each resource."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.hls4ml.designs import NOTE
from perfmodel_studies.readers.hls4ml.fitting import layer_refits
from perfmodel_studies.readers.hls4ml.machines import (
    RUNTIME,
    layer_workload,
    machine_of,
    precision_of,
)
from perfmodel_studies.readers.hls4ml.rows import LAYERS, Hls4mlDesign, read_designs

NAME: Final = "hls4ml_mlp_csynth_layers"
TITLE: Final = "dense layers of hls4ml in an FPGA's fabric: HLS estimates, not after routing"
#: Where its file lies.
PLACES: Final = LAYERS


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the layers of every design."""
    designs = read_designs(folder, NAME)
    cases = [_case(d, i, devices) for d in designs for i in range(len(d.layers))]
    return Cases(NAME, cases, notes=(NOTE, *folder.note(folder.need(NAME, *PLACES))))


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of a layer were fitted, a network left out at a time."""
    del devices
    return layer_refits(read_designs(folder, NAME))


def _case(design: Hls4mlDesign, place: int, devices: Sequence[str | Path]) -> ValidationCase:
    layer, workload = design.layers[place], layer_workload(design, place)
    asked = [
        MeasuredQuantity("latency_s", "latency_s", layer.clocks / design.clock, workload),
        MeasuredQuantity("interval", "largest interval", layer.interval, workload),
        *(
            MeasuredQuantity(name, f"largest {name}", amount, workload)
            for name, amount in layer.amounts.items() if amount
        ),
    ]  # fmt: skip
    return ValidationCase(f"{design.name} layer {place + 1}", design.part,
                machine_of(design, devices, layer=place), asked, precision_of(design, place),
                RUNTIME, design.model)  # fmt: skip
