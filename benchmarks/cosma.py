"""COSMA's setting: bytes spilled by our schedules and by its four baselines, and CPU time.

    python benchmarks/cosma.py [--limit SECONDS] [--method exact] [--json FILE] [NETWORK ...]

Each network at three capacities: M_R (largest working set), M_P (least peak) and M_H between.
Times are CPU seconds of one process, addresses included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from measure import one_core

#: Percent of the baselines' bytes that COSMA saves on average at M_R (its abstract).
PAPER = {"designed": 84, "searched": 85}


@dataclass(frozen=True)
class Row:
    """One network at one capacity; bytes."""

    network: str
    kind: str
    memory: str
    capacity: int
    cost: int
    bound: int
    proved: bool
    packed: bool
    baselines: list[int]
    without_addresses: list[int]
    planned: list[bool]
    cpu_s: float

    def saved(self, *, addresses: bool = True) -> float | None:
        """Return the mean percentage saved of the baselines that move anything."""
        them = self.baselines if addresses else self.without_addresses
        shares = [100 * (1 - self.cost / b) for b in them if b]
        return statistics.fmean(shares) if shares else None

    def __str__(self) -> str:
        state = "proved" if self.proved else f">={self.bound / 1024:.0f}"
        state += "" if self.packed else " no addresses"
        cells = zip(self.baselines, self.without_addresses, self.planned, strict=True)
        them = "".join(
            f"{f'{b / 1024:.0f}/{a / 1024:.0f}' + ('' if fits else '*'):>14}"
            for b, a, fits in cells
        )
        saved = self.saved()
        share = "-" if saved is None else f"{saved:.0f} %"
        return (
            f"{self.network:<26}{self.memory:<10}{self.capacity / 1024:9.1f}"
            f"{self.cost / 1024:8.0f} {state:<9}{them}{share:>8}{self.cpu_s:8.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="COSMA's setting, beside its baselines.")
    parser.add_argument("network", nargs="*", help="names; all of them where none is given")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a schedule (wall clock)")
    parser.add_argument("--method", default="exact", help="greedy, beam, ilp or exact")
    parser.add_argument("--json", type=Path, help="also write the rows to a file")
    asked = parser.parse_args()
    where = one_core()
    from perfmodel_studies.claims.cosma import MEMORIES, NETWORKS, compare, memories, solve

    unknown = sorted({*asked.network} - {*NETWORKS})
    if unknown:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    print(f"{where}; {asked.method}, at most {asked.limit:g} s a schedule; KiB, CPU s")
    print(
        "baselines: with the arena / bytes alone; * where TensorFlow Lite's planner does not fit "
        "the latter in"
    )
    print(f"{'':62}{'natural order':^28}{'minimum peak':^28}")
    heads = "".join(f"{name:>14}" for name in ("Belady", "fewest") * 2)
    print(f"{'':<26}{'':<10}{'capacity':>9}{'ours':>8} {'':<9}{heads}{'saved':>8}{'CPU':>8}")
    rows: list[Row] = []
    for name in asked.network or NETWORKS:
        sizes = memories(name)
        seen: set[int] = set()
        for memory in MEMORIES:
            capacity = sizes.of(memory)
            if capacity in seen:
                continue
            seen.add(capacity)
            label = "M_R = M_P" if sizes.of("M_R") == sizes.of("M_P") else memory
            began = time.process_time()
            found = solve(name, memory, method=asked.method, time_limit_s=asked.limit)
            spent = time.process_time() - began
            them = compare(name, memory, found)
            rows.append(
                Row(
                    name,
                    NETWORKS[name].kind,
                    label,
                    capacity,
                    them.cost_bytes,
                    them.bound_bytes,
                    them.proved,
                    them.packed,
                    [*them.baselines.values()],
                    [*them.without_addresses.values()],
                    [*them.planned.values()],
                    spent,
                )
            )
            print(rows[-1], flush=True)
    _summary(rows)
    if asked.json:
        asked.json.write_text(json.dumps([vars(row) for row in rows], indent=1))
    return 0


def _summary(rows: Iterable[Row]) -> None:
    rows = list(rows)
    tightest = [row for row in rows if row.memory in {"M_R", "M_R = M_P"}]
    for kind, paper in PAPER.items():
        for addresses in (True, False):
            shares = [r.saved(addresses=addresses) for r in tightest if r.kind == kind]
            known = [s for s in shares if s is not None]
            if known:
                print(
                    f"{kind} networks at M_R: {statistics.fmean(known):.1f} % of the baselines' "
                    f"bytes saved, mean of {len(known)} networks"
                    + ("" if addresses else ", bytes alone (no addresses)")
                    + f"; COSMA {paper} %"
                )
    last = [row for row in rows if row.memory in {"M_P", "M_R = M_P"}]
    zero = sum(row.cost == 0 for row in last)
    print(f"at M_P: {zero} of {len(last)} networks spill nothing")
    times = [row.cpu_s for row in rows]
    print(
        f"proved {sum(r.proved for r in rows)} of {len(rows)}; CPU s: median "
        f"{statistics.median(times):.2f}, most {max(times):.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
