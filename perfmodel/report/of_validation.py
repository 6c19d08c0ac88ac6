"""Report of a validation: errors of each data set by group, and the worst rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.evaluate.result import ValidationResult, percent
from perfmodel.report.base import Part, ResultReport, picture_figures
from perfmodel.report.document import ReportDocument
from perfmodel.table.html import HtmlCell, items, paragraph, preformatted, table

#: Error measure -> title in the table.
_ERRORS = {"mape": "MAPE", "median_ape": "median", "bias": "bias", "within_10": "within 10 %"}


@dataclass
class ValidationReport(ResultReport):
    """Report of one or several data sets: errors overall and by group, and the worst rows."""

    result: Sequence[ValidationResult] | ValidationResult

    @property
    def sets(self) -> list[ValidationResult]:
        """Results of the data sets."""
        return list(self.result) if isinstance(self.result, Sequence) else [self.result]

    @property
    def title(self) -> str:
        """Name of the data set, if there is only one."""
        return f"Validation: {self.sets[0].name}" if len(self.sets) == 1 else "Validation"

    @property
    def subtitle(self) -> str:
        """Subject of the comparison."""
        return "predictions beside measured rows"

    def answer(self) -> str:
        """Return the errors of all data sets."""
        body = [
            [
                r.name,
                _number(r.rows),
                _share(r.coverage),
                r.primary,
                *_errors(r.targets.get(r.primary, {})),
            ]
            for r in self.sets
        ]
        heads = ("data set", "rows", "predicted", "target", *_ERRORS.values())
        return table(heads, body, "errors of the primary target", sorts=True)

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield each data set."""
        for r in self.sets:
            yield r.name, _data_set(page, r)
        words = [
            "MAPE: mean of |predicted - measured| / measured.",
            (
                "Bias: mean of (predicted - measured) / measured; negative: predicted too low "
                "(for a latency, too fast)."
            ),
            "Left out: constants refitted without the device whose rows are then predicted.",
        ]
        yield "What the words mean", [items(words)]


def _data_set(page: ReportDocument, r: ValidationResult) -> list[str]:
    """Return the fragments of one data set: picture, errors, worst rows, notes."""
    html = picture_figures(page, r) if len(r.predictions) > 1 else []
    body = [[name, *_errors(e)] for name, e in (*r.targets.items(), *r.baselines.items())]
    caption = "targets, and baselines on the rows of the primary one"
    html.append(table(("", *_ERRORS.values()), body, caption))
    for noun, groups in (("device", r.by_device), ("group", r.by_group)):
        if len(groups) > 1:
            lines = [
                [name, _number(g["rows"]), *_errors(g, ("mape", "bias"))]
                for name, g in groups.items()
            ]
            html.append(table((noun, "rows", "MAPE", "bias"), lines, f"by {noun}", sorts=True))
    if r.worst:
        lines = [
            [
                str(w["name"]),
                str(w["device"]),
                *(_number(w[n], ".4g") for n in ("measured", "predicted")),
                _share(w["error"], sign=True),
            ]
            for w in r.worst
        ]
        heads = ("row", "device", "measured", "predicted", "error")
        html.append(table(heads, lines, "farthest off"))
    if r.left_out:
        html.append(paragraph("Constants refitted with each device left out:"))
        html.append(preformatted("\n".join(line for line in r.lines() if "left out" in line)))
    html.append(items(f"not predicted: {u['rows']} rows: {u['reason']}" for u in r.unpredicted))
    return [*html, items(r.notes)]


def _errors(errors: Mapping[str, Any], names: Sequence[str] = tuple(_ERRORS)) -> list[HtmlCell]:
    """Return errors as cells."""
    return [_share(errors.get(name), sign=name == "bias") for name in names]


def _share(value: float | None, *, sign: bool = False) -> HtmlCell:
    """Return a fraction as a cell in per cent."""
    return HtmlCell("") if value is None else HtmlCell(percent(value, sign=sign), float(value))


def _number(value: float, form: str = "") -> HtmlCell:
    """Return a number as a cell."""
    return HtmlCell(format(value, form), float(value))
