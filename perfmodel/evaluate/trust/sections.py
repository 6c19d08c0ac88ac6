"""Sections of the trust page: coverage of intervals, and pairwise ranking accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perfmodel.ask import runtime
from perfmodel.evaluate.pairwise_ranking import PREDICTORS, PairScore
from perfmodel.evaluate.result import percent
from perfmodel.evidence import Coverage, Evidence, coverage

#: Minimum number of rows or pairs of a reported class.
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
    """Return the section on the coverage of intervals by class and basis, with deviations."""
    each = [
        one for one in coverage(evidence, lambda name: runtime(name).lineage) if one.rows >= _ENOUGH
    ]
    classes = [one for one in each if not one.runtime]
    missed = [one for one in classes if not one.holds or _wide(one)]
    reasons = [f"- {_name(one)}: {_why(one, each)}." for one in missed]
    parts = [_INTRO, _table("class of workloads", classes)]
    if reasons:
        parts.append("Where they do not hold, or are wide:\n\n" + "\n".join(reasons) + "\n")
    parts.append(_table("runtime", [one for one in each if one.runtime]))
    return "\n".join(parts)


def _wide(one: Coverage) -> bool:
    return one.basis != "assumed" and one.ratio > 3.0


def _name(one: Coverage) -> str:
    return f"{one.quantity}, {one.workload_class}, {one.basis}"


def _why(one: Coverage, each: Sequence[Coverage]) -> str:
    """Return the deviation of a class, and the runtimes that deviate most."""
    texts: list[str] = []
    if not one.holds:
        texts.append(f"{short(one.half)} % and {short(one.most)} % inside")
    if _wide(one):
        texts.append(f"the ratio is {one.ratio:.2g}")
    deviating = [
        other for other in each if other[:3] == one[:3] and other.runtime and not other.holds
    ]
    worst = sorted(deviating, key=lambda other: -abs(other.most - 0.9) - abs(other.half - 0.5))[:3]
    if worst:
        texts.append("farthest off " + ", ".join(f"`{other.runtime}`" for other in worst))
    return "; ".join(texts)


def _table(what: str, rows: Sequence[Coverage]) -> str:
    head = ("quantity", what, "basis", "rows", "devices", "in 50 %", "in 90 %", "ratio")
    body = [
        (
            one.quantity,
            one.workload_class + (f", `{one.runtime}`" if one.runtime else ""),
            one.basis,
            str(one.rows),
            str(one.devices),
            short(one.half),
            short(one.most),
            f"{one.ratio:.2f}",
        )
        for one in rows
    ]
    return markdown_table(head, body, left=3)


_DECISIONS = """\
## Decisions

Which of two is faster: one network on two devices, two networks on one device, one network on one
device in two precisions. Pairs are drawn with a fixed seed, up to 100,000 of each class and as many
from each data set as from another, of rows that are alike in all else and whose measured times
differ by more than 20 %. Shown is the share that is put in the right order: by plain predictions,
by constants refitted without the devices (on the pairs of which both rows have such a prediction),
by the bare roofline, by operations over peak; a coin has 50 %. Classes with fewer than 50 pairs are
left out.
"""

_DIFFER = {
    "device": "one network, two devices",
    "network": "two networks, one device",
    "precision": "two precisions",
}


def decision_section(scores: Sequence[PairScore]) -> str:
    """Return the section on pairwise ranking accuracy (`perfmodel.evaluate.pairwise_ranking`)."""
    head = (
        "decision",
        "class of workloads",
        "pairs",
        "data sets",
        "right %",
        "left out %",
        "roofline %",
        "operations %",
    )
    rows = [
        (
            _DIFFER[one.differ_in],
            one.workload_class,
            str(one.pairs),
            str(one.datasets),
            *(_share(one, name) for name in PREDICTORS),
        )
        for one in scores
        if one.pairs >= _ENOUGH
    ]
    return _DECISIONS + "\n" + markdown_table(head, rows, left=2)


def _share(one: PairScore, predictor: str) -> str:
    if predictor not in one.accuracy:
        return ""
    share, pairs = one.accuracy[predictor]
    return short(share) + (f" ({pairs})" if predictor == "left_out" else "")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table with the first `left` columns aligned left, others right."""
    align = ["---"] * left + ["---:"] * (len(head) - left)
    lines = ["| " + " | ".join(row) + " |" for row in (head, align, *rows)]
    return "\n".join(lines) + "\n"


def short(value: float | None, *, sign: bool = False) -> str:
    """Return a fraction in per cent, without the unit."""
    return percent(value, sign=sign).replace(" %", "")
