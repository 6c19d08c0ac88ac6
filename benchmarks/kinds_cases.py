"""What is timed of kinds that cost kernels one by one, beside the bare roofline in the same run."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping

import numpy as np
from cases import Line
from measure import Sample, side_by_side

import perfmodel as pm

#: Device, runtime, precision, and the milliseconds of one question that are asked for.
_MACHINES: tuple[tuple[str, str, str | None, float], ...] = (
    ("h100", "torch_cuda", None, 1.0),
    ("h100", "vllm", None, 1.0),
    ("h100", "vllm_flash_attention_3", None, 1.0),
    ("h100", "generic", None, 1.0),
    ("apple_m2", "llama_cpp_metal", "q4_0", 0.25),
    ("rtx_4090", "llama_cpp_cuda", "q4_0", 0.25),
)
#: Points of a sweep, batch by context.
_SHAPE = (128, 128)


def kernels() -> list[Line]:
    """One Llama-3-8B decode step, another context each call, under every kind of runtime."""

    def asking(device: str, runtime: str, precision: str | None) -> Callable[[int], float]:
        def ask(i: int) -> float:
            workload = pm.workload("llama_3_8b", phase="decode", batch=1, context=1000 + i)
            machine = pm.hardware(device)
            return pm.predict(workload, machine, precision=precision, runtime=runtime).latency_s

        return ask

    times = side_by_side(
        {
            "bare roofline": (_bare, 100),
            **{f"{d}, {r}": (asking(d, r, p), 50) for d, r, p, _ in _MACHINES},
        },
        rounds=9,
    )
    limits = {f"{d}, {r}": limit for d, r, _, limit in _MACHINES}
    return [
        Line(f"decode: {name}", "ms", found.each(lambda s: s * 1e3), limits.get(name))
        for name, found in times.items()
    ]


def kernel_sweep() -> list[Line]:
    """16,384 decode points over batch x context, other contexts each call."""
    batch, context = np.arange(1.0, 1.0 + _SHAPE[0]), np.linspace(128.0, 8192.0, _SHAPE[1])

    def asking(
        device: str, runtime: str, precision: str | None, model: str | None = None
    ) -> Callable[[int], None]:
        def ask(i: int) -> None:
            workload = pm.workload(
                "llama_3_8b", phase="decode", batch=batch[:, None], context=context + i
            )
            found = pm.predict(
                workload, pm.hardware(device), precision=precision, runtime=runtime, model=model
            )
            assert found.latency_s.shape == _SHAPE

        return ask

    times = side_by_side(
        {
            "bare roofline": (asking("a100", "ideal", "fp16", "roofline"), 4),
            **{f"{d}, {r}": (asking(d, r, p), 4) for d, r, p, _ in _MACHINES},
        },
        rounds=9,
    )
    points = math.prod(_SHAPE)
    return [
        Line(
            f"points: {name}",
            "thousand",
            found.each(lambda s: points / s / 1e3),
            200,
            at_least=True,
        )
        for name, found in times.items()
    ]


def cores() -> list[Line]:
    """ResNet-18 on a CPU core, and the oracle of a space of 15,625 networks on it."""
    device, space = pm.hardware("zen4_core"), pm.space("nas_bench_201")
    batches = np.arange(1.0, 1025.0)

    def ask(i: int) -> float:
        return pm.predict(pm.workload("resnet18", batch=1 + i % 64), device).latency_s

    def sweep(i: int) -> None:
        found = pm.predict(pm.workload("resnet18", batch=batches + i), device)
        assert found.latency_s.shape == batches.shape

    times = side_by_side({"bare": (_bare, 50), "one": (ask, 50), "sweep": (sweep, 1)}, rounds=9)
    made: list[float] = []
    for _ in range(3):
        start = time.process_time()
        oracle = pm.Oracle(device, space)
        made.append(time.process_time() - start)
    members = np.array(list(itertools.product(range(5), repeat=6)))

    def price(i: int) -> None:
        found = oracle.batch(np.roll(members, i, axis=0))
        assert len(found["latency_s"]) == len(members)

    priced = side_by_side({"batch": (price, 1)}, rounds=9)["batch"]
    sweeps = times["sweep"].each(lambda s: len(batches) / s / 1e3)
    return [
        Line("decode: bare roofline", "ms", times["bare"].each(lambda s: s * 1e3)),
        Line("ResNet-18 on zen4_core", "ms", times["one"].each(lambda s: s * 1e3), 5),
        Line("points: ResNet-18 over its batch", "thousand", sweeps),
        Line("oracle of 15,625 networks, construction", "s", Sample(tuple(made)), 1.5),
        Line("the same, a batch of all", "ms", priced.each(lambda s: s * 1e3), 50),
    ]


def _bare(i: int) -> float:
    workload = pm.workload("llama_3_8b", phase="decode", batch=1, context=1000 + i)
    return pm.predict(
        workload, pm.hardware("a100"), precision="fp16", model="roofline", runtime="ideal"
    ).latency_s


#: Name -> case; each runs in a process of its own.
CASES: Mapping[str, Callable[[], list[Line]]] = {
    "kernels": kernels,
    "kernel_sweep": kernel_sweep,
    "cores": cores,
}
