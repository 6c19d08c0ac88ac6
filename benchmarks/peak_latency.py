"""Least peaks of published and generated networks; fewest bytes beside least time.

    python benchmarks/peak_latency.py [--data DIR] [--limit 20] [--json]

CPU time of this process. First the exact minimum peak: whether it is proved, executed sets
expanded, seconds. Then, for the graphs of ilp/graphs at their capacities, with compute in
proportion to the bytes that each step touches (a tenth of the time that a channel would take to
move them; no device is meant), the makespan of the schedule of fewest bytes over that of the
fastest schedule found, and of that over its bound. The exit code is 1 where a peak is not proved.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

from measure import one_core
from operator_lists import problem_of

CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with ilp/; default PERFMODEL_DATA")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for each question")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    where = one_core()
    sys.path.insert(0, str(CHECKOUT))
    from perfmodel.optimise.deadline import Deadline
    from perfmodel.schedule.latency import Dma, tradeoff
    from perfmodel.schedule.peak import minimum_peak
    from perfmodel.schedule.portfolio import fewest_bytes
    from tests.schedule.networks import branches, heads, nas, random_wiring

    beside = CHECKOUT.parent / "shared" / "data"
    folder = (asked.data or Path(os.environ.get("PERFMODEL_DATA") or beside)) / "ilp" / "graphs"
    graphs = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    problems = {name: problem_of(graph) for name, graph in graphs.items()}
    large = [
        nas(33),
        *(nas(33, random.Random(seed)) for seed in range(5)),
        *(random_wiring(3, n, random.Random(0)) for n in (32, 48, 64)),
        *(branches(n, 3, random.Random(0)) for n in (100, 300)),
        heads(16),
    ]
    lines: dict[str, list[dict[str, object]]] = {"peak": [], "latency": []}
    failed = 0
    if not asked.json:
        print(f"{where}; CPU seconds")
        print(f"{'least peak':26}{'steps':>6}{'peak':>10}{'proved':>8}{'sets':>8}{'s':>8}")
    for name, problem in [*problems.items(), *((p.name, p) for p in large)]:
        begin = time.process_time()
        found = minimum_peak(problem, Deadline(asked.limit))
        spent = time.process_time() - begin
        failed += not found.proved
        sets = found.work["expansions"]
        lines["peak"].append(
            {
                "name": name,
                "steps": len(problem.steps),
                "peak_bytes": found.value,
                "bound_bytes": found.bound,
                "expansions": sets,
                "cpu_s": spent,
            }
        )
        if not asked.json:
            print(
                f"{name:26}{len(problem.steps):6}{found.value:10}"
                f"{'yes' if found.proved else 'no':>8}{sets:8}{spent:8.3f}"
            )
    if not asked.json:
        print(f"\n{'bytes against time':26}{'KiB':>6}{'bytes/time':>12}{'time/bound':>12}{'s':>8}")
    for name, graph in graphs.items():
        problem = problems[name]
        touched = zip(problem.steps, problem.working_set_bytes, strict=True)
        timed = problem.with_seconds([0.0 if s.load else n / 10 for s, n in touched])
        for known in graph["best_known"]:
            capacity = known["capacity"] * 1024
            fewest = fewest_bytes(timed, capacity, "exact", Deadline(asked.limit))
            begin = time.process_time()
            found = tradeoff(timed, capacity, Dma(1.0, 1.0), fewest=fewest)
            spent = time.process_time() - begin
            assert found is not None
            first, best = found.fewest_bytes.value, found.fastest.value
            lines["latency"].append(
                {
                    "name": name,
                    "capacity_bytes": capacity,
                    "bytes_over_time": first / best,
                    "time_over_bound": best / found.fastest.bound,
                    "proved": found.fastest.proved,
                    "cpu_s": spent,
                }
            )
            if not asked.json:
                print(
                    f"{name:26}{known['capacity']:6}{first / best:12.3f}"
                    f"{best / found.fastest.bound:12.3f}{spent:8.2f}"
                )
    if asked.json:
        print(json.dumps({"where": where, **lines}, indent=2))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
