"""Predicted costs of the measured cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import perfmodel as pm
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.nas_bench_201 import DATASETS

from perfmodel_studies.readers.hwnasbench360.rows import Bench

#: Device of the file -> device of the library.
DEVICES: Final = {"pi5": "raspberry_pi_5_core", "pixel": "pixel_6a_core"}


class Framework(NamedTuple):
    """A runtime of the file.

    Attributes
    ----------
    runtime
        Runtime of the library.
    zeros
        What its files make of edges without operation; see
        `perfmodel.workload.nas_spaces.nas_bench_cell.Zeros`.
    """

    runtime: str
    zeros: str


FRAMEWORKS: Final = {
    "litert": Framework("litert", "folded"),
    "onnx": Framework("onnxruntime_arm", "multiplied"),
    "torchmobile": Framework("torch_mobile", "multiplied"),
}


def reason(bench: Bench) -> str:
    """Say why a bench cannot be predicted; empty where it can."""
    for what, name, known in (
        ("device", bench.device, DEVICES),
        ("framework", bench.framework, FRAMEWORKS),
        ("task", bench.task, DATASETS),
    ):
        if name not in known:
            return f"no {what} of the library is known as '{name}'"
    return ""


def device_of(bench: Bench, devices: Sequence[str | Path] = ()) -> pm.Device:
    """Return the device that a bench ran on."""
    return pm.hardware(DEVICES[bench.device], devices)


def oracle(
    bench: Bench,
    devices: Sequence[str | Path] = (),
    *,
    runtime: str | pm.Runtime | None = None,
    zeros: str | None = None,
    bare: bool = False,
) -> pm.Oracle:
    """Return the oracle of a bench: latency, MACs and, where the device states a power, energy.

    Parameters
    ----------
    devices
        Folders with more specs of devices.
    runtime, zeros
        In place of the framework's.
    bare
        The bare roofline instead, of networks without anything that has no effect.
    """
    framework = FRAMEWORKS[bench.framework]
    there = space(
        "nas_bench_201",
        dataset=bench.task,
        batch_norm="folded",
        zeros="removed" if bare else zeros or framework.zeros,
    )
    device = device_of(bench, devices)
    metrics = ("latency_s", "macs", *(["energy_j"] if device.power is not None else []))
    return pm.Oracle(
        device,
        there,
        metrics,
        precision="fp32",
        runtime=runtime or framework.runtime,
        model="roofline" if bare else None,
        warm=not bare,
    )
