"""The report of a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts.subject import PredictionPoint
from perfmodel.differences import show_fact
from perfmodel.prediction import Prediction
from perfmodel.prediction.explain import used_facts
from perfmodel.prediction.html import bar, kernel_table
from perfmodel.prediction.rows import facts_line, remarks, seconds_by_bound, spread_lines
from perfmodel.report.base import Part, ResultReport, verdict
from perfmodel.report.calls import call_of
from perfmodel.report.document import ReportDocument
from perfmodel.report.write import ReportInvocation
from perfmodel.table import Table
from perfmodel.table.html import (
    HtmlCell,
    cards,
    details,
    items,
    labels,
    paragraph,
    preformatted,
    rows,
)
from perfmodel.table.text import data_table
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.hardware.device import Source

_MOST_ROWS = 500
_LEVERS = 6

#: What no kind of hardware here models; kinds say the rest in their pages.
_LEFT_OUT = (
    "Kernels follow each other: nothing overlaps across them, unless a schedule says so.",
    "Clocks hold as the spec states them; throttling is told apart, where the device states it.",
    "Other programs, contention, page placement and refresh are left out.",
    "Shapes of a runtime's own choosing (autotuning) are left out, unless its spec has them.",
)


@dataclass
class PredictionReport(ResultReport):
    """The report of a prediction; of many points their ranges, and the first one opened."""

    WORDS: ClassVar = (
        "latency",
        "row",
        "TTFT, TPOT",
        "energy",
        "traffic",
        "utilization",
        "bound by",
        "operational intensity",
        "ridge point",
        "memory",
        "interval",
        "basis",
    )

    result: Prediction

    def __post_init__(self) -> None:
        self.one = self.result.at(0) if self.result.shape else self.result
        self.subject = PredictionPoint(self.one)

    @property
    def title(self) -> str:
        """Workload and device."""
        return self.subject.title

    @property
    def subtitle(self) -> str:
        """Everything else that was chosen."""
        return self.subject.subtitle

    def invocation(self, invocation: ReportInvocation) -> ReportInvocation:
        """Return the question; where it is not known, the call that gives the same numbers."""
        if invocation.command or invocation.python or self.result.shape:
            return invocation
        call = call_of(self.one)
        if call is None:
            return invocation
        return invocation._replace(command=call.command, python=call.python)

    def answer(self) -> str:
        """Return whether it fits, and the numbers."""
        shape, first = self.result.shape, ""
        if shape:
            first = paragraph(f"The first of {int(np.prod(shape))} points:", "soft")
        return first + prediction_verdict(self.one) + answer(self.one)

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield pictures, kernels, memories, equations, facts, trust."""
        p = self.one
        if self.result.shape:
            yield "All points", [labels(self.result.glance())]
        yield "Pictures", self.pictures(page)
        words = f"{len(p.table)} kernels, the slowest first"
        yield "Kernels", [data_table(kernel_table(p), words, most=_MOST_ROWS)]
        yield "What must be held, where", [_placement(p)]
        arithmetic = "the arithmetic behind the latency, numbers put in"
        yield (
            "Terms and equations",
            [_equations(p), details(arithmetic, preformatted(p.explain()))],
        )
        yield "Facts, sources and confidence", _facts(p)
        yield "How far to trust it", _trust(p)

    def left_out(self) -> tuple[str, ...]:
        """Return what no kind of hardware models."""
        return _LEFT_OUT


def prediction_verdict(p: Prediction) -> str:
    """Return whether it fits; where not, what is missing and what would mend it."""
    if p.feasible:
        return verdict(True, "Fits.", paragraph(sentence(p)))
    html = [paragraph(str(breach)) for breach in p.breaches]
    for v in p.violations:
        html.append(paragraph(v.message or v.limit))
        if v.levers:
            html += [paragraph("What would mend it:"), items(v.levers[:_LEVERS])]
    html.append(paragraph("The numbers below are what it would cost if it did.", "soft"))
    return verdict(False, "Does not fit." if p.violations else "Impossible.", *html)


def sentence(p: Prediction) -> str:
    """Return the answer as a sentence."""
    spent = seconds_by_bound(p)
    whole = float(p.latency_s) or 1.0
    first = p.bottleneck
    share = 100.0 * spent.get(first, 0.0) / whole
    return (
        f"One run takes {show(p.latency_s, 'time')}; {share:.0f} % of it is bound by {first}."
        if first
        else f"One run takes {show(p.latency_s, 'time')}."
    )


