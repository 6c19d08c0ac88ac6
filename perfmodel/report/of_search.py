"""The report of a search: the best, its proof, prices, layers, the front, what would change it."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
from perfmodel.search.constraints import RATES
from perfmodel.search.result import shown, strip
from perfmodel.search.text import (
    front_text,
    price_text,
    proof_text,
    quantity,
    relief_lines,
)
from perfmodel.table.html import HtmlCell, cards, items, paragraph, preformatted, rows
from perfmodel.table.text import data_table

if TYPE_CHECKING:
    from perfmodel.search.result import SearchResult

_CARDS = ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes", "accuracy_drop",
          "sensitivity")  # fmt: skip


def search_report(found: SearchResult, asked: ReportInvocation) -> ReportDocument:
    """Return the report of a search; the front and what 10 % more would change are asked for."""
    r = found
    decisions = len(r.space.decisions)
    size = math.prod(len(d.options) for d in r.space.decisions)
    many = f"{size:,}" if size < 10**7 else f"{float(size):.2g}"
    made = ReportDocument(
        f"Search: {r.space.name} on {r.device}",
        f"{decisions} decisions, {many} configurations, {r.method}", asked.date,
    )  # fmt: skip
    made.head(question(asked))
    made.head(_verdict(r))
    made.head(items(r.notes, "note"))
    if r.best is not None:
        made.part("Limits and what they cost", _limits(r))
    if r.limits and r.ask is not None:
        made.part("What 10 % more of a limit would change", _relief(r))
    if r.best is not None:
        layered = strip(r.space, r.best.choice)
        if layered:
            made.part("Layers", made.picture(r.plot.layers, "What each layer got, below what it "
                      "takes."))  # fmt: skip
        made.part("Configuration", data_table(r.table, most=400))
        if r.limits and r.ask is not None and len(r.front) > 1:
            made.part(
                "Front", made.picture(r.plot.front, "The objective against what the first limit "
                                      "is of."),
                preformatted(front_text(r, r.front)),
            )  # fmt: skip
    made.part("Proof", paragraph(proof_text(r)), _counts(r))
    made.part("What the words mean", terms(("price", "front", "latency", "energy", "memory")))
    made.part("What the model leaves out", items(_left_out(r)))
    return made


def _verdict(r: SearchResult) -> str:
    if r.best is None:
        said = "\n".join(str(r).splitlines()[1:])
        return (
            '<div class="verdict fails"><b>Nothing satisfies the constraints.</b>'
            f"{preformatted(said)}</div>"
        )
    # Rates are searched with their sign turned.
    value = -r.best.value if r.objective in RATES else r.best.value
    text = quantity(r.objective, value, r.unit)
    where = f" ({r.source})" if r.source else ""
    pairs = [
        (name, quantity(name, number, r.unit if name == r.objective else ""), "")
        for name in _CARDS
        if math.isfinite(number := float(r.best.metrics.get(name, math.nan)))
    ]
    return (
        f'<div class="verdict fits"><b>{escape(r.objective)} {escape(text)}</b>{escape(where)}; '
        f"{escape(proof_text(r))}.</div>{cards(pairs)}"
    )


def _limits(r: SearchResult) -> str:
    body: list[tuple[HtmlCell | str, ...]] = []
    for use in r.limits:
        metric = use.constraint.metric
        unit = r.unit if metric == r.objective else ""
        price = "not solved for" if not math.isfinite(use.price) else (
            price_text(r, use.constraint, use.price) if use.price else "costs nothing"
        )  # fmt: skip
        share = use.used / use.constraint.bound if use.constraint.bound else math.nan
        body.append((
            use.constraint.text, HtmlCell(quantity(metric, use.used, unit), use.used),
            HtmlCell(quantity(metric, use.constraint.bound, unit), use.constraint.bound),
            HtmlCell(f"{100 * share:.1f} %" if math.isfinite(share) else "", share), price,
        ))  # fmt: skip
    return rows(("limit", "used", "bound", "used of it", "price"), body)


def _relief(r: SearchResult) -> str:
    eased = r.relief()
    _, *lines = relief_lines(r, eased)
    body = [(limit, line.strip().removeprefix(limit).strip())
            for limit, line in zip(eased, lines, strict=True)]  # fmt: skip
    return rows(("limit", "with 10 % more of it, the others as they are"), body)


def _counts(r: SearchResult) -> str:
    said = ", ".join(f"{name} {n}" for name, n in r.counts.items())
    bound = shown(r.objective, r.bound, r.unit) if math.isfinite(r.bound) else ""
    return items([t for t in (bound and f"Bound: {bound}.", said and f"Counted: {said}.") if t])


def _left_out(r: SearchResult) -> list[str]:
    return [
        f"The proof is about the model: {r.model}.",
        "What a configuration does to accuracy is the loss of the source named above, no "
        "training." if r.source else "No accuracy model was given: only costs were compared.",
    ]  # fmt: skip
