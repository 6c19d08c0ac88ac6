"""Command ``perfmodel sweep``: store rows while they are computed; print the best, or the front.

Unlike other commands it plans and runs the sweep itself (`perfmodel.sweep.plan`,
`perfmodel.sweep.run`), so that rows need not be kept in memory to be ranked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from perfmodel.atomic import output_faults
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.answer import Answer, write_page
from perfmodel.cli.printing import note, print_json, say
from perfmodel.cli.report_option import report_faults, write_report
from perfmodel.cli.streams import console
from perfmodel.columns import BASIS
from perfmodel.errors import Fault
from perfmodel.settings import FaultList, gathered, text_list
from perfmodel.sweep.executor import executor_named
from perfmodel.sweep.pilot import DryRun
from perfmodel.sweep.pilot import dry_run as pilot
from perfmodel.sweep.plan import (
    EXTRA,
    METRICS,
    SweepPlan,
    make_plan,
    provisional_columns,
    wanted_metrics,
)
from perfmodel.sweep.run import (
    SweepRunResult,
    outcome_to_dict,
    question_faults,
    run_plan,
)
from perfmodel.sweep.store import store_faults
from perfmodel.sweep.summary import Summary, few_names, remarks
from perfmodel.table import Table
from perfmodel.table.text import as_text, shown_cells
from perfmodel.units import show

#: Largest number of rows listed in JSON if neither the best nor the front is requested.
_MOST_ROWS = 100_000
#: Number of best rows in a report if all are too many to keep in memory.
_REPORTED = 200


class SweepRun(NamedTuple):
    """A plan and the result of its run."""

    plan: SweepPlan
    outcome: SweepRunResult


@dataclass(kw_only=True)
class SweepAnswer(Answer):
    """Options and output of ``sweep``.

    Parameters
    ----------
    best
        Show the row with the best value of this column, such as energy_j or tokens_per_s.
    per
        With --best: show the best row for each value of these columns, separated by commas:
        context,precision.
    pareto
        Show the rows that no other row beats in all of these columns: latency_s,energy_j.
    dry_run
        Only compute a small pilot, to estimate the number of points, the time and the size of the
        output.
    top
        Number of rows to print if none of --best, --pareto and --output is used.
    bounds
        Rank lower bounds (--runtime ideal, --model roofline) together with predictions. By default
        they are ranked separately.
    """

    OUTPUT: ClassVar[str] = "Stream the rows to a .csv or .parquet file, with a manifest beside it."

    best: str | None = None
    per: str | None = None
    pareto: str | None = None
    dry_run: bool = False
    top: int = 10
    bounds: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options."""
        faults = report_faults(self.report) + output_faults(self.plot, (".html",), "--plot")
        if self.output is not None:
            faults += store_faults(self.output)
        elif values.get("resume"):
            message = "there is nothing to resume without an output"
            faults.append(Fault(message, file="--resume", expected="-o FILE"))
        if self.top < 0:
            faults.append(Fault(f"{self.top} rows", file="--top", expected="a whole number from 0"))
        return faults

    def compute(self, call: Callable[..., Any], values: dict[str, Any]) -> DryRun | SweepRun:
        """Plan and run the sweep, ranking rows as they are computed."""
        del call
        faults = gathered()
        settings: dict[str, Any] = dict(values.pop("set", {}))
        for name in ("precision", "runtime"):
            if name in values:
                # Options that may have several values become axes.
                text = values.pop(name)
                settings[name] = f"{settings[name]},{text}" if name in settings else text
        self.fronts = text_list(self.pareto, faults, "--pareto") if self.pareto else []
        self.groups = text_list(self.per, faults, "--per") if self.per else []
        where = values.pop("where", None)
        wanted = self._wanted(values.pop("metrics", None), where, faults)
        columns = provisional_columns(settings, wanted)
        condition, wrong = question_faults(columns, where, self.best, self.fronts, per=self.groups)
        faults += wrong
        executor = faults.trying(executor_named, values.pop("executor", "serial"))
        resume = values.pop("resume", False)
        own = {n: values.pop(n) for n in ("zip", "sobol", "seed") if n in values}
        plan = make_plan(
            values.pop("workloads", []),
            values.pop("devices", ()),
            settings,
            **own,
            metrics=wanted,
            faults=faults,
            place="--set",
            options=values,
        )
        note(*(f"note: {text}" for text in plan.notes))
        assert executor is not None
        if self.dry_run:
            self.axes = {axis.name: axis.describe() for axis in plan.axes}
            return pilot(plan, where=condition, output=self.output, workers=executor.workers)
        listed = max(self._rows, _REPORTED if self._needs_rows else 0)
        summary = Summary(
            self.best or "", self.fronts, top=listed, per=self.groups, bounds=self.bounds
        )
        in_memory = self.output is None and plan.points <= _MOST_ROWS
        try:
            with _progress(plan.points) as progress:
                outcome = run_plan(
                    plan,
                    where=condition,
                    output=self.output,
                    executor=executor,
                    resume=resume,
                    progress=progress,
                    summary=summary,
                    argv=sys.argv,
                    keep=(self.json or self._needs_rows) and in_memory,
                )
        except KeyboardInterrupt:
            if self.output is not None:
                done = f"{summary.points} of {plan.points} points are done"
                note(f"{done}: --resume goes on from there")
            raise
        return SweepRun(plan, outcome)

    def _wanted(
        self, metrics: str | None, where: str | None, faults: FaultList
    ) -> list[str] | None:
        """Return the metrics of every point; ``None`` for the default ones."""
        wanted = wanted_metrics(
            text_list(metrics, faults, "--metrics") if metrics else None,
            f"{where} {self.best} {self.per} {self.pareto}",
        )
        if wanted is not None and (self.best or self.pareto) and BASIS not in wanted:
            wanted = [*wanted, BASIS]  # separates bounds
        return wanted

    @property
    def _needs_rows(self) -> bool:
        """Whether rows are drawn or reported."""
        return self.report is not None or self.plot is not None

    @property
    def _rows(self) -> int:
        """Number of rows to print."""
        return 0 if self.best or self.fronts or self.output is not None else self.top

    def emit(self, result: DryRun | SweepRun) -> int:
        """Print the estimate of a dry run, or the requested rows."""
        if isinstance(result, DryRun):
            self._say_dry_run(result)
            return DONE
        plan, outcome = result
        summary = outcome.summary
        if self._needs_rows:
            self._show(plan, outcome)
        if self.json:
            data = outcome_to_dict(outcome, plan, outcome.table)
            data["output"] = str(self.output) if self.output is not None else None
            print_json(data)
        else:
            self._note(plan, outcome)
            self._print(plan, summary)
        answered = (not self.best or summary.best) and (not self.fronts or summary.front)
        return DONE if summary.feasible and answered else INFEASIBLE

    def _show(self, plan: SweepPlan, outcome: SweepRunResult) -> None:
        """Draw and report all rows, or the front and the best if they are too many."""
        from perfmodel.report.of_sweep import Counted

        summary, table = outcome.summary, outcome.table
        if table is None and self.output is not None and summary.rows <= _MOST_ROWS:
            table = Table.read(self.output)
            table.axes = plan.axis_columns
        if table is None:
            parts = (summary.front, summary.top or summary.unfit)
            table = Table.concat(part for part in parts if part is not None)
        wanted = {"best": self.best or "", "pareto": self.fronts}
        write_page(self.plot, table, **wanted)
        counted = Counted(summary.points, summary.rows, summary.feasible)
        notes = (*plan.notes, *remarks(summary))
        write_report(self.report, table, **wanted, counted=counted, notes=notes)

    def _say_dry_run(self, run: DryRun) -> None:
        """Print the estimate of a dry run."""
        if self.json:
            print_json(run._asdict() | {"axes": self.axes})
            return
        say(
            f"{run.points} points: {run.cases} choices of categories in {run.chunks} chunks",
            f"about {show(run.seconds, 'time')} (from a pilot of {run.pilot_points} points)",
        )
        if self.output is not None:
            say(f"about {show(run.bytes, 'bytes')} in {self.output}; nothing was written")

    def _note(self, plan: SweepPlan, outcome: SweepRunResult) -> None:
        """Print on stderr the number of rows, those without numbers, and the files written."""
        summary = outcome.summary
        fewer = "" if summary.rows == summary.points else f", {summary.rows} satisfy the condition"
        fit = f"{summary.feasible} of them fit; {show(outcome.seconds, 'time')}"
        note(f"{summary.points} points{fewer}, {fit}")
        if unfit := summary.unfit_devices:
            note(f"fits at no point: {few_names(unfit)} (perfmodel predict says what is missing)")
        note(*remarks(summary))
        if self.output is not None:
            if outcome.damaged:
                note(f"{outcome.damaged} of the chunks that were left were damaged: computed again")
            note(f"wrote {self.output} and {outcome.manifest.name if outcome.manifest else ''}")

    def _print(self, plan: SweepPlan, summary: Summary) -> None:
        """Print the best row or those of each group, the front, or the first rows; then bounds."""
        best, fronts, per = self.best, self.fronts, self.groups
        if best:
            among, result = _among(summary, (best,)), summary.best_per if per else summary.best
            each = f" for each {', '.join(per)}" if per else ""
            say(
                f"best {best}{among}{each}:"
                if result
                else f"best {best}: no point qualifies{among}"
            )
        if best and not per:
            say(*(f"  {line}" for line in _row_lines(summary.best or {}, plan)))
        elif best and summary.best_per:
            say(as_text(_brief(summary.best_per, plan, [*per, best]), rows=200))
            _note_unmet(plan, summary.best_per, per)
        if fronts:
            size = 0 if summary.front is None else len(summary.front)
            say(f"{size} rows on the front of {', '.join(fronts)}{_among(summary, (*fronts,))}:")
        self._print_rows(plan, summary.front, summary.top or summary.unfit)
        bounds = summary.bounds
        if bounds is None or not bounds.rows:
            return
        # The best bounds come after the predictions, none of which they may beat.
        among = _among(bounds, (*fronts,) if fronts else (best or "",))
        say(f"bounds, set apart ({bounds.rows} rows){among}:")
        if best and bounds.best is not None:
            say(f"  best {best}:", *(f"    {line}" for line in _row_lines(bounds.best, plan)))
        self._print_rows(plan, bounds.front, bounds.top)

    def _print_rows(self, plan: SweepPlan, front: Table | None, top: Table | None) -> None:
        """Print the front if requested, and the first rows if nothing else is."""
        if self.fronts and front is not None and len(front):
            say(as_text(_brief(front, plan, self.fronts), rows=200))
        rows = self._rows
        if rows and top is not None:
            say(as_text(_brief(top.head(rows), plan), rows=rows))


