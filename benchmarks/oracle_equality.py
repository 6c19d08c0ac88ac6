"""Is the oracle what `predict` says? Random members of every space on every kind of device.

    python benchmarks/oracle_equality.py [--samples 1000] [--space NAME ...] [--device NAME ...]
                                         [--skip SECONDS] [--json]

A row a space and a device: samples, the largest relative difference over all metrics (latency,
energy, power, bytes of each memory and of traffic, MACs, bit operations, rates, utilisation,
feasibility), and CPU seconds of construction, of one look-up and of one prediction. Settings vary
with the row: cold and warm, batches, the bare roofline and runtimes that fuse nothing. The exit
code is 1 where a difference exceeds 1e-9.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BOUND = 1e-9

#: Settings, drawn in turn along the rows.
VARIANTS: tuple[dict[str, Any], ...] = (
    {}, {"warm": True}, {"settings": {"batch": 8}}, {"model": "roofline"}, {"runtime": "ideal"},
    {"warm": True, "settings": {"batch": 2}},
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--space", nargs="*", default=[])
    parser.add_argument("--device", nargs="*", default=[])
    parser.add_argument("--all-variants", action="store_true", help="every setting on every row")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    from tests.search.oracle.equality import ARCHITECTURES, CONFIGURATIONS, DEVICES

    spaces = asked.space or [*ARCHITECTURES, *CONFIGURATIONS]
    devices = asked.device or [*DEVICES]
    if not asked.json:
        print(f"{asked.samples} samples a row")
    rows: list[dict[str, Any]] = []
    for s, space in enumerate(spaces):
        for d, device in enumerate(devices):
            chosen = VARIANTS if asked.all_variants else (VARIANTS[(s + d) % len(VARIANTS)],)
            for variant in chosen:
                row = one(space, device, variant, asked.samples)
                rows.append(row)
                if not asked.json:
                    print(line(row), flush=True)
    worst = max((row["largest"] for row in rows if row["largest"] is not None), default=0.0)
    samples = sum(row["samples"] for row in rows)
    if asked.json:
        print(json.dumps({"rows": rows, "largest": worst, "samples": samples}, indent=1))
    else:
        print(f"{samples:,} samples, largest relative difference {worst:.3g}")
    return 1 if worst > BOUND else 0


def one(space: str, device: str, variant: dict[str, Any], samples: int) -> dict[str, Any]:
    """Return a row: one space on one device under one setting."""
    import perfmodel as pm
    from tests.search.oracle.equality import (
        CONFIGURATIONS,
        differences,
        with_traffic,
    )

    machine = pm.hardware(device)
    row: dict[str, Any] = {"space": space, "device": device, "setting": variant, "samples": 0,
                           "largest": None}  # fmt: skip
    own = dict(variant)
    try:
        found: Any
        if space in CONFIGURATIONS:
            found = CONFIGURATIONS[space].space(machine)
            # Batch is decided, or given: not both.
            if any(d.name == "batch" for d in found.decisions):
                own.pop("settings", None)
        else:
            found = pm.space(space)
        begin = time.process_time()
        oracle = with_traffic(machine, found, **own)
    except pm.InputError as error:
        return row | {"method": "refused", "reason": str(error.faults[0].message)}
    made = time.process_time() - begin
    row |= {"method": oracle.method, "reason": oracle.reason, "construction_s": made}
    if oracle.method == "predicted":
        return row
    choices = found.sample(samples, seed=samples)
    begin = time.process_time()
    oracle.batch(choices)
    row["look_up_s"] = (time.process_time() - begin) / samples
    begin = time.process_time()
    worst = max(differences(oracle, machine, choices.tolist(), **own))
    row["predict_s"] = (time.process_time() - begin) / samples
    return row | {"samples": samples, "largest": worst[0], "metric": worst[1],
                  "member": worst[2]}  # fmt: skip


def line(row: dict[str, Any]) -> str:
    said = ", ".join(f"{k}={v}" for k, v in row["setting"].items()) or "cold"
    head = f"{row['space']:32}{row['device']:18}{said:36}"
    if row["largest"] is None:
        return f"{head}{row['method']}: {row['reason']}"
    return (f"{head}{row['samples']:6}{row['largest']:10.2g}  built {row['construction_s']:6.2f} s"
            f"  each {1e6 * row['look_up_s']:7.1f} us  predicted {1e3 * row['predict_s']:6.2f} ms"
            )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
