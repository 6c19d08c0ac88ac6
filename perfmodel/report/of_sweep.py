"""The report of a sweep: what is best, the front, metrics over the axes, the first rows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.charts.style import quantity
from perfmodel.columns import TEXT, TRUTH, more_is_better
from perfmodel.errors import InputError
from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
from perfmodel.table import Table
from perfmodel.table.html import cards, paragraph
from perfmodel.table.text import data_table

if TYPE_CHECKING:
    from perfmodel.table import Row

#: Metrics that a sweep is looked at by, in this order.
_METRICS = ("latency_s", "tpot_s", "energy_j", "tokens_per_s", "frames_per_s",
            "peak_memory_bytes")  # fmt: skip
#: What a row of the tables shows beside what varies.
_SHOWN = (*_METRICS, "ttft_s", "bottleneck", "feasible")
_ROWS = 200
_CURVES = 4


class Counted(NamedTuple):
    """A sweep of which only some rows are at hand.

    Attributes
    ----------
    points, rows, feasible
        Predicted; kept by the condition; of those, the ones that fit.
    """

    points: int
    rows: int
    feasible: int


def sweep_report(
    table: Table, asked: ReportInvocation, *, best: str = "", pareto: Sequence[str] = (),
    counted: Counted | None = None, notes: Sequence[str] = (),
) -> ReportDocument:  # fmt: skip
    """Return the report of a sweep.

    Parameters
    ----------
    best, pareto
        What was asked for; by default latency, and latency against energy (or memory).
    counted
        Where the table holds a part of the rows alone: how many there are.
    notes
        What the sweep said of itself.

    Raises
    ------
    InputError
        Unknown columns.
    """
    metrics = [n for n in _METRICS if is_known(table, n)]
    best = best or (metrics[0] if metrics else "")
    objectives = list(pareto) or _objectives(metrics)
    faults = table.objective_faults([*([best] if best else []), *objectives])
    if faults:
        raise InputError(faults)
    made = ReportDocument(_title(table), _subtitle(table), asked.date)
    made.head(question(asked))
    made.head(_answer(table, best, counted))
    made.head("".join(paragraph(text, "note") for text in notes))
    whole = counted is None or counted.rows == len(table)
    if len(objectives) > 1 and len(table) and (whole or pareto):
        front = table.where(table.numbered(*objectives)).pareto(*objectives)
        made.part(
            "Front",
            made.picture(table.plot.pareto, "Every point in two metrics; the line "
                         "joins those that no other beats in both.", *objectives[:2]),
            data_table(_brief(front, objectives), f"{len(front)} rows on the front of "
                       + ", ".join(objectives) + (_of_those(table, objectives) if whole else ""),
                       most=_ROWS),
        )  # fmt: skip
    if whole:
        made.part(
            "Metrics over the axes", *_over_axes(made, table, dict.fromkeys((best, *objectives)))
        )
    order = table.sort(best, descending=more_is_better(best)) if best else table
    order = Table.concat([order.where(order.predicted), order.where(~order.predicted)])
    said = f"by {best}, the best first" if best else ""
    if counted is not None and counted.rows > len(table):
        said += f"; the front and the best {len(table)} of {counted.rows} rows"
    made.part("Rows", data_table(_brief(order, objectives), said, most=_ROWS))
    made.part("What the words mean", terms(("latency", "energy", "memory", "bound by", "front")))
    return made


def is_known(table: Table, name: str) -> bool:
    """Tell whether a column is there with a number in it."""
    return name in table and bool(np.isfinite(np.asarray(table[name], dtype=float)).any())


def _objectives(metrics: Sequence[str]) -> list[str]:
    first = next((n for n in metrics if n in ("latency_s", "tpot_s")), "")
    second = next((n for n in ("energy_j", "peak_memory_bytes") if n in metrics), "")
    return [first, second] if first and second else []


def _varied(table: Table) -> list[str]:
    """Return columns of what was asked that have more than one value, axes first."""
    names = [*table.axes, "workload", "device", "runtime", "precision"]
    return [n for n in dict.fromkeys(names) if n in table and len(set(table[n].tolist())) > 1]


def _title(table: Table) -> str:
    def few(name: str) -> str:
        values = list(dict.fromkeys(map(str, table[name].tolist()))) if name in table else []
        return f"{len(values)} {name}s" if len(values) > 2 else " and ".join(values)

    one, other = few("workload"), few("device")
    return f"Sweep: {one} on {other}" if one and other else "Sweep"


def _subtitle(table: Table) -> str:
    parts: list[str] = []
    for name in _varied(table):
        values = list(dict.fromkeys(table[name].tolist()))
        dimension = table.dimensions[name]
        if dimension == TEXT:
            shown = ", ".join(map(str, values[:6])) + (
                f" and {len(values) - 6} more" if values[6:] else ""
            )
        else:
            ends = [quantity(float(v), dimension) for v in (min(values), max(values))]
            shown = f"{len(values)} values from {ends[0]} to {ends[1]}"
        parts.append(f"{name}: {shown}")
    return "; ".join(parts)


def _answer(table: Table, best: str, counted: Counted | None) -> str:
    fits = (
        np.asarray(table["feasible"], dtype=bool)
        if "feasible" in table
        else np.ones(len(table), bool)
    )
    count = counted or Counted(len(table), len(table), int(fits.sum()))
    kept = "" if count.rows == count.points else f", {count.rows} satisfy the condition"
    said = f"{count.points} points{kept}, {count.feasible} of them fit."
    row = table.where(table.numbered(best)).best(best) if best else None
    of = _of_those(table, [best]) if best and count.rows == len(table) else ""
    if row is None:
        return f'<div class="verdict fails"><b>No point qualifies{of}.</b> {escape(said)}</div>'
    where = ", ".join(_shown(table, row, n) for n in _varied(table)) or "the only point"
    pairs = [(n, _value(table, row, n), "") for n in _METRICS if n in row and row[n] == row[n]]
    return (
        f'<div class="verdict fits"><b>Best {escape(best)}{of}: {escape(_value(table, row, best))}'
        f"</b> at {escape(where)}.<p>{escape(said)}</p></div>{cards(pairs)}"
    )


def _of_those(table: Table, objectives: Sequence[str]) -> str:
    """Among how many rows something was looked for, where some have no number there."""
    fits = np.asarray(table["feasible"], bool) if "feasible" in table else np.ones(len(table), bool)
    known = int((fits & table.numbered(*objectives)).sum())
    if known == int(fits.sum()):
        return ""
    return f" of those that have a number ({known} of {int(fits.sum())} that fit)"


def _value(table: Table, row: Row, name: str) -> str:
    return quantity(float(row[name]), table.dimensions[name])


def _shown(table: Table, row: Row, name: str) -> str:
    if table.dimensions[name] in (TEXT, TRUTH):
        return str(row[name])
    return f"{name} {_value(table, row, name)}"


def _brief(table: Table, more: Sequence[str]) -> Table:
    names = dict.fromkeys(["workload", "device", *_varied(table), *table.axes, *more, *_SHOWN])
    return table.select(*[
        n for n in names
        if n in table and (table.dimensions[n] in (TEXT, TRUTH) or is_known(table, n) or n in more)
    ])  # fmt: skip


def _over_axes(
    made: ReportDocument, table: Table, metrics: Sequence[str] | dict[str, None]
) -> list[str]:
    """Return curves over each axis of numbers; a grid of colours where they would be too many."""
    varied = _varied(table)
    numbers = [n for n in varied if table.dimensions[n] not in (TEXT, TRUTH)]
    out: list[str] = []
    for metric in metrics:
        for name in numbers[:2]:
            if not metric or len(out) >= _CURVES:
                continue
            try:
                words = f"{metric} over {name}."
                out.append(made.picture(table.plot.curves, words, name, metric))
            except InputError:
                other = next((n for n in varied if n != name), "")
                try:
                    words = f"{metric} over {name} and {other}, the best of each cell."
                    out.append(made.picture(table.plot.heatmap, words, name, other, metric))
                except InputError:
                    continue  # neither can be read: the tables stay
    if not out and len(varied) == 2 and metrics:
        metric = next(iter(metrics))
        try:
            words = f"{metric} by {varied[0]} and {varied[1]}."
            out.append(made.picture(table.plot.heatmap, words, *varied, metric))
        except InputError:
            return []
    return out
