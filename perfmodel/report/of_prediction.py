"""Reports of a prediction, and of a comparison of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.charts.style import quantity, si
from perfmodel.columns import dimension_of
from perfmodel.compare import Comparison
from perfmodel.hardware.device import Source
from perfmodel.machine_differences import show_fact
from perfmodel.prediction import Prediction
from perfmodel.prediction.explain import used_facts
from perfmodel.prediction.latency_html import bar, kernel_table
from perfmodel.prediction.presentation import (
    headline_numbers,
    remarks,
    seconds_by_bound,
    spread_lines,
)
from perfmodel.report.base import Part, ReportInvocation, ResultReport, picture_figures, verdict
from perfmodel.report.document import ReportDocument
from perfmodel.report.reconstructed_call import call_of
from perfmodel.table import Row, Table
from perfmodel.table.html import (
    HtmlCell,
    cards,
    details,
    items,
    labelled_table,
    paragraph,
    preformatted,
    table,
)
from perfmodel.table.text import data_table
from perfmodel.units import show

_MOST_ROWS = 500
_LEVERS = 6

#: Limitations common to all kinds of hardware; kinds document the rest.
_LEFT_OUT = (
    "Kernels follow each other: nothing overlaps across them, unless a schedule says so.",
    "Clocks hold as the spec states them; throttling is told apart, where the device states it.",
    "Other programs, contention, page placement and refresh are left out.",
    "Shapes of a runtime's own choosing (autotuning) are left out, unless its spec has them.",
)


@dataclass
class PredictionReport(ResultReport):
    """Report of a prediction; for many points their ranges, and the first one in detail."""

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
        """Remaining inputs."""
        return self.subject.subtitle

    def invocation(self, invocation: ReportInvocation) -> ReportInvocation:
        """Return the question; if unknown, a call that yields the same numbers."""
        if invocation.command or invocation.python or self.result.shape:
            return invocation
        call = call_of(self.one)
        if call is None:
            return invocation
        return invocation._replace(command=call.command, python=call.python)

    def answer(self) -> str:
        """Return feasibility and the headline numbers."""
        shape, first = self.result.shape, ""
        if shape:
            first = paragraph(f"The first of {int(np.prod(shape))} points:", "soft")
        return first + prediction_verdict(self.one) + answer(self.one)

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield pictures, kernels, memories, equations, facts, and accuracy."""
        p = self.one
        if self.result.shape:
            yield "All points", [labelled_table(self.result.glance())]
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
        """Return the limitations common to all kinds of hardware."""
        return _LEFT_OUT


def prediction_verdict(p: Prediction) -> str:
    """Return feasibility; if infeasible, the violations and their remedies."""
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
    first, text = p.bottleneck, f"One run takes {show(p.latency_s, 'time')}"
    if not first:
        return f"{text}."
    share = 100.0 * seconds_by_bound(p).get(first, 0.0) / (float(p.latency_s) or 1.0)
    return f"{text}; {share:.0f} % of it is bound by {first}."


def answer(p: Prediction) -> str:
    """Return the headline numbers of one point, its bottlenecks, and remarks."""
    notes = [*remarks(p), *p.notes]
    return cards(headline_cards(p)) + bar(p) + items(notes, "note")


def headline_cards(p: Prediction) -> list[tuple[str, str, str]]:
    """Return label, number, and small text below it: the intervals of the number and its basis."""
    spread = spread_lines(p)
    cards_of: list[tuple[str, str, str]] = []
    for line in headline_numbers(p):
        label, number, below = line[0].strip(), line[1], ""
        if line in spread:
            continue
        if label == "latency":
            below = f"{_ends(spread)}; {p.basis}"
        elif label.startswith("energy ("):
            number, _, below = number.partition(" (")
            below = below.removesuffix(")")
        elif label == "90 % in":
            label, number, _ = cards_of.pop()
            below = " ".join(part.strip() for part in line)
        cards_of.append((label, number, below))
    return cards_of


def _ends(spread: Sequence[tuple[str, str]]) -> str:
    """Return the intervals of a latency; the last line, their basis, is excluded."""
    return "; ".join(f"{label.strip()} {text}" for label, text in spread[:-1])


def _placement(p: Prediction) -> str:
    """Return the table of memories: contents, demand and capacity."""
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
    """Return the terms used by the machine's kind, each with equation and citation."""
    _, opened = p.opened
    kind = p.job.model.kind
    equations = kind.equations
    used = [n for n in (*opened.compute, "memory", *opened.overhead) if n in equations]
    head = paragraph(
        f"Engine {p.machine.engine}, a {kind.name} model. Seconds of a kernel are composed of "
        "these terms:"
    )
    return head + table(
        ("term", "equation", "from"),
        [(n, equations[n].text, equations[n].citation) for n in dict.fromkeys(used)],
    )