def answer(p: Prediction) -> str:
    """Return the headline numbers of one point, what binds, and what a reader must know."""
    notes = [*remarks(p), *p.notes]
    return cards(headline_cards(p)) + bar(p) + items(notes, "note")


def headline_cards(p: Prediction) -> list[tuple[str, str, str]]:
    """Return label, number, and what stands small below it: of the latency its intervals."""
    spread = spread_lines(p)
    below = "; ".join([*(f"{label.strip()} {text}" for label, text in spread[:-1]), p.basis])
    return [
        (label.strip(), text, below if label == "latency" else "")
        for label, text in facts_line(p)
        if (label, text) not in spread
    ]


def _placement(p: Prediction) -> str:
    places = p.placement.values()
    needs, has = (
        np.array([float(place[name]) for place in places])
        for name in ("demand_bytes", "capacity_bytes")
    )
    columns = {
        "memory": list(p.placement),
        "holds": [", ".join(place["holds"]) for place in places],
        "needs_bytes": needs,
        "has_bytes": has,
        "left_bytes": has - needs,
    }
    return data_table(Table(columns))


def _equations(p: Prediction) -> str:
    """Return the terms that the machine's kind uses here, each with equation and citation."""
    _, opened = p._opened  # pyright: ignore[reportPrivateUsage]
    kind = p._job.static.kind  # pyright: ignore[reportPrivateUsage]
    equations = kind.equations
    used = [n for n in (*opened.compute, "memory", *opened.overhead) if n in equations]
    head = paragraph(
        f"Engine {p.machine.engine}, a {kind.name} model. Seconds of a kernel are composed of "
        "these terms:"
    )
    return head + rows(
        ("term", "equation", "from"),
        [(n, equations[n].text, equations[n].citation) for n in dict.fromkeys(used)],
    )


def _facts(p: Prediction) -> list[str]:
    machine = p.machine
    body: list[list[HtmlCell | str]] = []
    keys: set[str] = set()
    for path in used_facts(p):
        value = machine.facts.get(path)
        if value is None:
            continue
        number = first_number(value)
        dimension = machine.dimension(path)
        text = show_fact(path, number, dimension) if dimension else f"{number:.6g}"
        origin = machine.provenance.get(path)
        stated = ["", "", "", ""]
        if origin is not None:
            fitted = f"fitted on {origin.fitted_on}" if origin.fitted_on else ""
            stated = [origin.confidence or "default", origin.source or "", origin.writer]
            stated.append("; ".join(filter(None, (origin.note, fitted))))
        keys.add(stated[1])
        body.append([path, HtmlCell(text, number), *stated])
    heads = ("fact", "value", "confidence", "source", "written by", "note")
    sources: list[tuple[str, str, str, str]] = []
    for stated in (machine.device.sources, machine.runtime.sources):
        for key, source in cast("Mapping[str, Source]", stated or {}).items():
            if key in keys:
                who = [source.authors or source.publisher, source.year]
                by = ", ".join(str(part) for part in who if part)
                sources.append((key, source.title, by, source.url or ""))
    return [
        rows(heads, body, f"the {len(body)} facts that the latency depends on", sorts=True),
        rows(("source", "title", "by", "address"), list(dict.fromkeys(sources))) if sources else "",
    ]


def _trust(p: Prediction) -> list[str]:
    spread = spread_lines(p)
    grade = p.machine.device.grade()
    counts = ", ".join(f"{n} {c}" for c, n in grade.counts.items() if n)
    ends = "; ".join(f"{label.strip()} {text}" for label, text in spread[:-1])
    lines = [
        f"Interval of the latency: {ends}; from measured rows by runtime, workload and basis.",
        f"Basis: {spread[-1][1]}.",
        f"Spec of {p.device}: grade {grade.letter} of A to F ({counts}). {grade.advice}".strip(),
        f"Traffic model: {p.traffic_model}.",
    ]
    if np.isnan(p.energy_j):
        lines.append("The device states no power or energy: there is none here.")
    else:
        lines.append(f"Energy model: {p.energy_model}; boundary: {p.energy_boundary}.")
    if p.not_priced:
        lines.append(f"{len(p.not_priced)} operators are not priced, and cost nothing here:")
    return [items(lines), items(p.not_priced)]
