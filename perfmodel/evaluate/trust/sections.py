"""Sections of the trust page: coverage of intervals, and pairwise ranking accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from perfmodel.ask import hardware, runtime
from perfmodel.evaluate.pairwise_ranking import PREDICTORS, PairScore
from perfmodel.evaluate.result import percent
from perfmodel.evidence import Coverage, Evidence, coverage

#: Minimum number of rows or pairs of a class from which on its shares are judged.
_ENOUGH = 50
#: Minimum number of rows of a reported part of a class.
_REPORTED = 10
#: Tags of devices by which intervals are reported.
_SORTS = ("phone", "laptop", "desktop", "sbc", "datacenter", "server", "mcu", "npu", "fpga", "gpu")

_INTRO = """\
## Intervals

Every prediction says on what it rests and between which values measurements would lie
([how](roofline.md#the-interval)). Here each device's rows are held against intervals of which its
own rows are no part: those by constants as they are (`measured`), by constants fitted without the
device (`transferred`), and under the runtime that stands for software that nobody measured
(`assumed`). Widths of a class are stretched until they hold on its other devices. A device counts
for its rows, at most 40 of them. The 90 % interval should hold 85 to 95 % and the 50 % one 42 to
58 %; **ratio** is the median of high over low of the 90 % one. Classes with fewer than 50 rows are
shown, but tell little: neither do parts of a class, such as the rows of one runtime, whose devices
may all err to the same side.
"""
_BY_SORT = "By sort of device (a device may be of several):\n"
_BY_RUNTIME = "By runtime:\n"
_BY_DATASET = "By data set, each device's rows beside intervals that know none of its rows:\n"


def interval_section(evidence: Evidence, datasets: Mapping[str, Evidence]) -> str:
    """Return the section on the coverage of intervals by class and basis, with deviations.

    Parameters
    ----------
    evidence
        Evidence of all data sets.
    datasets
        Data set -> its evidence.
    """

    def covered(scored: Evidence | None = None) -> list[Coverage]:
        """Return the coverage of classes of all rows, or of those of a data set."""
        return coverage(evidence, lambda name: runtime(name).lineage, _parts_of, scored)

    each = covered()
    classes = [one for one in each if not one.part]
    missed = [one for one in classes if one.rows >= _ENOUGH and (not one.holds or _wide(one))]
    reasons = [f"- {_name(one)}: {_why(one, each)}." for one in missed]
    reported = [one for one in each if one.part and one.rows >= _REPORTED]
    by_dataset = [
        one._replace(part=name)
        for name, own in datasets.items()
        for one in covered(own)
        if not one.part and one.rows >= _REPORTED
    ]
    parts = [_INTRO, _table("class of workloads", classes)]
    if reasons:
        parts.append("Where they do not hold, or are wide:\n\n" + "\n".join(reasons) + "\n")
    sorts = [one for one in reported if one.part in _SORTS]
    parts += [_BY_SORT, _table("sort of device", sorts)]
    parts += [_BY_RUNTIME, _table("runtime", [one for one in reported if one.part not in _SORTS])]
    parts += [_BY_DATASET, _table("data set", by_dataset)]
    return "\n".join(parts)


def _parts_of(runtime_name: str, device: str) -> list[str]:
    """Return the parts of a class to which the rows of a device count: runtime, sorts of device."""
    tags = hardware(device).tags
    return [runtime_name, *(sort for sort in _SORTS if sort in tags)]


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
        other
        for other in each
        if other[:3] == one[:3]
        and other.part
        and other.part not in _SORTS
        and other.rows >= _ENOUGH
        and not other.holds
    ]
    worst = sorted(deviating, key=lambda other: -abs(other.most - 0.9) - abs(other.half - 0.5))[:3]
    if worst:
        texts.append("farthest off " + ", ".join(f"`{other.part}`" for other in worst))
    return "; ".join(texts)


def _table(what: str, rows: Sequence[Coverage]) -> str:
    head = ("quantity", what, "basis", "rows", "devices", "in 50 %", "in 90 %", "ratio")
    body = [
        (
            one.quantity,
            one.workload_class + (f", `{one.part}`" if one.part else ""),
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
device in two precisions or under two runtimes. Pairs are drawn with a fixed seed, up to 100,000 of
each class and as many from each data set as from another, of rows that are alike in all else and
whose measured times differ by more than 20 %. Shown is the share that is put in the right order: by
plain predictions, by constants refitted without the devices (on the pairs of which both rows have
such a prediction), by the bare roofline, by operations over peak; a coin has 50 %. **regret** is
how much longer than the fastest of all alternatives the predicted fastest one took, and **rank**
the rank correlation over five alternatives and more; both are means over data sets. Classes with
fewer than 50 pairs, and data sets with fewer than 10, are left out.
"""

_DIFFER = {
    "device": "one network, two devices",
    "network": "two networks, one device",
    "precision": "two precisions",
    "runtime": "two runtimes",
}


def decision_section(scores: Sequence[PairScore]) -> str:
    """Return the section on pairwise ranking accuracy (`perfmodel.evaluate.pairwise_ranking`)."""
    classes = [one for one in scores if not one.dataset and one.pairs >= _ENOUGH]
    datasets = [one for one in scores if one.dataset and one.pairs >= _REPORTED]
    # The data sets of a decision side by side, as a reader of one looks for it.
    datasets.sort(key=lambda one: (list(_DIFFER).index(one.differ_in), one.dataset))
    tables = [_decision_table("data sets", classes), _decision_table("data set", datasets)]
    return "\n".join([_DECISIONS, *tables])


def _decision_table(what: str, scores: Sequence[PairScore]) -> str:
    """Return the table of scores of classes, or of single data sets."""
    shares = ("right %", "left out %", "roofline %", "operations %", "regret %", "rank")
    rows = [
        (
            _DIFFER[one.differ_in],
            one.workload_class,
            f"`{one.dataset}`" if one.dataset else str(one.datasets),
            str(one.pairs),
            *(_share(one, name) for name in PREDICTORS),
            short(one.choices.regret),
            "" if one.choices.spearman is None else f"{one.choices.spearman:.2f}",
        )
        for one in scores
    ]
    return markdown_table(("decision", "class of workloads", what, "pairs", *shares), rows, left=3)


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
