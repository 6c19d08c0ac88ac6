"""``perfmodel sweep``."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import Count, Whole, note, pairs, print_json, say
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.cli.streams import console
from perfmodel.columns import BASIS
from perfmodel.settings import OPTIONS, FaultList, text_list
from perfmodel.sweep.executor import executor_named
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


def sweep(
    *workloads: str,
    device: Annotated[list[str] | None, Parameter(name=["--device", "-d"])] = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
    zip: list[str] | None = None,
    sobol: Whole | None = None,
    seed: Count = 0,
    where: str | None = None,
    best: str | None = None,
    per: str | None = None,
    pareto: str | None = None,
    metrics: str | None = None,
    executor: str = "serial",
    resume: bool = False,
    dry_run: bool = False,
    top: Count = 10,
    bounds: bool = False,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Predict at every point of a grid; store it, or name the best.

    Parameters
    ----------
    workloads
        Models of the library, or paths.
    device
        Devices: D1,D2,tag:phone; as often as needed.
    set
        NAME=VALUES, as often as needed: batch=1,2,4 or context=2**9..2**15 or
        memories.main.bandwidth="25 GB/s,50 GB/s" or phase=prefill,decode. Also linspace(low, high,
        count), logspace(...), and with --sobol uniform(low, high), loguniform(low, high).
    precision
        Precisions, with commas; the same as --set precision=...
    runtime
        Runtimes, with commas; of several, each device takes those that are meant for it.
    engine
        Engine of the devices.
    model
        Kind of cost model; "roofline" is the bare roofline.
    relaxed
        Continuous forms of ceilings and floors.
    warm
        Weights stay in the nearest memory that holds everything.
    zip
        Axes that advance together: batch,context; as often as needed.
    sobol
        Take this many points of a Sobol sample of the axes instead of the whole grid.
    seed
        Seed of the sample; 0 by default.
    where
        Keep rows that satisfy a condition: "tpot_s <= 50 ms and peak_memory_bytes < 8 GiB".
    best
        Name the row that is best in this column: energy_j, tokens_per_s.
    per
        With --best: the best row for each value of these columns, with commas: context,precision.
    pareto
        Name the rows that no other beats in all of these columns: latency_s,energy_j.
    metrics
        Columns to compute, with commas; all by default.
    executor
        serial (the default), process:N, or dask://HOST:PORT.
    resume
        Take up an unfinished sweep to the same output.
    dry_run
        Say how many points, how long and how large, from a pilot; write nothing.
    top
        How many rows to print where no --best, --pareto or --output is asked for; 10 by default.
    bounds
        Rank bounds (--runtime ideal, --model roofline) beside predictions; else they are set apart.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Stream the rows to a .csv or .parquet file, with a manifest beside it.
    """
    faults = FaultList()
    settings: dict[str, Any] = pairs(set or (), faults)
    _options(settings, {"precision": precision, "runtime": runtime})
    wanted = text_list(metrics, faults, "--metrics") if metrics else None
    objectives = text_list(pareto, faults, "--pareto") if pareto else []
    groups = text_list(per, faults, "--per") if per else []
    if wanted is None and any(name in f"{where} {best} {per} {pareto}" for name in EXTRA):
        wanted = [*METRICS, *EXTRA]
    if wanted is not None and (best or pareto) and BASIS not in wanted:
        wanted = [*wanted, BASIS]  # by which bounds are set apart
    columns = provisional_columns(settings, wanted)
    condition, found = question_faults(columns, where, best, objectives, per=groups)
    faults += found
    chosen = faults.trying(executor_named, executor)
    if output is not None:
        faults += store_faults(output)
    faults += report_faults(report)
    if resume and output is None:
        faults.append(_needs_output())
    plan = make_plan(
        list(workloads), device or (), settings, zip=zip or (), sobol=sobol, seed=seed,
        metrics=wanted, options=Options(engine=engine, model=model, relaxed=relaxed, warm=warm),
        faults=faults, place="--set",
    )  # fmt: skip
    note(*(f"note: {text}" for text in plan.notes))
    assert chosen is not None
    if dry_run:
        return _dry_run(plan, condition, output, chosen.workers, json)
    quiet = best or objectives or output is not None
    rows = 0 if quiet else top
    listed = rows if report is None else max(rows, _REPORTED)
    summary = Summary(best or "", objectives, top=listed, per=groups, bounds=bounds)
    try:
        with _progress(plan.points) as progress:
            outcome = run_plan(
                plan, where=condition, output=output, executor=chosen, resume=resume,
                progress=progress, summary=summary, argv=sys.argv,
                keep=(json or report is not None) and output is None and plan.points <= _MOST_ROWS,
            )  # fmt: skip
    except KeyboardInterrupt:
        if output is not None:
            note(f"{summary.points} of {plan.points} points are done: --resume goes on from there")
        raise
    _report(report, outcome, plan, output, best, objectives)
    if json:
        data = outcome_to_dict(outcome, plan, outcome.table)
        data["output"] = str(output) if output is not None else None
        print_json(data)
    else:
        _print(outcome, plan, output, best, objectives, groups, rows)
    answered = (not best or summary.best) and (not objectives or summary.front)
    return DONE if summary.feasible and answered else INFEASIBLE


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
    write_report(path, "sweep", table, best=best or "", pareto=pareto, counted=counted,
                 notes=(*plan.notes, *remarks(summary)))  # fmt: skip


def _needs_output() -> Any:
    from perfmodel.errors import Fault

    return Fault("there is nothing to resume without an output", file="--resume",
                 expected="-o FILE")  # fmt: skip


def _options(settings: dict[str, Any], given: dict[str, str | None]) -> None:
    """Options that may hold several values become axes."""
    for name in OPTIONS:
        value = given.get(name)
        if value is not None:
            settings[name] = f"{settings[name]},{value}" if name in settings else value


def _dry_run(plan: SweepPlan, where: Any, output: Path | None, workers: int, json: bool) -> int:
    from perfmodel.sweep.pilot import dry_run as pilot

    found = pilot(plan, where=where, output=output, workers=workers)
    if json:
        print_json(found._asdict() | {"axes": {a.name: a.describe() for a in plan.axes}})
        return DONE
    say(
        f"{found.points} points: {found.cases} choices of categories in {found.chunks} chunks",
        f"about {show(found.seconds, 'time')} (from a pilot of {found.pilot_points} points)",
    )
    if output is not None:
        say(f"about {show(found.bytes, 'bytes')} in {output}; nothing was written")
    return DONE


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
