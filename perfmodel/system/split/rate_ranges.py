"""Text of a `Split`: one line for each range of rates with the same best cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.system.split.result import Split

#: Headings of the lines.
_COLUMNS: tuple[str, ...] = (
    "Mbit/s",
    "cut",
    "up",
    "latency",
    "device",
    "server",
    "device's energy",
    "runs/s",
)


def rate_ranges(split: Split) -> list[tuple[str, ...]]:
    """Return a header, and one row per range of the requested rates with the same best cut."""
    rows = [_COLUMNS]
    rates, best = split.rates_bytes_per_s, split.best
    start = 0
    for i in range(1, len(best) + 1):
        if i < len(best) and best[i] == best[start]:
            continue
        k = int(best[start])
        ends = sorted({start, i - 1})
        rows.append(
            (
                "..".join(f"{rates[e] * 8e-6:.4g}" for e in ends),
                split.name(k),
                show(split.cuts.up_bytes[k], "bytes"),
                "..".join(show(split.latency_s[k, e], "time") for e in ends),
                show(split.cuts.device_s[k], "time"),
                show(split.cuts.server_s[k], "time"),
                "..".join(show(float(split.energy_j[k, e]), "energy") for e in ends)
                if math.isfinite(split.energy_j[k, start])
                else "unknown",
                "..".join(f"{1.0 / split.period_s[k, e]:.4g}" for e in ends),
            )
        )
        start = i
    return rows
