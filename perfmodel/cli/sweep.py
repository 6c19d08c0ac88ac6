"""``perfmodel sweep``: rows stored as they come, the best of them, the front."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.answer import Answer
from perfmodel.cli.common import note, print_json, say
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.cli.streams import console
from perfmodel.columns import BASIS
from perfmodel.errors import Fault
from perfmodel.settings import gathered, text_list
from perfmodel.sweep.executor import executor_named
from perfmodel.sweep.pilot import DryRun
from perfmodel.sweep.pilot import dry_run as pilot
from perfmodel.sweep.plan import EXTRA, METRICS, Options, SweepPlan, make_plan, provisional_columns
from perfmodel.sweep.run import (
    SweepRunResult,
    outcome_to_dict,
    question_faults,
    run_plan,
)
from perfmodel.sweep.store import store_faults
from perfmodel.sweep.summary import Summary, few_names, remarks
from perfmodel.table import Table
from perfmodel.table.text import as_text
from perfmodel.units import show

#: Rows that JSON lists without being asked for the best or the front alone.
_MOST_ROWS = 100_000
#: Best rows that a report has where they are too many to keep.
_REPORTED = 200


class SweepRun(NamedTuple):
    """A plan and what its run left."""

    plan: SweepPlan
    outcome: SweepRunResult


@dataclass(kw_only=True)
class SweepAnswer(Answer):
    """Rows of a grid.

    Parameters
    ----------
    best
        Name the row that is best in this column: energy_j, tokens_per_s.
    per
        With --best: the best row for each value of these columns, with commas: context,precision.
    pareto
        Name the rows that no other beats in all of these columns: latency_s,energy_j.
    dry_run
        Say how many points there are, how long and how large, from a pilot, and write nothing.
    top
        How many rows to print where no --best, --pareto or --output is asked for.
    bounds
        Rank bounds (--runtime ideal, --model roofline) beside predictions. By default they are set
        apart.
    """

    OUTPUT: ClassVar[str] = "Stream the rows to a .csv or .parquet file, with a manifest beside it."

    best: str | None = None
    per: str | None = None
    pareto: str | None = None
    dry_run: bool = False
    top: int = 10
    bounds: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the options by themselves."""
        faults = report_faults(self.report)
        if self.output is not None:
            faults += store_faults(self.output)
        elif values.get("resume"):
            faults.append(
                Fault("there is nothing to resume without an output", "", "--resume",
                      expected="-o FILE")
            )  # fmt: skip
        if self.top < 0:
            faults.append(Fault(f"{self.top} rows", file="--top", expected="a whole number from 0"))
        return faults

    def ask(self, call: Callable[..., Any], values: dict[str, Any]) -> DryRun | SweepRun:
        """Plan and run the sweep, its rows ranked as they come."""
        del call
        faults = gathered()
        settings: dict[str, Any] = dict(values.pop("set", {}))
        for name in ("precision", "runtime"):
            if name in values:
                # Options that may hold several values become axes.
                text = values.pop(name)
                settings[name] = f"{settings[name]},{text}" if name in settings else text
        metrics = values.pop("metrics", None)
        wanted = text_list(metrics, faults, "--metrics") if metrics else None
        self.fronts = text_list(self.pareto, faults, "--pareto") if self.pareto else []
        self.groups = text_list(self.per, faults, "--per") if self.per else []
        where = values.pop("where", None)
        if wanted is None and any(
            n in f"{where} {self.best} {self.per} {self.pareto}" for n in EXTRA
        ):
            wanted = [*METRICS, *EXTRA]
        if wanted is not None and (self.best or self.pareto) and BASIS not in wanted:
            wanted = [*wanted, BASIS]  # by which bounds are set apart
        columns = provisional_columns(settings, wanted)
        condition, found = question_faults(columns, where, self.best, self.fronts, per=self.groups)
        faults += found
        chosen = faults.trying(executor_named, values.pop("executor", "serial"))
        plan = make_plan(
            values.pop("workloads", []), values.pop("devices", ()), settings,
            zip=values.pop("zip", ()), sobol=values.pop("sobol", None),
            seed=values.pop("seed", 0), metrics=wanted, faults=faults, place="--set",
            options=Options(**{n: v for n, v in values.items() if n != "resume"}),
        )  # fmt: skip
        note(*(f"note: {text}" for text in plan.notes))
        assert chosen is not None
        if self.dry_run:
            self.axes = {axis.name: axis.describe() for axis in plan.axes}
            return pilot(plan, where=condition, output=self.output, workers=chosen.workers)
        listed = self._rows if self.report is None else max(self._rows, _REPORTED)
        summary = Summary(
            self.best or "", self.fronts, top=listed, per=self.groups, bounds=self.bounds
        )
        try:
            with _progress(plan.points) as progress:
                outcome = run_plan(
                    plan, where=condition, output=self.output, executor=chosen,
                    resume=values.get("resume", False), progress=progress, summary=summary,
                    argv=sys.argv,
                    keep=(self.json or self.report is not None) and self.output is None
                    and plan.points <= _MOST_ROWS,
                )  # fmt: skip
        except KeyboardInterrupt:
            if self.output is not None:
                note(f"{summary.points} of {plan.points} points are done: --resume goes on from "
                     "there")  # fmt: skip
            raise
        return SweepRun(plan, outcome)

    @property
    def _rows(self) -> int:
        """Rows to print."""
        return 0 if self.best or self.fronts or self.output is not None else self.top

    def give(self, result: DryRun | SweepRun) -> int:
        """Print what a sweep would take; or the rows that were asked for."""
        if isinstance(result, DryRun):
            self._say_dry_run(result)
            return DONE
        plan, outcome = result
        _report(self.report, outcome, plan, self.output, self.best, self.fronts)
        if self.json:
            data = outcome_to_dict(outcome, plan, outcome.table)
            data["output"] = str(self.output) if self.output is not None else None
            print_json(data)
        else:
            _print(outcome, plan, self.output, self.best, self.fronts, self.groups, self._rows)
        summary = outcome.summary
        answered = (not self.best or summary.best) and (not self.fronts or summary.front)
        return DONE if summary.feasible and answered else INFEASIBLE

    def _say_dry_run(self, found: DryRun) -> None:
        if self.json:
            print_json(found._asdict() | {"axes": self.axes})
            return
        say(
            f"{found.points} points: {found.cases} choices of categories in {found.chunks} chunks",
            f"about {show(found.seconds, 'time')} (from a pilot of {found.pilot_points} points)",
        )
        if self.output is not None:
            say(f"about {show(found.bytes, 'bytes')} in {self.output}; nothing was written")


def _report(
    path: Path | None,
    outcome: SweepRunResult,
    plan: SweepPlan,
    output: Path | None,
    best: str | None,
    pareto: list[str],
) -> None:
    """Write the report: of all rows, or of the front and the best where they are too many."""
    if path is None:
        return
    from perfmodel.report.of_sweep import Counted

    summary = outcome.summary
    table = outcome.table
    if table is None and output is not None and summary.rows <= _MOST_ROWS:
        table = Table.read(output)
        table.axes = plan.axis_columns
    if table is None:
        parts = [t for t in (summary.front, summary.top or summary.unfit) if t is not None]
        table = Table.concat(parts)
    counted = Counted(summary.points, summary.rows, summary.feasible)
    write_report(path, table, best=best or "", pareto=pareto, counted=counted,
                 notes=(*plan.notes, *remarks(summary)))  # fmt: skip


def _print(
    outcome: SweepRunResult,
    plan: SweepPlan,
    output: Path | None,
    best: str | None,
    pareto: list[str],
    per: list[str],
    rows: int,
) -> None:
    summary = outcome.summary
    kept = "" if summary.rows == summary.points else f", {summary.rows} satisfy the condition"
    note(f"{summary.points} points{kept}, {summary.feasible} of them fit; "
         f"{show(outcome.seconds, 'time')}")  # fmt: skip
    if unfit := summary.unfit_devices:
        note(f"fits at no point: {few_names(unfit)} (perfmodel predict says what is missing)")
    note(*remarks(summary))
    if output is not None:
        if outcome.damaged:
            note(f"{outcome.damaged} of the chunks that were left were damaged: computed again")
        note(f"wrote {output} and {outcome.manifest.name if outcome.manifest else ''}")
    if best:
        of = _of_those(summary, (best,))
        if per:
            _print_groups(summary, plan, best, per, of)
        else:
            say(f"best {best}{of}:" if summary.best else f"best {best}: no point qualifies{of}")
        if summary.best and not per:
            say(*(f"  {line}" for line in _row_lines(summary.best, plan)))
    if pareto:
        size = 0 if summary.front is None else len(summary.front)
        say(f"{size} rows on the front of {', '.join(pareto)}{_of_those(summary, tuple(pareto))}:")
        if summary.front is not None:
            say(as_text(_brief(summary.front, plan, pareto), rows=200))
    if rows and not best and not pareto and (found := summary.top or summary.unfit) is not None:
        say(as_text(_brief(found.head(rows), plan, []), rows=rows))
    if summary.bounds is not None and summary.bounds.rows:
        _print_bounds(summary.bounds, plan, best, pareto, rows)


