"""The oracle inside a loop: construction, all cells at once, one look-up, beside plain tables.

    python benchmarks/oracle.py [--device raspberry_pi_5] [--rounds 7] [--json]

CPU time on one core, medians. Beside the oracle, in the same rounds: a plain sum over a dictionary
(one latency an edge and operation, as the look-up tables of FBNet and of the NAS benchmarks have
it) and the loop over a latency table that the once-for-all networks are searched with (a text key
a block: sizes in and out, expansion, kernel, stride; Cai et al. 2020, section 3.4). Both sum one
number a block; the oracle answers latency, energy and peak memory as `predict` has them. The exit
code is 1 where a limit is not met.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from measure import Sample, one_core, side_by_side

METRICS = ("latency_s", "energy_j", "peak_memory_bytes")


@dataclass(frozen=True)
class Line:
    what: str
    sample: Sample
    unit: str
    limit: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.limit is None else self.sample.median <= self.limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="raspberry_pi_5")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    where = one_core()
    lines = measured(asked.device, asked.rounds)
    if asked.json:
        told = [
            {
                "what": x.what,
                "unit": x.unit,
                "median": x.sample.median,
                "low": x.sample.low,
                "high": x.sample.high,
                "limit": x.limit,
                "met": x.met,
            }
            for x in lines
        ]
        print(json.dumps({"device": asked.device, "cpu": where, "lines": told}, indent=1))
    else:
        print(f"{platform.machine()}, Python {platform.python_version()}, {where}; CPU time")
        print(f"{'':54}{'median':>10}{'low':>10}{'high':>10}  unit     asked")
        for x in lines:
            numbers = "".join(f"{v:>10.4g}" for v in (x.sample.median, x.sample.low, x.sample.high))
            limit = "" if x.limit is None else f"<= {x.limit:g}  {'yes' if x.met else 'NO'}"
            print(f"{x.what:54}{numbers}  {x.unit:8} {limit}", flush=True)
    return 1 if any(x.met is False for x in lines) else 0


def measured(device: str, rounds: int) -> list[Line]:
    """Return every line."""
    import perfmodel as pm
    from perfmodel.search.oracle import Oracle

    machine = pm.hardware(device)
    lines: list[Line] = []
    oracles: dict[str, Any] = {}
    spaces = {name: pm.space(name) for name in ("nas_bench_201", "fbnet", "ofa_mobilenet_v3")}
    for name, space in spaces.items():
        samples: list[float] = []
        for _ in range(3):
            begin = time.process_time()
            oracles[name] = Oracle(machine, space, METRICS)
            samples.append(time.process_time() - begin)
        limit = 1.0 if name == "nas_bench_201" else None
        lines.append(Line(f"{name}: construction", Sample(tuple(samples)), "s", limit))
    cells = [*spaces["nas_bench_201"]]
    chosen = {n: [tuple(c) for c in s.sample(500, seed=1).tolist()] for n, s in spaces.items()}
    import numpy as np

    every = np.array(cells)
    edges = edge_table(oracles["nas_bench_201"])
    keys, blocks = block_table(oracles["ofa_mobilenet_v3"])
    n = 500

    def turns(one: Callable[[Any], Any], name: str) -> Callable[[int], Any]:
        members = chosen[name]
        return lambda i: one(members[i % n])

    bodies: dict[str, tuple[Callable[[int], object], int]] = {
        "nas_bench_201: all 15,625 in a batch": (
            lambda i: oracles["nas_bench_201"].batch(every),
            3,
        ),
        "nas_bench_201: all 15,625, dictionary sums": (
            lambda i: [dictionary_sum(edges, c) for c in cells],
            1,
        ),
        "nas_bench_201: one": (turns(oracles["nas_bench_201"], "nas_bench_201"), 1000),
        "nas_bench_201: one, dictionary sum": (
            turns(lambda c: dictionary_sum(edges, c), "nas_bench_201"),
            1000,
        ),
        "fbnet: one": (turns(oracles["fbnet"], "fbnet"), 300),
        "ofa_mobilenet_v3: one": (turns(oracles["ofa_mobilenet_v3"], "ofa_mobilenet_v3"), 300),
        "ofa_mobilenet_v3: one, loop over a latency table": (
            turns(lambda c: table_loop(keys, blocks, c), "ofa_mobilenet_v3"),
            300,
        ),
        "fbnet: each of 500 in a batch": (
            lambda i: oracles["fbnet"].batch(np.array(chosen["fbnet"])),
            3,
        ),
        "ofa_mobilenet_v3: each of 500 in a batch": (
            lambda i: oracles["ofa_mobilenet_v3"].batch(np.array(chosen["ofa_mobilenet_v3"])),
            3,
        ),
    }
    for what, sample in side_by_side(bodies, rounds).items():
        if "all 15,625" in what:
            limit = 50.0 if "batch" in what else None
            lines.append(Line(what, sample.each(lambda s: 1e3 * s), "ms", limit))
        elif "in a batch" in what:
            lines.append(Line(what, sample.each(lambda s: 1e6 * s / n), "us"))
        else:
            limit = 20.0 if what == "nas_bench_201: one" else None
            lines.append(Line(what, sample.each(lambda s: 1e6 * s), "us", limit))
    return lines


def edge_table(oracle: Any) -> dict[tuple[int, int], float]:
    """Return what each operation on each edge adds to the latency of the empty cell."""
    sizes = [len(d.options) for d in oracle.space.decisions]
    empty = (0,) * len(sizes)
    base = oracle(empty)["latency_s"]
    return {
        (edge, option): oracle((*empty[:edge], option, *empty[edge + 1 :]))["latency_s"] - base
        for edge, size in enumerate(sizes)
        for option in range(size)
    }


def dictionary_sum(table: dict[tuple[int, int], float], choice: tuple[int, ...]) -> float:
    total = 0.0
    for edge, option in enumerate(choice):
        total += table[edge, option]
    return total


def block_table(oracle: Any) -> tuple[Any, dict[str, float]]:
    """Return the places of blocks and a latency for the text of each block."""
    space = oracle.space
    widths = [16, 24, 40, 80, 112, 160]
    table: dict[str, float] = {}
    places: list[tuple[int, int, int, int, int, int, int]] = []
    for stage, position, kernel, expand in space.places:
        before = widths[stage] if position == 0 else widths[stage + 1]
        places.append(
            (stage, position, kernel, expand, space.depths[stage], before, widths[stage + 1])
        )
    for side in space.decisions[0].options:
        for stage, position, _, _, _, before, after in places:
            for k in (3, 5, 7):
                for e in (3, 4, 6):
                    table[block_key(side, stage, position, before, after, k, e)] = 1e-6 * k * e
    return (space, places), table


def block_key(
    side: int, stage: int, position: int, before: int, after: int, kernel: int, expand: int
) -> str:
    stride = 2 if position == 0 and stage != 3 else 1
    size = side >> (stage + 1)
    return (
        f"block-input:{size}x{size}x{before}-output:{size // stride}x{size // stride}x{after}"
        f"-expand:{expand}-kernel:{kernel}-stride:{stride}"
    )


def table_loop(keys: Any, table: dict[str, float], choice: tuple[int, ...]) -> float:
    """Add up a network: a text a block, looked up."""
    space, places = keys
    decisions = space.decisions
    side = decisions[0].options[choice[0]]
    total = 0.0
    for stage, position, kernel, expand, depth, before, after in places:
        if depth >= 0 and position >= decisions[depth].options[choice[depth]]:
            continue
        k = decisions[kernel].options[choice[kernel]]
        e = decisions[expand].options[choice[expand]]
        total += table[block_key(side, stage, position, before, after, k, e)]
    return total


if __name__ == "__main__":
    sys.exit(main())