def _facts(p: Prediction) -> list[str]:
    """Return the table of the facts used, and that of their sources."""
    machine = p.machine
    body: list[list[HtmlCell | str]] = []
    keys: set[str] = set()
    for path in used_facts(p):
        value = machine.facts.get(path)
        if value is None:
            continue
        number, dimension = first_number(value), machine.dimension(path)
        text = show_fact(path, number, dimension) if dimension else f"{number:.6g}"
        origin = machine.provenance.get(path)
        stated = ["", "", "", ""]
        if origin is not None:
            fitted = f"fitted on {origin.fitted_on}" if origin.fitted_on else ""
            notes = "; ".join(filter(None, (origin.note, fitted)))
            stated = [origin.confidence or "default", origin.source or "", origin.writer, notes]
        keys.add(stated[1])
        body.append([path, HtmlCell(text, number), *stated])
    heads = ("fact", "value", "confidence", "source", "written by", "note")
    documents = [*machine.device.sources.items(), *machine.runtime.sources.items()]
    sources = dict.fromkeys(
        (key, source.title, _publisher(source), source.url or "")
        for key, source in documents
        if key in keys
    )
    return [
        table(heads, body, f"the {len(body)} facts that the latency depends on", sorts=True),
        table(("source", "title", "by", "address"), sources) if sources else "",
    ]


def _publisher(source: Source) -> str:
    """Return authors or publisher of a source, and the year."""
    who = source.authors or source.publisher, source.year
    return ", ".join(str(part) for part in who if part)


def _trust(p: Prediction) -> list[str]:
    """Return what the prediction rests on: interval, basis, grade and models."""
    spread, grade = spread_lines(p), p.machine.device.grade()
    counts = ", ".join(f"{n} {c}" for c, n in grade.counts.items() if n)
    measured = "from measured rows by runtime, workload and basis"
    none = "The device states no power or energy: there is none here."
    energy = f"Energy model: {p.energy_model}; boundary: {p.energy_boundary}."
    lines = [
        f"Interval of the latency: {_ends(spread)}; {measured}.",
        f"Basis: {spread[-1][1]}.",
        f"Spec of {p.device}: grade {grade.letter} of A to F ({counts}). {grade.advice}".strip(),
        f"Traffic model: {p.traffic_model}.",
        none if np.isnan(p.energy_j) else energy,
    ]
    if p.not_priced:
        lines.append(f"{len(p.not_priced)} operators are not priced, and cost nothing here:")
    return [items(lines), items(p.not_priced)]


_MOST = 400


@dataclass
class ComparisonReport(ResultReport):
    """Report of a comparison: reasons, then metrics, kernels, facts and both sides."""

    WORDS: ClassVar = (
        "latency",
        "energy",
        "traffic",
        "utilization",
        "bound by",
        "memory",
        "interval",
        "basis",
    )

    result: Comparison

    @property
    def title(self) -> str:
        """The workload, and both devices."""
        a, b = self.result.a, self.result.b
        return f"{a.workload.name}: {a.device} and {b.device}"

    @property
    def subtitle(self) -> str:
        """Runtime and precision of both sides."""
        sides = (self.result.a, self.result.b)
        return " and ".join(f"{p.device} ({p.precision}, {p.runtime})" for p in sides)

    def answer(self) -> str:
        """Return the reasons for the difference."""
        first, *others = self.result.sentences
        fits = self.result.a.feasible and self.result.b.feasible
        return verdict(fits, first, items(others))

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield metrics, kernels, facts, and both sides."""
        result = self.result
        heads = ("metric", "a", "b", "b over a")
        yield "Metrics", [table(heads, map(_metric, result.metrics.rows())), *self.pictures(page)]
        words = f"{len(result.table)} kernels, the largest difference first"
        yield "Kernels", [data_table(result.table, words, most=_MOST)]
        yield "Facts that differ and matter here", [data_table(result.used_facts, most=_MOST)]
        for side, p in (("a", result.a), ("b", result.b)):
            yield (
                f"{side}: {p.device}",
                [prediction_verdict(p), answer(p), *picture_figures(page, p)],
            )


def _metric(row: Row) -> list[HtmlCell | str]:
    """Return a metric of a comparison as a row."""
    dimension = dimension_of(str(row.metric).split()[0])

    def cell(value: float, dimension: str = dimension) -> HtmlCell:
        text = si(value, "") if not dimension and value >= 1e4 else quantity(value, dimension)
        return HtmlCell("" if value != value else text, value)

    ratio = "" if row.ratio != row.ratio else f"{row.ratio:.4g}"
    return [str(row.metric), cell(row.a), cell(row.b), HtmlCell(ratio, row.ratio)]
