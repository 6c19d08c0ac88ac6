"""1e8 points on two cores: how long, and whether memory stays flat.

python benchmarks/large_sweep.py [POINTS] [--file FOLDER]

Runs ``perfmodel sweep`` with two processes and watches the memory of all of them together. The
second form writes the points into a Parquet file in the folder, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Resident memory may grow by this much from the first tenth of the sweep to the last.
FLAT_MB = 60.0


def family(pid: int) -> Iterator[int]:
    """A process and all its children."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from family(int(child))


def resident_mb(pid: int) -> float:
    total = 0.0
    try:
        for one in family(pid):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1]) / 1024
    except OSError:
        pass  # one of them has just ended
    return total


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("points", nargs="?", type=float, default=1e8)
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    steps = max(1, round(given.points / 10_000))
    command = [
        sys.executable,
        "-m",
        "perfmodel",
        "sweep",
        "llama_3_8b",
        "--device",
        "a100",
        "--set",
        "batch=1..100",
        "--set",
        "context=linspace(100, 1000, 100)",
        "--set",
        f"memories.main.bandwidth=logspace(1e11, 1e13, {steps})",
        "--metrics",
        "latency_s,energy_j,feasible,tpot_s",
        "--executor",
        "process:2",
    ]
    if given.file:
        command += ["-o", str(given.file / "large_sweep.parquet")]
    else:
        command += ["--pareto", "tpot_s,energy_j"]
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    seen: list[float] = []
    while process.poll() is None:
        seen.append(resident_mb(process.pid))
        time.sleep(0.25)
    seconds = time.monotonic() - begin
    # The first second starts the processes, the last one ends them.
    held = seen[8:-4] or seen
    tenth = max(1, len(held) // 10)
    first, last = max(held[:tenth]), max(held[-tenth:])
    points = steps * 10_000
    print(f"{points:,} points in {seconds:.1f} s: {points / seconds / 1e6:.2f} million a second")
    print(
        f"memory of all processes: {first:.0f} MB at first, {max(held):.0f} MB at most, "
        f"{last:.0f} MB at last"
    )
    return 0 if process.returncode == 0 and max(held) - first <= FLAT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
