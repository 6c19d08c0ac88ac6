"""TinyEngine's table: four libraries on one STM32H743, by the networks' multiply-accumulates.

The published graphs are not at hand. A chain of separable convolutions with as many
multiply-accumulates stands for a network, a quarter of them depthwise: the mean of networks of the
space that they come from. Rooms (peak SRAM, flash) are not predicted: they need the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from perfmodel.calibrate import Constant
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.image import ImageBuilder, frames
from perfmodel.workload.workload import Workload

__all__ = ["DEPTHWISE_SHARE", "NAME", "PLACES", "TITLE", "load", "refits", "stand_in"]

NAME: Final = "tinyengine_mcunet"
TITLE: Final = "TinyEngine's table: MCUNet under four libraries on the STM32H743, by MACs alone"
#: Where its file lies.
PLACES: Final = ("measured/tinyengine_mcunet.csv", "tinyengine_mcunet.csv")
_COLUMNS = ("net_id", "library", "metric", "value", "macs_M")
_DEVICE: Final = "stm32h743"
_LIBRARIES: Final = {
    "TinyEngine": "tinyengine", "CMSIS-NN": "cmsis_nn", "X-CUBE-AI": "x_cube_ai",
    "TFLM": "tflite_micro",
}  # fmt: skip
#: Of the multiply-accumulates of networks drawn from the space ``mcunet``: 0.25 +- 0.07.
DEPTHWISE_SHARE: Final = 0.25
_CHANNELS: Final = 27


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table, a row a measured number; groups are libraries."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        made = list(map(partial(_case, devices, rows, faults=faults), rows))
    notes = ("networks stand for their multiply-accumulates alone", *note)
    return Cases(NAME, made, notes=notes)


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, *, faults: list[Fault]
) -> ValidationCase:  # fmt: skip
    library, metric = row.get("library"), row.get("metric")
    name = f"{row.get('net_id')} {library} {metric}"
    if metric != "latency_ms":
        return ValidationCase(
            name, "STM32H743", group=library, reason=f"{metric}: it needs the graph"
        )
    if not row.get("macs_M"):
        return ValidationCase(name, "STM32H743", group=library,
                    reason="neither the graph nor its multiply-accumulates are known")  # fmt: skip
    latency = rows.number(row, "value", faults, scale=1e-3)
    macs = rows.number(row, "macs_M", faults, scale=1e6)
    try:
        if library not in _LIBRARIES:
            raise InputError(Fault(f"no runtime of the library is '{library}'"))
        runtime = _LIBRARIES[library]
        machine = hardware(_DEVICE, devices).machine(runtime)
    except InputError as error:
        return ValidationCase(name, "STM32H743", group=library, reason=str(error.faults[0]))
    if latency is None or macs is None:
        return ValidationCase(name, "STM32H743", group=library, reason="no number was given")
    question = MeasuredQuantity("latency_s", "latency_s", latency, stand_in(macs))
    return ValidationCase(name, "STM32H743", machine, [question], "int8", runtime, group=library)


@cache
def stand_in(macs: float) -> Workload:
    """Return a chain of separable convolutions with so many multiply-accumulates.

    On 27 channels, 9 of 36 taps are depthwise: `DEPTHWISE_SHARE`. How often, and on which image,
    is what comes nearest.
    """
    each = float(_CHANNELS * (_CHANNELS + 9))
    blocks = np.arange(4.0, 200.0)
    side = np.clip(np.rint(np.sqrt(macs / (each * blocks))), 1.0, 64.0)
    at = int(np.argmin(np.abs(np.log(each * blocks * side**2 / macs))))
    extent = float(side[at])

    def build(semantics: ExecutionSemantics) -> Graph:
        del semantics
        g = ImageBuilder("mcunet_by_macs", folded=True)
        x = g.image(_CHANNELS)
        with g.repeat(int(blocks[at]), "block"):
            x = g.conv_norm(x, _CHANNELS, 3, groups=_CHANNELS, name="depthwise")
            x = g.conv_norm(x, _CHANNELS, 1, name="pointwise")
        g.output(x)
        return g.build({"batch": 1, "height": extent, "width": extent})

    sizes = {"batch": 1.0, "height": extent, "width": extent}
    return Workload("mcunet_by_macs", cache(build), sizes, frames(None))


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return clocks a multiply-accumulate of each library, a network left out at a time."""
    out: list[Refit] = []
    cases = load(folder, devices)
    for library in _LIBRARIES:
        rows = [(case, q) for case, q in cases.asked() if case.group == library]
        if len(rows) < 2:
            continue
        macs = np.array([float(q.workload.macs) for _, q in rows])
        out.append(
            Refit(
                f"latency_s, {library}", np.array([q.measured for _, q in rows]),
                [case.name.split()[0] for case, _ in rows],
                [Constant("seconds a multiply-accumulate", 1e-8, 1e-11, 1e-5)],
                partial(_per_mac, macs), "network",
            )
        )  # fmt: skip
    return out


def _per_mac(macs: Any, values: Any) -> Any:
    return macs * values["seconds a multiply-accumulate"]
