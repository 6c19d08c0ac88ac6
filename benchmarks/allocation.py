"""Packing MiniMalloc's instances A to G at their capacity, seed by seed, beside MiniMalloc itself.

    python benchmarks/allocation.py [--seeds 10] [--names ABCDEFG] [--data DIR] [--json]

CPU time of this process, the file read and the offsets checked by comparing every pair. MiniMalloc
is C++; its times are quoted from reference.json of the data, medians of 3 on a core of their own,
so that ratios to them are rough. The exit code is 1 where an instance was not packed, or where the
median over the seeds of the time for all of them is not below 4 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from measure import one_core

CAPACITY, MOST = 1_048_576, 4.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to this one less 1")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--names", default="ABCDEFG")
    parser.add_argument("--data", type=Path, help="folder with ilp/; default PERFMODEL_DATA")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = (asked.data or Path(os.environ.get("PERFMODEL_DATA") or beside)) / "ilp"
    where = one_core()
    from perfmodel.schedule.allocate import allocate

    reference = json.loads((folder / "reference.json").read_text())["minimalloc_cpu_seconds_median"]
    seeds = range(asked.first, asked.first + asked.seeds)
    total = dict.fromkeys(seeds, 0.0)
    lines: dict[str, dict[str, object]] = {}
    if not asked.json:
        print(f"{where}; CPU seconds over {len(seeds)} seeds")
        print(f"{'':10}{'packed':>8}{'median':>9}{'low':>8}{'high':>8}{'nodes':>9}{'C++':>8}")
    for name in asked.names:
        times: list[float] = []
        nodes: list[int] = []
        packed = 0
        for seed in seeds:
            begin = time.process_time()
            found = allocate(
                folder / "minimalloc" / f"{name}.{CAPACITY}.csv",
                CAPACITY,
                seed=seed,
                time_limit_s=60,
            )
            found.check()
            times.append(time.process_time() - begin)
            nodes.append(found.counts["nodes"])
            total[seed] += times[-1]
            packed += found.packed
        lines[name] = {
            "packed": packed,
            "seconds": times,
            "nodes": nodes,
            "reference_seconds": reference[name],
        }
        if not asked.json:
            print(
                f"{name:10}{packed:5}/{len(seeds):2}{statistics.median(times):9.3f}"
                f"{min(times):8.3f}{max(times):8.3f}{statistics.median(nodes):9.0f}"
                f"{reference[name]:8.2f}",
                flush=True,
            )
    sums = list(total.values())
    theirs = sum(reference[name] for name in asked.names)
    missed = any(line["packed"] != len(seeds) for line in lines.values())
    if asked.json:
        print(json.dumps({"cpu": where, "seeds": list(seeds), "lines": lines, "totals": sums}))
    else:
        print(
            f"{'a seed':10}{'':8}{statistics.median(sums):9.3f}{min(sums):8.3f}{max(sums):8.3f}"
            f"{'':9}{theirs:8.2f}"
        )
    return 1 if missed or statistics.median(sums) >= MOST else 0


if __name__ == "__main__":
    sys.exit(main())
