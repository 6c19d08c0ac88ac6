"""Fewest bytes spilled and reloaded: cost, bound and CPU seconds of the exact search.

    python benchmarks/schedules.py [FILE.json ...] [--limit SECONDS] [--json]

The files are operator lists with ``best_known`` entries (capacity, cost, proved); without any, the
measured data sets' (``PERFMODEL_DATA``). One run, one core, CPU time; the limit is of the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from measure import one_core
from operator_lists import problem_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="*", type=Path)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for each; default 300")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    asked = parser.parse_args()
    data = os.environ.get("PERFMODEL_DATA") or Path(__file__).parents[2] / "shared" / "data"
    files = asked.file or sorted(Path(data, "ilp", "graphs").glob("*.json"))
    if not files:
        parser.error("no operator lists: name some, or set PERFMODEL_DATA")
    where = one_core()
    lines: list[dict[str, Any]] = []
    if not asked.json:
        print(f"{where}; CPU seconds; sizes in KiB; best known beside")
        print(
            f"{'':34}{'cost':>7}{'bound':>7}  {'':10}{'seconds':>8}{'states':>10}{'expanded':>10}"
        )
    for line in _solved(files, asked.limit):
        lines.append(line)
        if not asked.json:
            print(_row(line), flush=True)
    proved = [line for line in lines if line["known_proved"]]
    missed = [line for line in proved if not line["proved"] or line["seconds"] > 20]
    missed += [line for line in lines if line["cost_kib"] > line["known_kib"]]
    middle = median(line["seconds"] for line in lines)
    if asked.json:
        print(json.dumps({"cpu": where, "lines": lines, "median_s": middle}))
    else:
        print(f"median {middle:.2f} s (asked: 2); {len(missed)} missed of {len(lines)}")
    return 1 if missed or middle > 2 else 0


def _solved(files: list[Path], limit: float) -> Iterator[dict[str, Any]]:
    from perfmodel.optimise.deadline import Deadline
    from perfmodel.schedule.exact import search
    from perfmodel.schedule.script import replay

    for file in files:
        listed = json.loads(file.read_text())
        problem = problem_of(listed)
        for known in listed["best_known"]:
            capacity = known["capacity"] * 1024
            start = time.process_time()
            found = search(problem, capacity, Deadline(limit))
            seconds = time.process_time() - start
            assert found.solution is not None
            assert replay(problem, found.solution, capacity).cost_bytes == found.value
            yield {
                "graph": file.stem,
                "operators": len(problem.steps),
                "capacity_kib": known["capacity"],
                "cost_kib": found.value / 1024,
                "bound_kib": found.bound / 1024,
                "proved": found.proved,
                "seconds": seconds,
                "known_kib": known["spill_plus_reload"],
                "known_proved": known["proved_optimal"],
                **found.work,
            }


def _row(line: dict[str, Any]) -> str:
    name = f"{line['graph']} {line['capacity_kib']} ({line['known_kib']})"
    state = "proved" if line["proved"] else "open"
    return (
        f"{name:34}{line['cost_kib']:>7.0f}{line['bound_kib']:>7.0f}  {state:10}"
        f"{line['seconds']:>8.2f}{line['states']:>10,}{line['expanded']:>10,}"
    )


if __name__ == "__main__":
    sys.exit(main())
