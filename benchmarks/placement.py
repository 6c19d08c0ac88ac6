"""Placement and streaming: kinds of tensors against tensors one by one, ten thousand unlike pieces.

    python benchmarks/placement.py

One run, one core, CPU time; the bodies take turns. `kinds` is the integer programme with one
variable for all equal tensors a level, `one by one` the same placement with one for each tensor.
"""

from __future__ import annotations

import sys

from measure import Sample, one_core, side_by_side


def main() -> int:
    where = one_core()
    import numpy as np
    from perfmodel_studies.claims.flexgen import FITTED, OPT_30B
    from perfmodel_studies.placement import BlockPolicy, best_policy, block_schedule
    from perfmodel_studies.streams import best_order

    import perfmodel as pm
    from perfmodel.schedule.place import PlacementLevel
    from perfmodel.schedule.place.knapsack import assign_items
    from perfmodel.schedule.stream import Load, pipeline

    host = PlacementLevel.of("host", "64 GB", "25 GB/s")
    model = pm.workload("llama_3_70b", phase="decode", context=2048)
    device = pm.hardware("rtx_4090")
    found = pm.place(model, device, precision="w4a16", extra=[host])
    sizes = np.array([item.size_bytes for item in found.items])
    copies = np.array([item.copies for item in found.items])
    reads = np.array([item.read_bytes for item in found.items])
    seconds = np.array([1.0 / level.bandwidth_bytes_per_s for level in found.levels])
    room = np.array([level.capacity_bytes for level in found.levels])
    apart = np.repeat(np.arange(len(sizes)), copies)
    costs = reads[:, None] * seconds

    def kinds(i: int) -> None:
        assign_items(sizes, copies, costs, room * (1.0 - 1e-6 * i))

    def one_by_one(i: int) -> None:
        whole = np.ones(len(apart), dtype=np.int64)
        assign_items(sizes[apart], whole, costs[apart], room * (1.0 - 1e-6 * i))

    random = np.random.default_rng(0)
    n = 10_000
    many = random.uniform(1e4, 1e6, n)
    dear = (many * random.pareto(1.5, n))[:, None] * np.array([1e-12, 1e-11, 1e-9, 1e-8])
    levels = np.array([0.01, 0.1, 0.3, 1.0]) * many.sum()
    each = np.ones(n, dtype=np.int64)
    gap = 0.0

    def unlike(i: int) -> None:
        nonlocal gap
        done = assign_items(many, each, dear, levels * (1.0 - 1e-6 * i), method="lp")
        gap = max(gap, done.cost / done.bound - 1.0)

    loads = [Load(str(k), random.uniform(0.5, 1.5), random.uniform(0.5, 1.5)) for k in range(2000)]
    few = [Load(str(k), random.uniform(0.5, 1.5), random.uniform(0.5, 1.5)) for k in range(12)]
    nodes = best_order(few, slots=2).nodes

    policy = BlockPolicy(48, 3, (0.2, 0.8, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.0), True)
    times = side_by_side(
        {
            "pm.place, Llama-3-70B on two levels": (
                lambda i: pm.place(
                    model, device, precision="w4a16", extra=[host], capacities={"host": 64e9 + i}
                ),
                5,
            ),
            "kinds": (kinds, 5),
            "one by one": (one_by_one, 1),
            "10,000 unlike pieces in four levels, rounded": (unlike, 1),
            "128 blocks of a block schedule, a programme each": (
                lambda i: best_policy(OPT_30B, FITTED, (15e9 + i, 200e9, 1.5e12), 512, 32),
                1,
            ),
            "a block schedule": (
                lambda i: block_schedule(OPT_30B, policy, FITTED, 512 + i, 32),
                200,
            ),
            "pipeline of 2,000 loads": (lambda i: pipeline(loads, slots=2 + i % 3), 5),
            f"best order of 12 loads in 2 slots ({nodes} nodes)": (
                lambda i: best_order(few, slots=2),
                5,
            ),
        },
        rounds=5,
    )
    print(f"{where}; CPU time; median (lowest, highest)")
    for name, sample in times.items():
        _line(name, sample.each(lambda s: 1e3 * s), "ms")
    pairs = zip(times["one by one"].values, times["kinds"].values, strict=True)
    _line("one by one / kinds", Sample(tuple(a / b for a, b in pairs)), "x")
    print(f"{'10,000 unlike pieces: largest gap to the bound':58}{gap:>12.2e}")
    return 0


def _line(name: str, sample: Sample, unit: str) -> None:
    print(f"{name:58}{sample.median:>12,.4g} ({sample.low:,.4g} .. {sample.high:,.4g}) {unit}")


if __name__ == "__main__":
    sys.exit(main())
