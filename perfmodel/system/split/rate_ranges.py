"""Text of a `Split`: a line for each range of rates with the same best cut, and its energy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from perfmodel.system.split.energy import within
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.system.split.cuts import Floats
    from perfmodel.system.split.result import Split


def rate_ranges(split: Split) -> list[tuple[str, ...]]:
    """Return a header, and one row per range of the requested rates with the same best cut."""
    cuts = split.cuts
    energy = f"{split.boundary}'s energy"
    rows: list[tuple[str, ...]] = [
        ("Mbit/s", "cut", "up", "latency", "device", "server", energy, "runs/s")
    ]
    for cut, ends in _stretches(split):
        rates = "..".join(f"{split.rates_bytes_per_s[e] * 8e-6:.4g}" for e in ends)
        if cut < 0:
            rows.append((rates, split.name(cut), *[""] * 6))
            continue
        rows.append(
            (
                rates,
                split.name(cut),
                show(cuts.up_bytes[cut], "bytes"),
                _ends(split.latency_s, cut, ends, "time"),
                show(cuts.device_s[cut], "time"),
                show(cuts.server_s[cut], "time"),
                _ends(split.energy_j, cut, ends, "energy"),
                _ends(1.0 / split.period_s, cut, ends),
            )
        )
    return rows


def energy_ranges(split: Split) -> list[tuple[str, ...]]:
    """Return a header, and the energy by term of each row of `rate_ranges`; empty if unknown.

    With a period also the average power and the life of a charge.
    """
    stretches = [each for each in _stretches(split) if each[0] >= 0]
    known = [each for each in stretches if math.isfinite(split.energy_j[each[0], each[1][0]])]
    terms = {
        name: joule
        for name, joule in within(split.energy_terms_j, split.boundary).items()
        if any(joule[cut, e] for cut, ends in known for e in ends)
    }
    columns = {name: (joule, "energy") for name, joule in terms.items()}
    if split.request_period_s is not None:
        columns["a period"] = (split.energy_per_period_j, "energy")
        columns["on average"] = (split.average_power_w, "power")
        if math.isfinite(split.battery_runs[0, 0]):
            columns["a charge lasts"] = (split.battery_hours / 24.0, "")
    rows = [("energy by term", *columns)]
    for cut, ends in known:
        cells = (
            _ends(values, cut, ends, dimension, "days") for values, dimension in columns.values()
        )
        rows.append((split.name(cut), *cells))
    return rows if known else []


def _stretches(split: Split) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield the best cut of each range of rates, and the indices of its lowest and highest rate."""
    best, start = split.best.tolist(), 0
    for i in range(1, len(best) + 1):
        if i == len(best) or best[i] != best[start]:
            yield best[start], sorted({start, i - 1})
            start = i


def _ends(
    values: Floats, cut: int, ends: Sequence[int], dimension: str = "", unit: str = ""
) -> str:
    """Return values at the ends of a range of rates; one where both read the same."""
    numbers = [float(values[cut, e]) for e in ends]
    if not all(map(math.isfinite, numbers)):
        return "unknown"
    texts = [show(n, dimension) if dimension else f"{n:.4g} {unit}".strip() for n in numbers]
    return "..".join(dict.fromkeys(texts))
