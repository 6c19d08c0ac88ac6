"""Searches: objectives, bounds and proofs of exact ones, and evolution from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, numbers, tried
from tests.search.exact.random_choices import channel_problem, conversion_problem, peak_problem
from tests.search.random_searches import search_of

#: What differs between configurations of equal worth, and what counts the work.
TIES = ("configuration", "counts", "metrics", "price", "seconds")

QUESTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama_3_8b/jetson_agx_orin": (
        "llama_3_8b",
        "jetson_agx_orin",
        {
            "set": {"context": 8192},
            "precision": "w8a16",
            "share": "network",
            "choices": {
                "weight_format": ["int4g128", "int8"],
                "kv_bits": [8, 16],
                "batch": [1, 2, 4, 8],
            },
            "constraints": ["latency_s <= 50 ms", "energy_j <= 3 J"],
            "objective": "tokens_per_s",
        },
    ),
    "resnet18/a100": (
        "resnet18",
        "a100",
        {
            "choices": {"weight_bits": [4, 8]},
            "objective": "energy_j",
            "constraints": ["latency_s <= 1 ms"],
        },
    ),
    "mlperf_tiny_ic/stm32h743": (
        "mlperf_tiny_ic",
        "stm32h743",
        {
            "choices": {"weight_bits": [4, 8]},
            "precision": "w8a8",
            "objective": "weight_bytes",
            "constraints": ["latency_s <= 1 s"],
        },
    ),
    "mlperf_tiny_ic/nothing_fits": (
        "mlperf_tiny_ic",
        "stm32h743",
        {
            "choices": {"weight_bits": [4, 8]},
            "precision": "w8a8",
            "objective": "weight_bytes",
            "constraints": ["latency_s <= 1 us"],
        },
    ),
}


def drawn() -> Figures:
    """Yield searches and problems of choices that a seed draws."""
    for seed in range(12):
        yield from tried(
            f"search/{seed}", lambda s=seed: numbers(search_of(s).run().to_dict(), TIES)
        )
    for kind, make in (
        ("peak", peak_problem),
        ("channels", channel_problem),
        ("formats", conversion_problem),
    ):
        for seed in range(20):
            found = internals.solve_choices(make(seed))
            yield f"choices/{kind}/{seed}/value", found.value
            yield f"choices/{kind}/{seed}/bound", found.bound
            yield f"choices/{kind}/{seed}/proved", found.proved


def evolved(space: str, device: str, method: str) -> Iterator[tuple[str, Value]]:
    """Yield the front of an evolution from a seed."""
    oracle = pm.Oracle(device, pm.space(space), ("latency_s", "weight_bytes"))
    found = internals.evolve(
        oracle,
        oracle.space,
        ["latency_s", "weight_bytes"],
        method=method,
        population=20,
        evaluations=120,
        seed=3,
    )
    yield from numbers({"front": found.front.to_records(), "evaluations": found.evaluations})
    yield "hypervolume", found.hypervolume.to_records()[-1]["hypervolume"]


def spaces() -> Figures:
    """Yield spaces of architectures: their sizes, and members that a seed draws."""
    rng = np.random.default_rng(5)
    for name in ("nas_bench_201", "fbnet", "ofa_mobilenet_v3", "mcunet"):
        space = pm.space(name)
        yield f"space/{name}/decisions", len(space.decisions)
        yield f"space/{name}/size", str(space.size)
        for i in range(4):
            choice = tuple(int(rng.integers(len(d.options))) for d in space.decisions)
            workload = space.workload(choice)
            yield f"space/{name}/{i}/macs", workload.macs
            yield f"space/{name}/{i}/parameters", workload.weights


def sensitivities() -> Figures:
    """Yield losses of layers from a table, and the share of one that a fitted model gives."""
    layers = ["stem", "middle", "head"]
    table = {name: {"int8": 0.1 * (i + 1), "int4": 1.0 + i} for i, name in enumerate(layers)}
    model = pm.accuracy.table(table)
    options = [[pm.accuracy.parse_option(o) for o in ("int8", "int4")] for _ in layers]
    made = model.table(layers, options)
    for name, row in zip(layers, made.unary, strict=True):
        yield f"sensitivity/{name}/int8", float(row[0])
        yield f"sensitivity/{name}/int4", float(row[1])
    content = np.random.default_rng(2).normal(size=(16, 8, 3, 3))
    for text in ("int8", "int4", "int4g32", "fp8", "mxfp4"):
        lost, whole = pm.accuracy.noise(content, internals.format_named(text))
        yield f"noise/{text}", lost / whole


def figures() -> Figures:
    """Yield all of them."""
    yield from drawn()
    for name, (network, device, options) in QUESTIONS.items():
        yield from tried(
            f"question/{name}",
            lambda n=network, d=device, o=options: numbers(pm.search(n, d, **o).to_dict(), TIES),
        )
    for method in ("regularised", "random"):
        yield from tried(
            f"evolve/{method}", lambda m=method: evolved("nas_bench_201", "zen4_core", m)
        )
    yield from spaces()
    yield from sensitivities()
