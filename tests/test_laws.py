"""Random devices, networks, precisions and runtimes of the library: the laws hold on all of them.

The campaign of all kinds; `tests/test_physics.py` takes random networks on random machines.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import device_names, hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing.laws import broken, capacities, falling, never_rises, rising
from perfmodel.workload.library import find, names
from perfmodel.workload.workload import Workload

PRECISIONS = (
    None,
    None,
    None,
    "int8",
    "fp16",
    "w4a8",
    "w8a16",
    "q4_k_m",
    "w4g128a16",
    "fp32",
    "int4",
    "w4a16kv8",
    "ternary",
    "bf16",
    "w8a8+2:4",
    "fp8_e4m3",
)
BATCHES = np.array([64.0, 33.0, 17.0, 16.0, 9.0, 8.0, 7.0, 4.0, 3.0, 2.0, 1.0])

#: Networks of the fast sample: small ones of all classes, so that few graphs are compiled.
SMALL = (
    "mlperf_tiny_ad",
    "mlperf_tiny_ic",
    "mlperf_tiny_vww",
    "mobilenet_v2",
    "resnet18",
    "llama_3_8b",
    "clip_vit_b_32",
    "falcon_h1_0_5b",
    "mamba_130m",
    "gpt_oss_20b",
    "lmu_psmnist",
    "stream_triad",
)


class Drawn(NamedTuple):
    """One machine and what it is asked to run."""

    workload: Workload
    machine: Machine
    precision: str | None
    warm: bool

    def __call__(self, machine: Machine) -> Prediction:
        return predict(self.workload, machine, precision=self.precision, warm=self.warm)

    def __str__(self) -> str:
        at = f"{self.workload!r} on {self.machine.device.name}, {self.precision}"
        return f"{at}, runtime {self.machine.runtime.name}, warm {self.warm}"


def drawn(
    seed: int, count: int, networks: tuple[str, ...]
) -> Iterator[tuple[Drawn, random.Random]]:
    """Yield what is predicted at all; most networks fit most devices."""
    draw = random.Random(seed)
    devices = device_names()
    known: dict[str, Workload] = {}
    for _ in range(count):
        device, network = hardware(draw.choice(devices)), draw.choice(networks)
        precision, warm = draw.choice(PRECISIONS), draw.random() < 0.2
        runtime = draw.choice([None, None, None, "generic", "ideal"])
        batch = draw.choice([1, 1, 2, 5, 16])
        workload = known.setdefault(network, find(network, {}))
        if "batch" in workload.parameters:
            workload = workload.bind({"batch": batch})
        try:
            found = predict(workload, device, precision=precision, runtime=runtime, warm=warm)
        except InputError:
            continue
        yield Drawn(workload, found.machine, precision, warm), draw


def check(seed: int, count: int, networks: tuple[str, ...]) -> None:
    """Draw cases and vary a few facts and the batch of each."""
    seen = 0
    for case, draw in drawn(seed, count, networks):
        machine = case.machine
        paths = [
            *draw.sample(rising(machine), min(2, len(rising(machine)))),
            *draw.sample(falling(machine), min(1, len(falling(machine)))),
            *draw.sample(capacities(machine), min(1, len(capacities(machine)))),
        ]
        for path in paths:
            assert not broken(machine, path, case), f"{case}: {path}"
        seen += len(paths)
        if "batch" in case.workload.parameters and _quicker_alone(case):
            found = case._replace(workload=case.workload.bind({"batch": BATCHES}))(machine)
            assert never_rises(found.latency_s, BATCHES.size, 1e-12), f"{case}: batch"
    assert seen > count


def _quicker_alone(case: Drawn) -> bool:
    """Tell whether a kind takes the quickest way to run a batch.

    Row-stationary arrays take the mapping of least energy, as their publications do: a larger batch
    may have a mapping that is quicker too. Cores of a DPU share out the images of a batch, and with
    them what a training step of k-means does once whatever their number.
    """
    kind = case.machine.device.engine(case.machine.engine).kind
    return kind != "spatial" and not (kind == "fpga" and case.workload.name.endswith("_training"))


@pytest.mark.parametrize("seed", range(6))
def test_laws_hold_on_a_sample(seed: int) -> None:
    check(seed, 40, SMALL)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 120))
def test_laws_hold_on_the_library(seed: int) -> None:
    check(seed, 250, tuple(names()))
