"""Decisions on measured cells: what a search finds with predicted costs, re-scored on measurements.

``python benchmarks/decisions.py [DATA] [SUFFIX]`` prints the tables of docs/decisions.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from perfmodel.evaluate import ValidationResult, validate


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def share(value: float) -> str:
    """Return a fraction in per cent."""
    return f"{100 * value:.2f} %"


def errors(found: ValidationResult, target: str) -> Iterator[str]:
    """Yield errors on cells that no constant was fitted on."""
    head = ("", "cells", "MAPE", "bias", "Spearman", "of MACs", "cheapest 1 % found", "of MACs")
    lines: list[Sequence[str]] = []
    for name, told in found.details.items():
        if target not in told:
            continue
        one = told[target]
        lines.append(
            (
                name,
                str(one["rows"]),
                share(one["errors"]["mape"]),
                share(one["errors"]["bias"]),
                f"{one['spearman']:.4f}",
                f"{one['macs']['spearman']:.4f}",
                f"{100 * one['top_recall']:.0f} %",
                f"{100 * one['macs']['top_recall']:.0f} %",
            )
        )
    yield from table(head, lines)


def fronts(found: ValidationResult, target: str) -> Iterator[str]:
    """Yield shares of hypervolume: worst corner / corner of the measured front."""
    head = (
        "",
        "measured front",
        "found front",
        "of the measured ones",
        "hypervolume",
        "MACs",
        "random",
        "random measures",
    )
    lines: list[Sequence[str]] = []
    for name, told in found.details.items():
        if target not in told:
            continue
        front, macs, drawn = (told[target][k] for k in ("front", "macs", "random"))
        lines.append(
            (
                name,
                str(front["measured_size"]),
                str(front["size"]),
                f"{100 * front['recall']:.0f} %",
                *(
                    f"{share(f['hypervolume'])} / {share(f['hypervolume_nadir'])}"
                    for f in (front, macs["front"], drawn)
                ),
                str(drawn["measurements"]),
            )
        )
    yield from table(head, lines)


def limited(found: ValidationResult, target: str) -> Iterator[str]:
    """Yield regrets under limits."""
    unit, scale = ("ms", 1e3) if target == "latency_s" else ("mJ", 1e3)
    head = (
        "",
        f"limit, {unit}",
        "as predicted",
        "calibrated",
        "breaks it, by",
        "worst",
        "tried",
        "MACs",
        "worst",
        "random",
    )
    lines: list[Sequence[str]] = []
    for name, told in found.details.items():
        if target not in told:
            continue
        own, macs = told[target]["limits"], told[target]["macs"]["limits"]
        for one, other, drawn in zip(own, macs, told[target]["random"]["regret"], strict=True):
            lines.append(
                (
                    name,
                    f"{scale * one['limit']:.2f} (P{one['percentile']})",
                    plain(one),
                    pair(one["calibrated"]),
                    breaks(one["calibrated"]),
                    f"{one['calibrated']['regret_met_worst']:.2f}",
                    f"{one['calibrated']['tried']:.1f}",
                    pair(other["calibrated"]),
                    f"{other['calibrated']['regret_met_worst']:.2f}",
                    f"{drawn:.2f}",
                )
            )
    yield from table(head, lines)


def plain(one: Any) -> str:
    """Return the regrets without a calibration."""
    told = one.get("as_predicted")
    return pair(told) + (", breaks it" if told["broken"] else "") if told else "-"


def pair(told: Any) -> str:
    """Return the regret as chosen, and of the first that meets the limit."""
    return f"{told['regret']:.2f} / {told['regret_met']:.2f}"


def breaks(told: Any) -> str:
    """Return how often a choice breaks the limit, and by how much on average."""
    return f"{100 * told['broken']:.0f} %, {100 * told['excess']:.1f} %" if told["broken"] else "0"


def report(data: str, suffix: str) -> None:
    """Print every table."""
    (found,) = validate("hwnasbench360", data=data, suffix=suffix)
    print(found)
    for target in ("latency_s", "energy_j"):
        for title, made in (("Errors", errors), ("Fronts", fronts), ("Limits", limited)):
            print(f"\n{title}, {target}\n")
            print("\n".join(made(found, target)))


if __name__ == "__main__":
    given = sys.argv[1:]
    report(
        given[0] if given else os.environ.get("PERFMODEL_DATA", "../shared/data"),
        given[1] if len(given) > 1 else "",
    )
