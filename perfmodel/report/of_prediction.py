"""The report of a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, cast

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts.style import si
from perfmodel.charts.subject import PredictionPoint
from perfmodel.differences import show_fact
from perfmodel.errors import InputError
from perfmodel.prediction.explain import used_facts
from perfmodel.prediction.html import bar
from perfmodel.prediction.rows import facts_line, remarks, seconds_by_bound, spread_lines
from perfmodel.report.calls import call_of
from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
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
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.hardware.device import Source
    from perfmodel.prediction import Prediction

_MOST_ROWS = 500
_LEVERS = 6
_WORDS = ("latency", "row", "TTFT, TPOT", "energy", "traffic", "utilization", "bound by",
          "operational intensity", "ridge point", "memory", "interval", "basis")  # fmt: skip

#: What no kind of hardware here models; kinds say the rest in their pages.
_LEFT_OUT = (
    "Kernels follow each other: nothing overlaps across them, unless a schedule says so.",
    "Clocks hold as the spec states them; throttling is told apart, where the device states it.",
    "Other programs, contention, page placement and refresh are left out.",
    "Shapes of a runtime's own choosing (autotuning) are left out, unless its spec has them.",
)  # fmt: skip


def prediction_report(prediction: Prediction, asked: ReportInvocation) -> ReportDocument:
    """Return the report of a prediction; of many points their ranges, and the first one opened."""
    one = prediction.at(0) if prediction.shape else prediction
    subject = PredictionPoint(one)
    made = ReportDocument(subject.title, subject.subtitle, asked.date)
    if not asked.command and not asked.python and not prediction.shape:
        call = call_of(one)
        if call is not None:
            asked = asked._replace(command=call.command, python=call.python)
    made.head(question(asked))
    if prediction.shape:
        made.part("All points", labels(prediction.glance()))
        made.head(paragraph(f"The first of {int(np.prod(prediction.shape))} points:", "soft"))
    made.head(verdict(one) + answer(one))
    made.part("Pictures", *_pictures(made, one))
    made.part("Kernels", _kernels(one))
    made.part("What must be held, where", _placement(one))
    made.part("Terms and equations", _equations(one), terms(_WORDS),
              details("the arithmetic behind the latency, numbers put in",
                      preformatted(one.explain())))  # fmt: skip
    made.part("Facts, sources and confidence", *_facts(one))
    made.part("How far to trust it", *_trust(one))
    return made


def verdict(p: Prediction) -> str:
    """Return whether it fits; where not, what is missing and what would mend it."""
    if p.feasible:
        return '<div class="verdict fits"><b>Fits.</b> ' + escape(sentence(p)) + "</div>"
    inner = "<b>Does not fit.</b>" if p.violations else "<b>Impossible.</b>"
    inner += "".join(f"<p>{escape(str(b))}</p>" for b in p.breaches)
    for v in p.violations:
        inner += f"<p>{escape(v.message or v.limit)}</p>"
        if v.levers:
            inner += "<p>What would mend it:</p>" + items(v.levers[:_LEVERS])
    return (
        f'<div class="verdict fails">{inner}<p class="soft">The numbers below are what it would '
        "cost if it did.</p></div>"
    )


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


def _pictures(made: ReportDocument, p: Prediction) -> list[str]:
    """Return the figures that say something of this machine."""
    out = [
        made.picture(p.plot.roofline, "Each kernel under the roofs of the machine: the area of a "
                     "point is its share of the latency; below a slope it waits for that memory, "
                     "below a flat roof for arithmetic."),
        made.picture(p.plot.bottlenecks, "Where the time goes, by class of operator."),
    ]  # fmt: skip
    phases = {row.phase for row in p._job.lowered.rows}  # pyright: ignore[reportPrivateUsage]
    if len(phases) > 1:
        out.append(made.picture(p.plot.bottlenecks, "The same by phase.", by="phase"))
    out.append(made.picture(p.plot.memory, "Activations step by step, and what each memory must "
                            "hold against what it has."))  # fmt: skip
    further = {"resources": "What the design takes of the part."}
    if len(p.energy.parts) > 1:
        further["energy_stack"] = "Energy of each kernel by part."
    for name, said in further.items():
        try:
            out.append(made.picture(getattr(p.plot, name), said))
        except InputError:
            continue  # not of this kind of machine
    return out


def _kernels(p: Prediction) -> str:
    table = p.table
    order = np.argsort(-np.asarray(table["total_s"], dtype=float), kind="stable")
    whole = float(p.latency_s) or 1.0
    levels = [n for n in p.levels if np.any(np.asarray(table[f"{n}_bytes"], dtype=float) > 0)]
    heads: list[str | tuple[str, str]] = ["kernel", "class", "count", "MACs"]
    heads += [(f"{level} traffic", "each") for level in levels]
    heads += [("time", "each"), ("time", "all"), "share", "bound by"]
    body: list[list[HtmlCell | str]] = []
    for i in order[:_MOST_ROWS]:
        row = table[int(i)]
        share = row.total_s / whole
        body.append(
            [
                str(row.name),
                str(row.kind),
                HtmlCell(f"{row['count']:g}", row["count"]),
                HtmlCell(si(row.macs, "") if row.macs else "", row.macs),
                *(HtmlCell(si(row[f"{n}_bytes"], "B"), row[f"{n}_bytes"]) for n in levels),
                HtmlCell(show(row.row_s, "time"), row.row_s),
                HtmlCell(show(row.total_s, "time"), row.total_s),
                HtmlCell(f"{100 * share:.1f} %", share),
                str(row.bound_by),
            ]
        )
    said = f"{len(table)} kernels, the slowest first"
    if len(table) > _MOST_ROWS:
        said += f"; {_MOST_ROWS} of them are shown"
    return rows(heads, body, said, sorts=True)


def _placement(p: Prediction) -> str:
    body: list[list[HtmlCell | str]] = []
    for memory, part in p.placement.items():
        need, there = float(part["demand_bytes"]), float(part["capacity_bytes"])
        left = there - need
        body.append([
            memory, ", ".join(part["holds"]), HtmlCell(show(need, "bytes"), need),
            HtmlCell(show(there, "bytes"), there),
            HtmlCell(("" if left >= 0 else "lacks ") + show(abs(left), "bytes"), left),
        ])  # fmt: skip
    return rows(("memory", "holds", "needs", "has", "left"), body)


def _equations(p: Prediction) -> str:
    """Return the terms that the machine's kind uses here, each with equation and citation."""
    _, found = p._opened  # pyright: ignore[reportPrivateUsage]
    equations = p._job.static.kind.equations  # pyright: ignore[reportPrivateUsage]
    used = [n for n in (*found.compute, "memory", *found.overhead) if n in equations]
    head = paragraph(f"Engine {p.machine.engine}, a {p._job.static.kind.name} model. Seconds of a "  # pyright: ignore[reportPrivateUsage]
                     "kernel are composed of these terms:")  # fmt: skip
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
        said = ("", "", "") if origin is None else (
            origin.confidence or "default", origin.source or "", origin.writer
        )  # fmt: skip
        note = "" if origin is None else "; ".join(
            t for t in (origin.note, origin.fitted_on and f"fitted on {origin.fitted_on}") if t
        )  # fmt: skip
        keys.add(said[1])
        body.append([path, HtmlCell(text, number), *said, note])
    heads = ("fact", "value", "confidence", "source", "written by", "note")
    sources: list[tuple[str, str, str, str]] = []
    for stated in (machine.device.sources, machine.runtime.sources):
        for key, source in cast("Mapping[str, Source]", stated or {}).items():
            if key in keys:
                who = [source.authors or source.publisher, source.year]
                said = ", ".join(str(part) for part in who if part)
                sources.append((key, source.title, said, source.url or ""))
    return [
        rows(heads, body, f"the {len(body)} facts that the latency depends on", sorts=True),
        rows(("source", "title", "by", "address"), list(dict.fromkeys(sources))) if sources else "",
    ]


def _trust(p: Prediction) -> list[str]:
    spread = spread_lines(p)
    grade = p.machine.device.grade()
    counts = ", ".join(f"{n} {c}" for c, n in grade.counts.items() if n)
    ends = "; ".join(f"{label.strip()} {text}" for label, text in spread[:-1])
    said = [
        f"Interval of the latency: {ends}; from measured rows by runtime, workload and basis.",
        f"Basis: {spread[-1][1]}.",
        f"Spec of {p.device}: grade {grade.letter} of A to F ({counts}). {grade.advice}".strip(),
        f"Traffic model: {p.traffic_model}.",
    ]  # fmt: skip
    if not np.isnan(p.energy_j):
        said.append(f"Energy model: {p.energy_model}; boundary: {p.energy_boundary}.")
    else:
        said.append("The device states no power or energy: there is none here.")
    if p.not_priced:
        said.append(f"{len(p.not_priced)} operators are not priced, and cost nothing here:")
    return [
        items(said), items(p.not_priced), "<h3>What the model leaves out</h3>", items(_LEFT_OUT),
    ]  # fmt: skip
