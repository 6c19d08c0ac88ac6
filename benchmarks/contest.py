"""Open instances of the MLSys 2026 graph scheduling contest within its own time limits.

    python benchmarks/contest.py [--data DIR] [--seed 0] [--limit SECONDS] [--json] [FILE ...]

Without files, the instances in DIR/ilp/mlsys2026. The limits are the contest's (2 to 120 s by size,
by the clock on the wall, 8 cores there, one here); CPU time of this process is shown beside. Every
schedule goes through the checker and is written and read back first. Latencies are in the contest's
units. The exit code is 1 where a limit was overrun by more than a tenth, a schedule was refused, or
one is slower than the naive schedule.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from measure import one_core


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--data", type=Path, help="folder with ilp/; default PERFMODEL_DATA")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, help="seconds for each, not the contest's")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = (asked.data or Path(os.environ.get("PERFMODEL_DATA") or beside)) / "ilp" / "mlsys2026"
    files = asked.files or sorted(
        folder.glob("mlsys-*.json"), key=lambda p: int(re.sub(r"\D", "", p.stem) or 0)
    )
    where = one_core()
    from perfmodel_studies.contest import check, contest, read_instance, read_solution
    from perfmodel_studies.contest.run import contest_time_s

    lines: list[dict[str, object]] = []
    if not asked.json:
        print(where)
        print(
            f"{'instance':16}{'operations':>11}{'subgraphs':>10}{'latency':>16}{'naive':>16}"
            f"{'ratio':>8}{'bound':>16}{'gap':>8}{'search':>11}"
            f"{'s CPU':>8}{'s wall':>8}{'limit':>7}"
        )
    bad = 0
    for file in files:
        instance = read_instance(file)
        limit = asked.limit or contest_time_s(instance)
        begin, clock = time.process_time(), time.monotonic()
        found = contest(file, limit, asked.seed)
        seconds, wall = time.process_time() - begin, time.monotonic() - clock
        with tempfile.TemporaryDirectory() as place:
            found.save(Path(place) / "solution.json")
            refused = check(instance, read_solution(Path(place) / "solution.json"))
        slower = found.naive_latency is not None and found.latency > found.naive_latency
        bad += wall > 1.1 * limit or bool(refused) or slower
        line = found.to_dict() | {"cpu_s": seconds, "wall_s": wall, "limit_s": limit}
        del line["solution"]
        lines.append(line)
        if not asked.json:
            naive = "-" if found.naive_latency is None else f"{found.naive_latency:,.1f}"
            state = "proved" if found.proved else "exhausted" if found.exhausted else "stopped"
            print(
                f"{found.instance.name:16}{len(instance.operations):>11}"
                f"{len(found.solution.parts):>10}{found.latency:>16,.1f}{naive:>16}"
                f"{found.ratio:>8.3f}{found.bound:>16,.1f}{found.gap:>8.1%}{state:>11}"
                f"{seconds:>8.2f}{wall:>8.2f}{limit:>7.0f}"
            )
            for fault in refused:
                print(f"  refused: {fault}")
    if asked.json:
        print(json.dumps({"where": where, "instances": lines}, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
