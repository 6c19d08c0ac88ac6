"""Mappings of nests onto memories of each operand: energy, cycles and proofs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, numbers, tried
from tests.golden.internals import TileNest, Widths
from tests.mapping.mapping_cases import WIDTHS, hierarchy, nest

LAYERS = {
    "conv": TileNest(
        out_channels=64,
        in_channels=64,
        out_rows=14,
        out_columns=14,
        kernel_rows=3,
        kernel_columns=3,
    ),
    "pointwise": TileNest(out_channels=96, in_channels=24, out_rows=28, out_columns=28),
    "depthwise": TileNest(groups=32, out_rows=28, out_columns=28, kernel_rows=3, kernel_columns=3),
}


def worth(found: Any) -> Iterator[tuple[str, Value]]:
    """Yield what a mapping costs."""
    yield "energy_j", found.energy_j
    yield "latency_cycles", found.latency_cycles
    yield "ideal_cycles", found.ideal_cycles
    yield "compute_cycles", found.compute_cycles
    yield "proved", found.proved


def drawn() -> Figures:
    """Yield the best mappings of nests and hierarchies that a seed draws."""
    for seed in range(60):
        rng = random.Random(seed)
        problem, machine, widths = nest(rng), hierarchy(rng, tight=seed % 3 > 0), WIDTHS[seed % 3]

        def asked(p: Any = problem, h: Any = machine, w: Any = widths) -> Any:
            best = internals.best_mapping(p, h, widths=w)
            return [
                ("energy_j", best.energy_j),
                ("proved", best.proved),
                ("compute_cycles", best.compute_cycles),
            ]

        yield from tried(f"mapping/{seed}", asked)


def known() -> Figures:
    """Yield layers and networks on the accelerators that are known by name."""
    widths = Widths(1, 1, 1, 2)
    for name, made in internals.KNOWN.items():
        for layer, problem in LAYERS.items():
            for objective in ("energy", "latency"):
                for search in (internals.best_mapping, internals.loma_mapping):
                    word = "best" if search is internals.best_mapping else "listed"
                    yield from tried(
                        f"mapping/{name}/{layer}/{objective}/{word}",
                        lambda s=search, p=problem, m=made, o=objective: worth(
                            s(p, m(), objective=o, widths=widths, loops=5)
                        ),
                    )
    found = internals.map_network(
        pm.workload("mlperf_tiny_ic"), internals.tpu_like(), widths=widths
    )
    yield from numbers(
        {"energy_j": found.energy_j, "latency_cycles": found.latency_cycles, "macs": found.macs},
        (),
        "mapping/network/mlperf_tiny_ic",
    )


def figures() -> Figures:
    """Yield both."""
    yield from drawn()
    yield from known()
