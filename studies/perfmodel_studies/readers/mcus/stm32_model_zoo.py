"""The STM32 model zoo's tables: image classification on microcontrollers, an NPU and Cortex-A7.

Latency, and the activations' room in internal RAM. Weights of the NPU's rows lie in external flash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
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
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.mcus.counts import TERMS, counts
from perfmodel_studies.readers.npus.n6 import refits_of

__all__ = ["NAME", "PLACES", "TITLE", "load", "network", "refits"]

NAME: Final = "stm32_model_zoo"
TITLE: Final = "STM32 model zoo: int8 image classifiers on a Cortex-M7, Cortex-A7 and the STM32N6"
#: Where its file lies.
PLACES: Final = ("measured/stm32_model_zoo.csv", "stm32_model_zoo.csv")
_COLUMNS = ("model", "resolution", "latency_ms", "board", "freq_mhz")

#: Start of the board's name -> device and runtime.
_BOARDS: Final = {
    "STM32H747I-DISCO Cortex-M7": ("stm32h747", "x_cube_ai"),
    "STM32MP157F-DK2 2xA7": ("stm32mp157", "litert_cortex_a7"),
    "STM32MP135F-DK2 1xA7": ("stm32mp135", "litert_cortex_a7"),
    "STM32N6570-DK NPU": ("stm32n6", "st_edge_ai_n6"),
}
_FLASH: Final = "memories.flash.sustained"
_CLASSES: Final = {
    "flowers": 5, "food101": 101, "imagenet": 1000, "cifar10": 10, "cifar100": 100, "coco": 2,
    "person": 2, "plant": 39, "plantleaf": 39, "mnist": 36,
}  # fmt: skip


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table; groups are families of networks."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        made = list(map(partial(_case, devices, rows, faults=faults), rows))
    return Cases(NAME, made, notes=note)


def _case(
    devices: Sequence[str | Path], rows: CsvTable, row: CsvRow, *, faults: list[Fault]
) -> ValidationCase:  # fmt: skip
    model, board = row.get("model"), row.get("board")
    name = f"{board} {model} {row.get('resolution')}"
    latency = rows.number(row, "latency_ms", faults, scale=1e-3)
    part = board.partition(" ")[0]
    try:
        work = network(model, row.get("resolution"))
        if board not in _BOARDS:
            raise InputError(Fault(f"no device of the library is the board '{board}'"))
        device, runtime = _BOARDS[board]
        machine = hardware(device, devices).machine(runtime)
        clock = rows.number(row, "freq_mhz", faults, scale=1e6)
        if clock and runtime != "st_edge_ai_n6":
            machine = machine.vary({f"engines.{machine.engine}.clock": clock})
    except InputError as error:
        return ValidationCase(name, part, group=_family(model), reason=str(error.faults[0]))
    if latency is None:
        return ValidationCase(name, part, group=_family(model), reason="no latency was measured")
    questions = [MeasuredQuantity("latency_s", "latency_s", latency, work)]
    if row.get("internal_ram_kib") and part.startswith("STM32H"):
        room = rows.number(row, "internal_ram_kib", faults, scale=1024.0)
        if room:
            questions.append(MeasuredQuantity("activations", "activation_bytes", room, work))
    return ValidationCase(name, part, machine, questions, "int8", runtime, group=_family(model))


def _family(model: str) -> str:
    return re.split(r"\s+\d", model.strip())[0]


def network(model: str, resolution: str) -> Workload:
    """Return the workload of a row: its family, width, classes and image.

    Parameters
    ----------
    model
        As the zoo names it: ``MobileNetV2 0.35 food101``.
    resolution
        ``128x128x3``.

    Raises
    ------
    InputError
        The library has no such network.
    """
    words = model.split()
    numbers = [float(w) for w in words if re.fullmatch(r"\d+\.\d+", w)]
    width = numbers[0] if numbers else 1.0
    classes = _CLASSES.get(words[-1].lower(), 1000)
    sides = [int(n) for n in re.findall(r"\d+", resolution)]
    if len(sides) < 2:
        raise InputError(Fault(f"'{resolution}' is no resolution", expected="such as 128x128x3"))
    image: dict[str, Any] = {"height": sides[0], "width": sides[1]}
    channels = {"image_channels": sides[2]} if len(sides) > 2 and sides[2] != 3 else {}
    lowered = model.lower().replace(" ", "")
    if lowered.startswith(("mobilenetv1", "fdmobilenet")):
        base = "mobilenet_v1" if lowered.startswith("mobilenetv1") else "fd_mobilenet"
        structure = {"channels": round(32 * width), "classes": classes}
        return find(base, {**structure, **channels, **image})
    if lowered.startswith("mobilenetv2"):
        return find("mobilenet_v2", {"classes": classes, "batch_norm": "folded", **channels,
                                     "width_multiplier": width, **image})  # fmt: skip
    if lowered.startswith("resnetv18"):
        return find("mlperf_tiny_ic", {"classes": classes, **channels, **image})
    if found := re.match(r"efficientnetv2b(\d)", lowered):
        return find(f"efficientnet_v2_b{found[1]}", {"classes": classes, **image})
    raise InputError(Fault(f"no network of the library is '{model}'"))


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants were fitted, a family of networks left out at a time.

    Those of the Cortex-M7's rows, and those of the STM32N6's (`perfmodel_studies.readers.npus.n6`).
    """
    cases = load(folder, devices)
    rows = [(case, q) for case, q in cases.asked("latency_s") if case.runtime == "x_cube_ai"]
    accelerated = refits_of(cases)
    if not rows:
        return accelerated
    done = np.array([counts(q.workload)[0] for _, q in rows])
    beside = np.array([counts(q.workload)[1] for _, q in rows])
    machines = [case.machine for case, _ in rows if isinstance(case.machine, Machine)]
    clock = np.array([float(m.facts["engines.cpu.clock"]) for m in machines])
    slower = np.array([
        [float(m.facts[f"engines.cpu.relative_{kernel}"]) for kernel, _ in TERMS]
        for m in machines
    ])  # fmt: skip
    fixed = [float(machines[0].facts.get(f"runtime.kernels.{k}.{f}", 0.0)) for k, f in TERMS]
    names = [f"runtime.kernels.{kernel}.{field}" for kernel, field in TERMS]
    constants = [Constant(names[i], fixed[i], 0.1, 100.0) for i in (0, 1, 4)]
    constants.append(Constant(_FLASH, 55e6, 1e6, 1e9))

    busy = [i for i, (kernel, _) in enumerate(TERMS) if kernel != "gemm"]

    def forward(values: Any) -> Any:
        own = np.array([values.get(name, kept) for name, kept in zip(names, fixed, strict=True)])
        spent = (np.sum((done * slower * own)[:, busy], axis=1) + beside) / clock
        # Weights of a fully connected layer are used once, as soon as flash delivers them.
        return spent + done[:, 3] / values[_FLASH]

    return [
        Refit("latency_s", np.array([q.measured for _, q in rows]), [c.group for c, _ in rows],
              constants, forward, "family of networks"),
        *accelerated,
    ]  # fmt: skip
