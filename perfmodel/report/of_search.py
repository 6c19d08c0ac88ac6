"""Report of a search: best configuration, proof, effect of each limit, layers, front."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import ClassVar

from perfmodel.columns import more_is_better
from perfmodel.report.base import Part, ResultReport, verdict
from perfmodel.report.document import ReportDocument
from perfmodel.search.search_result import LimitUse, SearchResult, shown
from perfmodel.search.search_text import front_text, price_text, proof_text, quantity, relief_lines
from perfmodel.table.html import HtmlCell, cards, items, paragraph, preformatted, table
from perfmodel.table.text import data_table

_CARDS = (
    "latency_s",
    "energy_j",
    "peak_memory_bytes",
    "weight_bytes",
    "accuracy_drop",
    "sensitivity",
)


@dataclass
class SearchReport(ResultReport):
    """Report of a search: best configuration with its limits, layers, front and proof."""

    WORDS: ClassVar = ("price", "front", "latency", "energy", "memory")

    result: SearchResult

    @property
    def title(self) -> str:
        """Search space and device."""
        return f"Search: {self.result.space.name} on {self.result.device}"

    @property
    def subtitle(self) -> str:
        """Number of configurations, and method of the search."""
        return self.result.headline.partition(": ")[2]

    def answer(self) -> str:
        """Return the best configuration and its certainty, or the reason why there is none."""
        r = self.result
        notes = items(r.notes, "note")
        if r.best is None:
            why = preformatted("\n".join(str(r).splitlines()[1:]))
            return verdict(False, "Nothing satisfies the constraints.", why) + notes
        # Objectives that are rates are negated in the search.
        value = -r.best.value if more_is_better(r.objective) else r.best.value
        text = f"{r.objective} {quantity(r.objective, value, r.unit)}"
        where = f" ({r.source})" if r.source else ""
        pairs = [
            (name, quantity(name, number, r.unit if name == r.objective else ""), "")
            for name in _CARDS
            if math.isfinite(number := float(r.best.metrics.get(name, math.nan)))
        ]
        return verdict(True, text, escape(f"{where}; {proof_text(r)}.")) + cards(pairs) + notes

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield limits, effects of relaxing them, layers, configuration, front, proof."""
        r = self.result
        asks = bool(r.limits) and r.ask is not None
        front = ""
        if r.best is not None:
            heads = ("limit", "used", "bound", "used of it", "price")
            yield "Limits and what they cost", [table(heads, [_limit(r, use) for use in r.limits])]
            if asks and len(r.front) > 1:
                front = preformatted(front_text(r, r.front))
        if asks:
            eased = r.relief()
            _, *lines = relief_lines(r, eased)
            body = [
                (limit, line.strip().removeprefix(limit).strip())
                for limit, line in zip(eased, lines, strict=True)
            ]
            heads = ("limit", "with 10 % more of it, the others as they are")
            yield "What 10 % more of a limit would change", [table(heads, body)]
        if r.best is not None:
            # Includes the front if it was computed.
            yield "Pictures", self.pictures(page)
            yield "Configuration", [data_table(r.table, most=400)]
            yield "Front", [front]
        counts = ", ".join(f"{name} {n}" for name, n in r.work.items())
        bound = f"Bound: {shown(r.objective, r.bound, r.unit)}." if math.isfinite(r.bound) else ""
        searched = f"Counted: {counts}." if counts else ""
        yield "Proof", [paragraph(proof_text(r)), items(filter(None, (bound, searched)))]

    def left_out(self) -> list[str]:
        """Return the scope of the proof and of the losses."""
        source = (
            "What a configuration does to accuracy is the loss of the source named above, no "
            "training."
        )
        none = "No accuracy model was given: only costs were compared."
        return [
            f"The proof is about the model: {self.result.model}.",
            source if self.result.source else none,
        ]


def _limit(r: SearchResult, use: LimitUse) -> list[HtmlCell | str]:
    """Return a limit as a row: bound, use, and effect of relaxing it."""
    limit, price = use.constraint, "not solved for"
    unit = r.unit if limit.metric == r.objective else ""
    if math.isfinite(use.price):
        price = price_text(r, limit, use.price) if use.price else "costs nothing"
    share = use.used / limit.bound if limit.bound else math.nan
    return [
        limit.text,
        *(HtmlCell(quantity(limit.metric, v, unit), v) for v in (use.used, limit.bound)),
        HtmlCell(f"{100 * share:.1f} %" if math.isfinite(share) else "", share),
        price,
    ]
