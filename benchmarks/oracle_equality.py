"""Is the oracle what `predict` says? Random members of every space on every kind of device.

    python benchmarks/oracle_equality.py [--samples 1000] [--space NAME ...] [--device NAME ...]
                                         [--json]

A row a space and a device: samples, the largest relative difference over all metrics (latency,
energy, power, bytes of each memory and of traffic, MACs, bit operations, rates, utilisation,
feasibility), and CPU seconds of construction and of one look-up in a batch. Settings vary with
the row: cold and warm, batches, the bare roofline and runtimes that fuse nothing. The exit
code is 1 where a difference exceeds 1e-9.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BOUND = 1e-9

#: Settings, drawn in turn along the rows.
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"warm": True},
    {"settings": {"batch": 8}},
    {"model": "roofline"},
    {"runtime": "ideal"},
    {"warm": True, "settings": {"batch": 2}},
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--space", nargs="*", default=[])
    parser.add_argument("--device", nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    from tests.search.oracle.equality import ARCHITECTURES, CONFIGURATIONS, DEVICES

    rows: list[Row] = []
    for s, space in enumerate(asked.space or [*ARCHITECTURES, *CONFIGURATIONS]):
        # A member is built once for all devices that look at it.
        own = [
            row(space, device, VARIANTS[(s + d) % len(VARIANTS)], asked.samples)
            for d, device in enumerate(asked.device or [*DEVICES])
        ]
        compare([r for r in own if r.oracle is not None])
        rows += own
        if not asked.json:
            for each in own:
                print(line(each), flush=True)
    compared = [r for r in rows if r.oracle is not None]
    worst = max((r.worst[0] for r in compared), default=0.0)
    samples = sum(len(r.choices) for r in compared)
    if asked.json:
        told = [
            {
                "space": r.space,
                "device": r.device,
                "setting": r.setting,
                "reason": r.reason,
                "samples": len(r.choices),
                "largest": r.worst[0],
                "metric": r.worst[1],
                "construction_s": r.construction_s,
                "look_up_s": r.look_up_s,
            }
            for r in rows
        ]
        print(json.dumps({"rows": told, "largest": worst, "samples": samples}, indent=1))
    else:
        print(f"{samples:,} samples in {len(compared)} rows, largest difference {worst:.3g}")
    return 1 if worst > BOUND else 0


@dataclass
class Row:
    """A space on a device under one setting; `oracle` is None where nothing is tabled."""

    space: str
    device: str
    setting: dict[str, Any]
    machine: Any
    oracle: Any = None
    reason: str = ""
    choices: list[list[int]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    construction_s: float = 0.0
    look_up_s: float = 0.0
    worst: tuple[float, str] = (0.0, "")


def row(space: str, device: str, variant: dict[str, Any], samples: int) -> Row:
    """Return a row with its oracle asked."""
    import perfmodel as pm
    from tests.search.oracle.equality import CONFIGURATIONS, with_traffic

    machine = pm.hardware(device)
    own = dict(variant)
    if space in CONFIGURATIONS:
        members = CONFIGURATIONS[space].space(machine)
        # Batch is decided, or given: not both.
        if any(d.name == "batch" for d in members.decisions):
            own.pop("settings", None)
    else:
        members = pm.space(space)
    out = Row(space, device, own, machine)
    begin = time.process_time()
    oracle = with_traffic(machine, members, **own)
    out.construction_s = time.process_time() - begin
    if oracle.method == "predicted":
        out.reason = oracle.reason
        return out
    choices = members.sample(samples, seed=samples)
    begin = time.process_time()
    out.found = oracle.batch(choices)
    out.look_up_s = (time.process_time() - begin) / samples
    out.oracle, out.choices = oracle, choices.tolist()
    return out


def compare(rows: list[Row]) -> None:
    """Predict every member of every row."""
    from tests.search.oracle.equality import difference

    for i in range(max((len(r.choices) for r in rows), default=0)):
        for r in rows:
            found = difference(r.oracle, r.found, i, r.machine, r.choices[i], **r.setting)
            r.worst = max(r.worst, found)


def line(r: Row) -> str:
    said = ", ".join(f"{k}={v}" for k, v in r.setting.items()) or "cold"
    head = f"{r.space:32}{r.device:18}{said:36}"
    if r.oracle is None:
        return f"{head}predicted: {r.reason}"
    return (
        f"{head}{len(r.choices):6}{r.worst[0]:10.2g}  built {r.construction_s:6.2f} s"
        f"  each {1e6 * r.look_up_s:7.1f} us"
    )


if __name__ == "__main__":
    sys.exit(main())