def _note_unmet(plan: SweepPlan, rows: Table, per: list[str]) -> None:
    """Name the groups without a qualifying point."""
    axes = {axis.name: axis.values for axis in plan.axes}
    if len(per) == 1 and not plan.sobol and per[0] in axes:
        met = rows[per[0]].tolist()
        unmet = [f"{value}" for value in axes[per[0]] if value not in met]
        if unmet:
            note(f"no point qualifies at {per[0]} = {few_names(unmet)}")


def _among(summary: Summary, objectives: tuple[str, ...]) -> str:
    """Return the number of candidate rows as a text, if it is not that of all feasible ones."""
    lacking = summary.unnumbered.get(objectives)
    if lacking is None:
        return ""
    number = summary.feasible - lacking.points
    if not number:
        return f" (none of the {summary.feasible} rows that fit has a number)"
    return f" of those that have a number ({number} of {summary.feasible} that fit)"


def _row_lines(row: Mapping[str, Any], plan: SweepPlan) -> list[str]:
    """Return a row as lines: column, value, unit."""
    known = {name: [value] for name, value in row.items() if value == value and value != ""}
    names, units, cells = shown_cells(Table(known, plan.columns), 1)
    return [
        f"{name:<24} {cell} {unit}".rstrip()
        for name, unit, (cell,) in zip(names, units, cells, strict=True)
    ]


#: Columns of a terminal table besides the axes.
_BRIEF = (
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "tokens_per_s",
    "frames_per_s",
    "energy_j",
    "peak_memory_bytes",
    "feasible",
    *EXTRA,
    "bottleneck",
)


def _brief(table: Table, plan: SweepPlan, more: Iterable[str] = ()) -> Table:
    """Return the columns to compare: varied ones, and the headline metrics."""
    subjects = ("workload", "device", "runtime", "precision", "basis")
    # Explicitly requested metrics are all shown.
    metrics = _BRIEF if {*METRICS} <= {*plan.metrics} else plan.metrics
    names = [*subjects, *(axis.name for axis in plan.axes), *more]
    names += [name for name in metrics if name in plan.metrics]
    return table.select(
        *(
            name
            for name in dict.fromkeys(names)
            if name in table and (name not in (*METRICS, *EXTRA) or _has_numbers(table[name]))
        )
    )


def _has_numbers(column: Any) -> bool:
    """Return whether a column is of texts, or contains a number."""
    return column.dtype.kind != "f" or not bool((column != column).all())


@contextmanager
def _progress(points: int) -> Generator[Any]:
    """Yield a progress callback with a bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("points", total=points)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance
