"""The reports of a schedule, and of schedules over capacities."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from perfmodel.report.document import ReportDocument
from perfmodel.report.question import question
from perfmodel.report.terms import terms
from perfmodel.report.write import ReportInvocation
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.staircase import SpillStaircase
from perfmodel.schedule.text import curve_rows, glance, head_line
from perfmodel.table.html import HtmlCell, cards, items, paragraph, preformatted, rows
from perfmodel.table.text import data_table
from perfmodel.units import binary

if TYPE_CHECKING:
    from perfmodel.schedule.result import Schedule

_WORDS = ("spill, reload", "memory", "latency")
#: Capacities of the curve beside a schedule, in largest working sets.
_SHARES = (1.0, 1.125, 1.25, 1.375, 1.5, 1.75, 2.0, 2.5, 3.0)
#: Steps that are listed at most.
_STEPS = 400


def schedule_report(
    found: Schedule, asked: ReportInvocation, *, steps: SpillStaircase | None = None
) -> ReportDocument:
    """Return the report of a schedule: at a glance, its memory, its timeline, its proof, stays.

    Parameters
    ----------
    steps
        Its bytes against capacity, every step, where they were asked for.
    """
    s = found
    made = ReportDocument(f"Schedule of {s.problem.name}", head_line(s), asked.date)
    made.head(question(asked))
    made.head(_verdict(s))
    made.head(cards((label, text, "") for label, text in glance(s) if label != "proof"))
    made.head(items(s.notes, "note"))
    made.part("Pictures", *_pictures(made, s))
    made.part("What more memory would save", *_more_memory(made, s, steps))
    if s.outcome.script is not None:
        made.part("Proof", _proof(s))
        made.part("Stays on chip", data_table(
            s.residency, f"one row a stay: positions in the order, address, spilled or reloaded; "
            f"{len(s.residency)} in all", most=_STEPS))  # fmt: skip
        order = [
            (HtmlCell(str(i + 1), float(i + 1)), name) for i, name in enumerate(s.order[:_STEPS])
        ]
        more = f"the first {_STEPS} of {len(s.order)} steps" if s.order[_STEPS:] else ""
        made.part("Order of the steps", rows(("position", "step"), order, more))
    made.part("What the words mean", terms(_WORDS))
    made.part("What the model leaves out", items(_left_out(s)))
    return made


def curve_report(found: Curve, asked: ReportInvocation) -> ReportDocument:
    """Return the report of schedules over capacities: the curve, its table, the tightest one."""
    last = found.schedules[-1]
    fitting = [s for s in found.schedules if s.outcome.script is not None]
    made = ReportDocument(
        f"Schedules of {last.problem.name} over capacities", head_line(last), asked.date
    )
    made.head(question(asked))
    least = binary(last.working_set_bytes)
    failed = [s for s in found.schedules if not s.feasible]
    if failed:
        count = f"{len(failed)} of {len(found.schedules)} capacities do not fit."
        why = failed[-1].infeasible
        made.head(
            f'<div class="verdict fails"><b>{escape(count)}</b><p>The largest working set is '
            f"{escape(least)}.</p>{preformatted(why.text()) if why else ''}</div>"
        )
    else:
        made.head(f'<div class="verdict fits"><b>Fits at every capacity</b> asked for; the largest '
                  f"working set is {escape(least)}.</div>")  # fmt: skip
    if fitting:
        made.part("Bytes over capacity", made.picture(
            found.plot.curve, "What each further KiB saves."))  # fmt: skip
    head, *body = curve_rows(found)
    made.part("Capacities", rows([title or "proof" for title in head], body))
    if fitting:
        made.part(
            f"The tightest that fits: {binary(fitting[0].capacity_bytes or 0)}",
            _verdict(fitting[0]), *_pictures(made, fitting[0]), _proof(fitting[0]),
        )  # fmt: skip
    else:
        made.part("The largest capacity", *_pictures(made, last))
    made.part("What the words mean", terms(_WORDS))
    made.part("What the model leaves out", items(_left_out(last)))
    return made


def _verdict(s: Schedule) -> str:
    if s.infeasible is not None:
        return (
            '<div class="verdict fails"><b>Does not fit.</b>'
            f"{preformatted(s.infeasible.text())}</div>"
        )
    cost = s.trace.cost_bytes
    said = f"{binary(cost)} spilled and reloaded" if cost else "nothing is spilled"
    proof = dict(glance(s))["proof"]
    return f'<div class="verdict fits"><b>Fits</b>: {escape(said)}; {escape(proof)}.</div>'


def _pictures(made: ReportDocument, s: Schedule) -> list[str]:
    if s.outcome.script is None:
        return [made.picture(s.plot.demand, "What each step needs by itself, against what there "
                             "is.")]  # fmt: skip
    return [
        made.picture(s.plot.memory, "What lies on chip: address upwards, steps to the right."),
        made.picture(s.plot.timeline, "Steps and transfers over time."),
    ]


def _more_memory(made: ReportDocument, s: Schedule, steps: SpillStaircase | None) -> list[str]:
    """Return the curve over capacities from the least that fits: the steps where they are known.

    Else by the method without a search. It knows no clock, so that the same question gives the
    same page.
    """
    if steps is not None and steps.curve.schedules:
        return [
            made.picture(steps.curve.plot.curve, "Bytes spilled and reloaded over capacity: one "
                         "point a step, at the least capacity for its bytes."),
            preformatted(str(steps)),
        ]  # fmt: skip
    if s.job is None or s.objective == "peak" or s.weights == "resident" or s.tiled is not None:
        return []
    job = replace(s.job, method="greedy", objective="bytes", addresses=False)
    least = s.working_set_bytes
    found = [s] if s.outcome.script is not None else []
    for share in _SHARES:
        size = math.ceil(share * least / 1024) * 1024
        if size != s.capacity_bytes:
            found.append(job.at_capacity(size).run())
    found.sort(key=lambda one: one.capacity_bytes or 0)
    spilled = [one for one in found if one.trace.cost_bytes]
    if not spilled:
        return [paragraph(f"Nothing: from {binary(least)} on nothing is spilled.")]
    return [
        made.picture(Curve(tuple(found)).plot.curve, "Bytes spilled and reloaded over capacity; "
                     "beside the capacity that was asked for by the greedy method, which proves "
                     "little. --curve gives every step, proved where it can be."),
    ]  # fmt: skip


def _proof(s: Schedule) -> str:
    out = paragraph(dict(glance(s)).get("proof", ""))
    if s.unproved is not None:
        out += preformatted(s.unproved.text())
    counts = ", ".join(f"{name} {n}" for name, n in s.outcome.counts.items())
    return out + (paragraph(f"Searched: {counts}.", "soft") if counts else "")


def _left_out(s: Schedule) -> list[str]:
    out = [
        f"Weights are {s.weights}, as was asked.",
        "A tensor lies on chip whole or not at all, unless operators run in tiles.",
    ]
    out.append("No device was named: there are no times here." if s.timing is None else
               "Transfers run beside arithmetic at the memory's sustained bandwidth.")  # fmt: skip
    return out
