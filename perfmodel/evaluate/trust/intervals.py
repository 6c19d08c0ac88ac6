"""Whether intervals hold: the section of the trust page."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.ask import runtime
from perfmodel.evaluate.trust.markdown import markdown_table, short
from perfmodel.evidence import Coverage, Evidence, coverage

#: Rows from which on a class says something of its intervals.
_ENOUGH = 50

_INTRO = """\
## Intervals

Every prediction says on what it rests and between which values measurements would lie
([how](roofline.md#the-interval)). Here each device's rows are held against intervals of which its
own rows are no part: those by constants as they are (`measured`), by constants fitted without the
device (`transferred`), and under the runtime that stands for software that nobody measured
(`assumed`). Widths of a class are stretched until they hold on its other devices. A device counts
for its rows, at most 40 of them. The 90 % interval should hold 85 to 95 % and the 50 % one 42 to
58 %; **ratio** is the median of high over low of the 90 % one.
"""


def interval_section(evidence: Evidence) -> str:
    """Return the shares inside the intervals by class and basis, and where they miss them."""
    each = [
        one for one in coverage(evidence, lambda name: runtime(name).lineage) if one.rows >= _ENOUGH
    ]
    classes = [one for one in each if not one.runtime]
    missed = [one for one in classes if not one.holds or _wide(one)]
    said = [f"- {_name(one)}: {_why(one, each)}." for one in missed]
    parts = [_INTRO, _table("class of workloads", classes)]
    if said:
        parts.append("Where they do not hold, or are wide:\n\n" + "\n".join(said) + "\n")
    parts.append(_table("runtime", [one for one in each if one.runtime]))
    return "\n".join(parts)


def _wide(one: Coverage) -> bool:
    return one.basis != "assumed" and one.ratio > 3.0


def _name(one: Coverage) -> str:
    return f"{one.quantity}, {one.workload_class}, {one.basis}"


def _why(one: Coverage, each: Sequence[Coverage]) -> str:
    """Return what is off, and the runtimes that are farthest off."""
    texts: list[str] = []
    if not one.holds:
        texts.append(f"{short(one.half)} % and {short(one.most)} % inside")
    if _wide(one):
        texts.append(f"the ratio is {one.ratio:.2g}")
    of = [other for other in each if other[:3] == one[:3] and other.runtime and not other.holds]
    worst = sorted(of, key=lambda other: -abs(other.most - 0.9) - abs(other.half - 0.5))[:3]
    if worst:
        texts.append("farthest off " + ", ".join(f"`{other.runtime}`" for other in worst))
    return "; ".join(texts)


def _table(what: str, rows: Sequence[Coverage]) -> str:
    head = ("quantity", what, "basis", "rows", "devices", "in 50 %", "in 90 %", "ratio")
    body = [
        (one.quantity, one.workload_class + (f", `{one.runtime}`" if one.runtime else ""),
         one.basis, str(one.rows), str(one.devices), short(one.half), short(one.most),
         f"{one.ratio:.2f}")
        for one in rows
    ]  # fmt: skip
    return markdown_table(head, body, left=3)
