"""The report of predictions beside measured rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from perfmodel.charts.measured import measured
from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.write import ReportInvocation
from perfmodel.table.html import HtmlCell, items, paragraph, preformatted, rows

if TYPE_CHECKING:
    from perfmodel.evaluate.result import ValidationResult

_ERRORS = ("mape", "median_ape", "bias", "within_10")


def validation_report(
    found: Sequence[ValidationResult] | ValidationResult, asked: ReportInvocation
) -> ReportDocument:  # fmt: skip
    """Return the report of one data set or of several: errors, where they are, the worst rows."""
    results = list(found) if isinstance(found, Sequence) else [found]
    title = f"Validation: {results[0].name}" if len(results) == 1 else "Validation"
    made = ReportDocument(title, "predictions beside measured rows", asked.date)
    made.head(question(asked))
    body: list[list[HtmlCell | str]] = []
    for r in results:
        share = r.coverage
        body.append(
            [
                r.name,
                HtmlCell(str(r.rows), r.rows),
                HtmlCell(_percent(share), share),
                r.primary,
                *_errors(r.targets.get(r.primary, {})),
            ]
        )
    heads = ("data set", "rows", "predicted", "target", "MAPE", "median", "bias", "within 10 %")
    made.head(rows(heads, body, "errors of the primary target", sorts=True))
    for r in results:
        made.part(r.name, *_one(made, r))
    made.part("What the words mean", items([
        "MAPE: mean of |predicted - measured| / measured.",
        "Bias: mean of (predicted - measured) / measured; below 0 is predicted too fast.",
        "Left out: constants refitted without the device whose rows are then predicted.",
    ]))  # fmt: skip
    return made


def _one(made: ReportDocument, r: ValidationResult) -> list[str]:
    out: list[str] = []
    if len(r.predictions) > 1:
        said = (
            "Each measured row against its prediction; on the line they agree, at the dotted ones "
            "they are 10 % apart."
        )
        out.append(made.picture(measured, said, r))
    heads = ("", "MAPE", "median", "bias", "within 10 %")
    body = [[name, *_errors(e)] for name, e in (*r.targets.items(), *r.baselines.items())]
    out.append(rows(heads, body, "targets, and baselines on the rows of the primary one"))
    for noun, groups in (("device", r.by_device), ("group", r.by_group)):
        if len(groups) > 1:
            lines = [[n, HtmlCell(str(g["rows"]), float(g["rows"])), *_errors(g, ("mape", "bias"))]
                     for n, g in groups.items()]  # fmt: skip
            out.append(rows((noun, "rows", "MAPE", "bias"), lines, f"by {noun}", sorts=True))
    worst = [
        [
            str(w["name"]), str(w["device"]),
            HtmlCell(f"{w['measured']:.4g}", float(w["measured"])),
            HtmlCell(f"{w['predicted']:.4g}", float(w["predicted"])),
            HtmlCell(_percent(w["error"], sign=True), float(w["error"])),
        ]
        for w in r.worst
    ]  # fmt: skip
    if worst:
        out.append(rows(("row", "device", "measured", "predicted", "error"), worst, "farthest off"))
    if r.left_out:
        out.append(paragraph("Constants refitted with each device left out:"))
        out.append(preformatted("\n".join(t for t in r.lines() if "left out" in t)))
    out.append(items([f"not predicted: {u['rows']} rows: {u['reason']}" for u in r.unpredicted]))
    return [*out, items(r.notes)]


def _errors(found: Mapping[str, Any], names: Sequence[str] = _ERRORS) -> list[HtmlCell]:
    return [
        HtmlCell(_percent(found.get(n), sign=n == "bias"), _number(found.get(n))) for n in names
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _percent(value: float | None, *, sign: bool = False) -> str:
    return "" if value is None else escape(f"{100 * value:{'+' if sign else ''}.1f} %")
