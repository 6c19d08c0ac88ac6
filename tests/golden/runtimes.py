"""Runtimes: each on every device that it is meant for, once, and the bare roofline everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, tried

#: What a runtime runs: the first network that it takes.
FITTING = (
    ("resnet50", {}),
    ("llama_3_2_1b", {"phase": "decode", "context": 512}),
    ("mlperf_tiny_kws", {}),
    ("jet_tagger", {}),
)


def one(workload: Any, device: Any, **options: Any) -> Iterator[tuple[str, Value]]:
    """Yield the sums of one prediction; the energy of every device is among `predictions`."""
    found = pm.predict(workload, device, **options)
    yield "latency_s", found.latency_s
    yield "offchip_bytes", found.traffic_bytes[found.levels[-1]]
    yield "feasible", found.feasible
    yield "bound", found.bottleneck


def suited() -> Figures:
    """Yield every runtime on every device that it names, with a network that it runs."""
    networks = [(name, pm.workload(name, **settings)) for name, settings in FITTING]
    devices = [pm.hardware(name) for name in pm.hardware.list()]
    for runtime in internals.runtimes():
        runs = [(n, w) for n, w in networks if not runtime.runs or w.unit in runtime.runs]
        for device in devices:
            if not runtime.applies_to or not runtime.suits(device):
                continue
            small = bool({"mcu", "fpga"} & set(device.tags))
            for name, workload in runs[2:] if small and len(runs) > 2 else runs[:2]:
                yield from tried(
                    f"runtime/{runtime.name}/{device.name}/{name}",
                    lambda w=workload, d=device, r=runtime.name: one(w, d, runtime=r),
                )


def bare() -> Figures:
    """Yield the bare roofline of every device."""
    networks = [(name, pm.workload(name, **settings)) for name, settings in FITTING[:2]]
    for device in pm.hardware.list():
        for name, workload in networks:
            yield from tried(
                f"roofline/{device}/{name}",
                lambda w=workload, d=device: one(w, d, model="roofline", runtime="ideal"),
            )


def figures() -> Figures:
    """Yield both."""
    yield from suited()
    yield from bare()