def _print_bounds(
    apart: Summary, plan: SweepPlan, best: str | None, pareto: list[str], rows: int
) -> None:
    """Print what is best among the bounds, after the predictions, none of which they beat."""
    say(f"bounds, set apart ({apart.rows} rows):")
    if best and apart.best is not None:
        say(f"  best {best}:", *(f"    {line}" for line in _row_lines(apart.best, plan)))
    if pareto and apart.front is not None:
        say(as_text(_brief(apart.front, plan, pareto), rows=200))
    if rows and not best and not pareto and apart.top is not None:
        say(as_text(_brief(apart.top.head(rows), plan, []), rows=rows))


def _of_those(summary: Summary, objectives: tuple[str, ...]) -> str:
    """Among how many rows something was looked for, where it is not all that fit."""
    lacking = summary.unnumbered.get(objectives)
    if lacking is None:
        return ""
    number = summary.feasible - lacking.points
    if not number:
        return f" (none of the {summary.feasible} rows that fit has a number)"
    return f" of those that have a number ({number} of {summary.feasible} that fit)"


def _print_groups(summary: Summary, plan: SweepPlan, best: str, per: list[str], of: str) -> None:
    """Print the best of each group, and the groups in which no point qualifies."""
    found = summary.best_per
    each = f"for each {', '.join(per)}"
    say(f"best {best}{of} {each}:" if found else f"best {best}: no point qualifies{of}")
    if found:
        say(as_text(_brief(found, plan, [*per, best]), rows=200))
    axes = {axis.name: axis.values for axis in plan.axes}
    if len(per) == 1 and not plan.sobol and per[0] in axes:
        met: list[Any] = [] if found is None else found[per[0]].tolist()
        unmet = [f"{value}" for value in axes[per[0]] if value not in met]
        if found and unmet:
            more = f" and {len(unmet) - 8} more" if unmet[8:] else ""
            note(f"no point qualifies at {per[0]} = {', '.join(unmet[:8])}{more}")


def _row_lines(row: Any, plan: SweepPlan) -> list[str]:
    from perfmodel.table.text import as_text as text

    lines: list[str] = []
    for name, value in row.items():
        if value != value or value == "":
            continue
        cells = text(Table({name: [value]}, plan.columns)).splitlines()
        unit = cells[1].strip() if len(cells) == 3 else ""
        lines.append(f"{name:<24} {cells[-1].strip()} {unit}".rstrip())
    return lines


#: What a table on the terminal shows beside the axes.
_BRIEF = ("latency_s", "latency_low_s", "latency_high_s", "tokens_per_s", "frames_per_s",
          "energy_j", "peak_memory_bytes", "feasible", "resource_share",
          "bottleneck")  # fmt: skip


def _brief(table: Table, plan: SweepPlan, more: list[str]) -> Table:
    """A table with the columns that a reader compares: what varies, and the headline metrics."""
    subjects = ("workload", "device", "runtime", "precision", "basis")
    names = [*subjects, *(axis.name for axis in plan.axes)]
    # Metrics that were asked for by name are what is to be seen.
    metrics = _BRIEF if {*METRICS} <= {*plan.metrics} else plan.metrics
    wanted = dict.fromkeys([*names, *more, *(n for n in metrics if n in plan.metrics)])
    kept = [n for n in wanted if n in table and (n not in (*METRICS, *EXTRA) or _says(table, n))]
    return table.select(*kept)


def _says(table: Table, name: str) -> bool:
    column = table[name]
    return column.dtype.kind != "f" or not bool((column != column).all())


@contextmanager
def _progress(points: int) -> Generator[Any]:
    """A bar on stderr, if that is a terminal."""
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
