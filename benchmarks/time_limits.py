"""What forty questions with a time limit take: asked, taken, and the worst excess.

    python benchmarks/time_limits.py [--json] [--only schedule,allocate]

Wall time from the call to the answer, on an otherwise idle machine; imports and the library's
files are read before. A question that ends before its limit is within it. The exit code is 1 where
one took more than 10 % beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfmodel.schedule.allocate import Lifetime

#: Part of a limit that may be exceeded, and seconds below which a clock says nothing.
EXCESS, GRAIN_S = 0.10, 0.02

Question = tuple[str, float, Callable[[], object]]


def graph(path: str, steps: int, seed: int) -> str:
    """Write a random operator graph of sizes and return its path."""
    rng = random.Random(seed)
    operators: list[dict[str, object]] = []
    for i in range(steps):
        near = range(max(0, i - 14), i)
        reads = sorted(rng.sample(near, min(i, rng.choice([1, 1, 2, 2, 3]))))
        operators.append({"name": f"op{i}", "inputs": reads, "output_size": rng.randint(100, 1500)})
    body = {"name": f"random{steps}", "operators": operators}
    with open(path, "w") as file:
        json.dump(body, file)
    return path


def lifetimes(count: int, seed: int) -> list[Lifetime]:
    """Return buffers at random, hundreds of them alive at a time."""
    from perfmodel.schedule.allocate import Lifetime

    rng = random.Random(seed)
    out: list[Lifetime] = []
    for i in range(count):
        lower = rng.randrange(2 * count)
        upper = lower + rng.randint(1, count // 3)
        out.append(Lifetime(f"b{i}", lower, upper, rng.randint(1, 500) * 64))
    return out


def questions(folder: str) -> Iterator[Question]:
    """Yield name, limit and what is asked: forty of them."""
    import perfmodel as pm
    from perfmodel.schedule.allocate import allocate

    sixty = graph(f"{folder}/random60.json", 60, 3)
    hundred = graph(f"{folder}/random120.json", 120, 5)
    for method in ("exact", "ilp", "beam"):
        for limit in (1.0, 2.0, 5.0):
            yield (
                f"schedule {method} 60 steps",
                limit,
                lambda m=method, s=limit: pm.schedule(
                    sixty, capacity=7000, method=m, time_limit_s=s
                ),
            )
    for objective in ("bytes", "peak"):
        for limit in (1.0, 3.0):
            yield (
                f"schedule {objective} 120 steps",
                limit,
                lambda o=objective, s=limit: pm.schedule(
                    hundred, capacity=9000, objective=o, time_limit_s=s
                ),
            )
    for count in (500, 2000, 5000):
        lives = lifetimes(count, count)
        for limit in (1.0, 2.0, 5.0):
            yield (
                f"allocate {count} buffers",
                limit,
                lambda b=lives, s=limit: allocate(b, time_limit_s=s),
            )
    lives = lifetimes(1000, 7)
    most = max(
        sum(b.size_bytes for b in lives if b.lower <= t < b.upper) for t in range(0, 2000, 5)
    )
    for limit in (1.0, 2.0, 3.0):
        yield (
            "allocate 1000 buffers at their load",
            limit,
            lambda s=limit: allocate(lives, most, time_limit_s=s),
        )
    large, small = pm.workload("nasnet_a_large"), pm.workload("resnet50")
    for limit in (2.0, 5.0, 8.0):
        yield (
            "search nasnet_a_large",
            limit,
            lambda s=limit: pm.search(
                large,
                "jetson_agx_orin",
                precision="w8a8",
                choices={"weight_bits": {"*": [2, 4, 8]}},
                constraints=["weight_bytes <= 40 MB"],
                objective="latency_s",
                time_limit_s=s,
            ),
        )
    for limit in (2.0, 4.0):
        yield (
            "search resnet50",
            limit,
            lambda s=limit: pm.search(
                small,
                "jetson_agx_orin",
                precision="w8a8",
                choices={
                    "weight_bits": {"*": [2, 3, 4, 5, 6, 8]},
                    "activation_bits": {"*": [4, 8]},
                },
                constraints=["latency_s <= 1 ms", "weight_bytes <= 12 MB"],
                objective="peak_memory_bytes",
                time_limit_s=s,
            ),
        )
    for device in ("rk3588", "jetson_agx_orin"):
        for limit in (1.0, 3.0):
            yield (
                f"assign nasnet_a_mobile {device}",
                limit,
                lambda d=device, s=limit: pm.assign(
                    "nasnet_a_mobile", d, parallel=True, time_limit_s=s
                ),
            )
    for limit in (1.0, 3.0):
        yield (
            "place mixtral_8x7b",
            limit,
            lambda s=limit: pm.place(
                "mixtral_8x7b",
                "jetson_agx_orin",
                precision="w4a16",
                time_limit_s=s,
                extra=[pm_level()],
                capacities={"dram": "8 GB"},
                by="tensor",
            ),
        )
    for limit in (2.0, 5.0):
        yield (
            "finetune gpt2",
            limit,
            lambda s=limit: pm.finetune("gpt2", limit="200 MiB", time_limit_s=s),
        )
    for limit in (1.0, 3.0):
        yield (
            "patches mobilenet_v2",
            limit,
            lambda s=limit: pm.patches("mobilenet_v2", capacity="120 KiB", time_limit_s=s),
        )


def pm_level() -> object:
    """Return a memory beside the device."""
    from perfmodel.schedule.place import PlacementLevel

    return PlacementLevel("host", 64e9, 25e9)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="first words of questions, with commas")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    words = [w for w in asked.only.split(",") if w]
    import tempfile

    import perfmodel as pm

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tiny_cnn", "mobilenet_v2"):  # imports and the library's files
            pm.schedule(name, capacity="300 KiB", method="ilp", time_limit_s=1.0)
            pm.predict(name, "jetson_agx_orin")
        for name, limit, ask in questions(folder):
            if words and name.split()[0] not in words:
                continue
            begin = time.perf_counter()
            ask()
            taken = time.perf_counter() - begin
            excess = max(0.0, taken - limit - GRAIN_S) / limit
            rows.append({"question": name, "limit_s": limit, "taken_s": taken, "excess": excess})
            if not asked.json:
                mark = "  over" if excess > EXCESS else ""
                print(
                    f"{name:38}{limit:6.1f} s asked{taken:8.2f} s taken{excess:8.1%}{mark}",
                    flush=True,
                )
    worst = max((float(str(row["excess"])) for row in rows), default=0.0)
    late = sum(float(str(row["excess"])) > EXCESS for row in rows)
    if asked.json:
        print(json.dumps({"runs": rows, "worst_excess": worst, "late": late}, indent=1))
    else:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        print(f"{len(rows)} questions, {late} late, worst excess {worst:.1%}; load {load:.1f}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
