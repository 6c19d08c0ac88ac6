"""Reports of a schedule, and of a curve of schedules over capacities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from perfmodel.report.base import Part, ResultReport, picture_figures, verdict
from perfmodel.report.document import ReportDocument
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.result import Schedule
from perfmodel.schedule.schedule_text import curve_rows, head_line, proof_text
from perfmodel.schedule.spill_curve import SpillStaircase
from perfmodel.table.html import HtmlCell, cards, items, paragraph, preformatted, table
from perfmodel.table.text import data_table
from perfmodel.units import binary

_WORDS = ("spill, reload", "memory", "latency")
#: Capacities of the curve next to a schedule, in multiples of the largest working set.
_SHARES = (1.0, 1.125, 1.25, 1.375, 1.5, 1.75, 2.0, 2.5, 3.0)
#: Largest number of steps listed.
_STEPS = 400


@dataclass
class ScheduleReport(ResultReport):
    """Report of a schedule: overview, memory, timeline, proof, stays.

    Attributes
    ----------
    steps
        Exact staircase of bytes against capacity, if computed.
    """

    WORDS: ClassVar = _WORDS

    result: Schedule
    steps: SpillStaircase | None = None

    @property
    def title(self) -> str:
        """Name of the network."""
        return f"Schedule of {self.result.problem.name}"

    @property
    def subtitle(self) -> str:
        """Inputs and method of the schedule."""
        return head_line(self.result)

    def answer(self) -> str:
        """Return feasibility and the headline numbers."""
        pairs = ((label, text, "") for label, text in self.result.glance() if label != "proof")
        return _verdict(self.result) + cards(pairs) + items(self.result.notes, "note")

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield pictures, effect of more memory, the proof, stays, the order."""
        s = self.result
        yield "Pictures", self.pictures(page)
        yield "What more memory would save", self._more_memory(page)
        if s.outcome.solution is None:
            return
        yield "Proof", [_proof(s)]
        words = (
            "one row per stay: positions in the order, address, spilled or reloaded; "
            f"{len(s.residency)} in all"
        )
        yield "Stays on chip", [data_table(s.residency, words, most=_STEPS)]
        order = [
            (HtmlCell(str(i + 1), float(i + 1)), name) for i, name in enumerate(s.order[:_STEPS])
        ]
        more = f"the first {_STEPS} of {len(s.order)} steps" if s.order[_STEPS:] else ""
        yield "Order of the steps", [table(("position", "step"), order, more)]

    def left_out(self) -> list[str]:
        """Return the assumptions of the schedule."""
        return _left_out(self.result)

    def _more_memory(self, page: ReportDocument) -> list[str]:
        """Return the curve over capacities from the least feasible one: exact steps if known.

        Otherwise by the greedy method, which uses no time limit, so that equal questions yield
        equal pages.
        """
        s, steps = self.result, self.steps
        if steps is not None and steps.curve.schedules:
            words = (
                "Bytes spilled and reloaded over capacity: one point per step, at the least "
                "capacity for its bytes."
            )
            return [page.picture(steps.curve.plot.curve.chart(), words), preformatted(str(steps))]
        if s.job is None or s.objective == "peak" or s.weights == "resident" or s.tiled is not None:
            return []
        job = replace(s.job, method="greedy", objective="bytes", addresses=False)
        least = s.working_set_bytes
        schedules = [s] if s.outcome.solution is not None else []
        for share in _SHARES:
            size = math.ceil(share * least / 1024) * 1024
            if size != s.capacity_bytes:
                schedules.append(job.at_capacity(size).run())
        schedules.sort(key=lambda one: one.capacity_bytes or 0)
        if not any(one.trace.cost_bytes for one in schedules):
            return [paragraph(f"Nothing: from {binary(least)} on nothing is spilled.")]
        words = (
            "Bytes spilled and reloaded over capacity; beside the capacity that was asked for by "
            "the greedy method, which proves little. --curve gives every step, proved where it can "
            "be."
        )
        return [page.picture(Curve(tuple(schedules)).plot.curve.chart(), words)]


@dataclass
class CurveReport(ResultReport):
    """Report of a curve: its picture, its table, the tightest schedule."""

    WORDS: ClassVar = _WORDS

    result: Curve

    @property
    def title(self) -> str:
        """Name of the network."""
        return f"Schedules of {self.result.schedules[-1].problem.name} over capacities"

    @property
    def subtitle(self) -> str:
        """Inputs and method of the schedules."""
        return head_line(self.result.schedules[-1])

    def answer(self) -> str:
        """Return the number of feasible capacities, and the shortfall at the others."""
        every = self.result.schedules
        failed = [s for s in every if not s.feasible]
        least = f"The largest working set is {binary(every[-1].working_set_bytes)}."
        if not failed:
            return verdict(True, "Fits at every capacity.", paragraph(least))
        why = failed[-1].infeasible
        count = f"{len(failed)} of {len(every)} capacities do not fit."
        return verdict(
            False, count, paragraph(least), preformatted(why.text()) if why is not None else ""
        )

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield the curve, its table, and the tightest feasible schedule."""
        every = self.result.schedules
        fitting = [s for s in every if s.outcome.solution is not None]
        head, *body = curve_rows(self.result)
        capacities = table([title or "proof" for title in head], body)
        if not fitting:
            yield "Capacities", [capacities]
            yield "The largest capacity", picture_figures(page, every[-1])
            return
        chart = self.result.plot.curve.chart()
        yield (
            "Bytes over capacity",
            [page.picture(chart, "What each further KiB saves."), capacities],
        )
        one = fitting[0]
        yield (
            f"The tightest that fits: {binary(one.capacity_bytes or 0)}",
            [_verdict(one), *picture_figures(page, one), _proof(one)],
        )

    def left_out(self) -> list[str]:
        """Return the assumptions of the schedules."""
        return _left_out(self.result.schedules[-1])


def _verdict(s: Schedule) -> str:
    """Return whether the schedule fits, and what it spills."""
    if s.infeasible is not None:
        return verdict(False, "Does not fit.", preformatted(s.infeasible.text()))
    cost = s.trace.cost_bytes
    text = f"{binary(cost)} spilled and reloaded" if cost else "nothing is spilled"
    return verdict(True, f"Fits: {text}; {proof_text(s)}.")


def _proof(s: Schedule) -> str:
    """Return the state of the proof, and the work of the search."""
    html = paragraph(proof_text(s))
    if s.unproved is not None:
        html += preformatted(s.unproved.text())
    counts = ", ".join(f"{name} {n}" for name, n in s.outcome.work.items())
    return html + (paragraph(f"Searched: {counts}.", "soft") if counts else "")


def _left_out(s: Schedule) -> list[str]:
    """Return the assumptions of a schedule."""
    times = "Transfers run beside arithmetic at the memory's sustained bandwidth."
    return [
        f"Weights are {s.weights}, as was asked.",
        "A tensor lies on chip whole or not at all, unless operators run in tiles.",
        "No device was named: there are no times here." if s.timing is None else times,
        *([] if s.outcome.solution is None else [f"Energy of the run: {s.energy_model}."]),
    ]
