"""Addresses, engines, memories, streams, patches, fine-tuning: what each plan is worth."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, numbers, tried
from tests.schedule.allocate.packings import full, scattered
from tests.schedule.assign import brute
from tests.studies.contest.random_instances import random_instance

#: What differs between plans of equal worth, and what only a clock knows.
TIES = (
    "counts",
    "engine_of",
    "offsets",
    "operators",
    "order",
    "rows",
    "stages",
    "stretches",
    "table",
    "trained",
    "violations",
    "loads_s",
    "spans",
    "timeline",
)

DECODE = {"phase": "decode"}

PLANS: Mapping[str, Callable[[], Any]] = {
    "place/llama_3_70b/rtx_4090": lambda: pm.place(
        pm.workload("llama_3_70b", **DECODE), "rtx_4090", precision="w4a16"
    ),
    "place/qwen3_30b_a3b/ufs_4_phone": lambda: pm.place(
        pm.workload("qwen3_30b_a3b", **DECODE), "ufs_4_phone", precision="w4a16"
    ),
    "place/resnet50/a100": lambda: pm.place("resnet50", "a100"),
    "place/mixtral_8x7b/desktop/by_layer": lambda: pm.place(
        pm.workload("mixtral_8x7b", **DECODE),
        "examples/desktop_with_ssd.yaml",
        precision="w4a16",
        by="layer",
    ),
    "stream/llama_3_8b/ufs_4_phone": lambda: pm.stream(
        pm.workload("llama_3_8b", **DECODE), "ufs_4_phone", precision="w4a16", memory="3 GB"
    ),
    "stream/qwen3_30b_a3b/ufs_4_phone/grouped": lambda: pm.stream(
        pm.workload("qwen3_30b_a3b", **DECODE),
        "ufs_4_phone",
        precision="w4a16",
        memory="6 GB",
        grouped=True,
    ),
    "stream/qwen3_30b_a3b/ufs_4_phone/cached": lambda: pm.stream(
        pm.workload("qwen3_30b_a3b", **DECODE),
        "ufs_4_phone",
        precision="w4a16",
        memory="6 GB",
        cached=True,
        popularity=1.0,
    ),
    "assign/resnet18/edge_tpu/throughput": lambda: pm.assign(
        "resnet18",
        ["edge_tpu", "raspberry_pi_5"],
        precision="int8",
        objective="throughput",
        contiguous=True,
    ),
    "assign/mobilenet_v2/rk3588": lambda: pm.assign("mobilenet_v2", "rk3588", precision="int8"),
    "assign/resnet50/two_devices": lambda: pm.assign(
        "resnet50", ["raspberry_pi_5", "rtx_4090"], precision="fp16"
    ),
    "patches/mlperf_tiny_vww/48_KiB": lambda: pm.patches("mlperf_tiny_vww", capacity="48 KiB"),
    "patches/mlperf_tiny_ic/20_KiB/macs": lambda: pm.patches(
        "mlperf_tiny_ic", capacity="20 KiB", objective="macs"
    ),
    "patches/mlperf_tiny_ic/2_KiB/macs": lambda: pm.patches(
        "mlperf_tiny_ic", capacity="2 KiB", objective="macs"
    ),
    "patches/mlperf_tiny_vww/peak": lambda: pm.patches(
        "mlperf_tiny_vww", capacity="1 MiB", objective="peak"
    ),
    "finetune/mcunet_5fps/stm32h743/all": lambda: pm.finetune(
        "mcunet_5fps", "stm32h743", train="*=all", set={"height": 128, "width": 128}
    ),
    "finetune/mcunet_5fps/stm32f746/limit": lambda: pm.finetune(
        "mcunet_5fps",
        "stm32f746",
        limit="256 KiB",
        set={"height": 128, "width": 128, "classes": 10},
    ),
    "finetune/bert_base/rtx_4090/lora": lambda: pm.finetune(
        "bert_base", "rtx_4090", train="*=lora8", precision="fp16"
    ),
    "split/resnet50/galaxy_s7/rtx_4090": lambda: pm.split(
        "resnet50", "galaxy_s7", "rtx_4090", rate="1..50 Mbit/s", latency="5 ms", link_format="int8"
    ),
}


def addresses() -> Figures:
    """Yield packings of buffers that a seed draws: the heights, and whether they are proved."""
    for seed in range(20):
        rng = random.Random(seed)
        buffers = full(rng, 12, 20, 12) if seed % 2 else scattered(rng, 10)
        found = pm.allocate(buffers)
        yield f"allocate/{seed}/height_bytes", found.height_bytes
        yield f"allocate/{seed}/lower_bound_bytes", found.lower_bound_bytes
        yield f"allocate/{seed}/proved", found.proved
        tight = pm.allocate(buffers, found.height_bytes - 1)
        yield f"allocate/{seed}/one_less/status", tight.status
        yield f"allocate/{seed}/one_less/gap_bytes", tight.gap_bytes


def engines() -> Figures:
    """Yield assignments of problems that a seed draws."""
    for seed in range(16):
        problem = brute.random_problem(seed, 4 + seed % 5, 2 + seed % 2, alike=bool(seed % 2))
        for goal in ("sequential", "throughput"):
            for contiguous in (False, "fixed", "any"):
                found = internals.solve_assignment(problem, goal, contiguous=contiguous)
                key = f"engines/{seed}/{goal}/{contiguous or 'free'}"
                yield f"{key}/value_s", found.value
                yield f"{key}/bound_s", found.bound
                yield f"{key}/proved", found.proved


def contests() -> Figures:
    """Yield fused schedules of instances that a seed draws."""
    for seed in range(6):
        instance = internals.read_instance(random_instance(random.Random(seed), 2 + seed % 3))
        yield from tried(f"contest/{seed}", lambda i=instance: _contest(i))


def _contest(instance: Any) -> Iterator[tuple[str, Value]]:
    found = internals.contest(instance, 20)
    yield "latency", found.latency
    yield "bound", found.bound
    yield "proved", found.proved or found.exhausted


def figures() -> Figures:
    """Yield all of them."""
    yield from addresses()
    yield from engines()
    yield from contests()
    for key, plan in PLANS.items():
        yield from tried(key, lambda plan=plan: numbers(plan().to_dict(), TIES))
