"""Execution of a plan on an executor, into memory or a file, with a summary of the rows.

`sweep` is the public function; `run_plan` is what ``perfmodel sweep`` calls with a plan of its own.
Both compute the chunks in order, merge their summaries, and store or collect their rows.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perfmodel._version import __version__
from perfmodel.call_record import records_call
from perfmodel.columns import unit_of
from perfmodel.errors import Fault, InputError
from perfmodel.expressions import Expression, parse_expression
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.settings import FaultList
from perfmodel.sweep.chunk import IN_MEMORY, ChunkResult, ChunkTask
from perfmodel.sweep.evaluate import dtype_of
from perfmodel.sweep.executor import Executor, Serial, executor_named
from perfmodel.sweep.identity import identity, reads_files
from perfmodel.sweep.manifest_differences import differing
from perfmodel.sweep.plan import (
    REASON,
    SweepPlan,
    make_plan,
    provisional_columns,
    wanted_metrics,
)
from perfmodel.sweep.store import Store, store_faults
from perfmodel.sweep.summary import Summary, period_notes
from perfmodel.sweep.table_transfer import PackedTable, unpack
from perfmodel.table import Table, group_faults, objective_faults


class SweepRunResult(NamedTuple):
    """Outcome of a run.

    Attributes
    ----------
    summary : Summary
    table : Table or None
        All rows, if they were kept in memory.
    seconds : float
        Wall-clock time.
    manifest : Path or None
        Path of the manifest, if there is an output.
    damaged : int
        Chunks of an earlier run that were corrupt and have been recomputed.
    """

    summary: Summary
    table: Table | None
    seconds: float
    manifest: Path | None = None
    damaged: int = 0


def question_faults(
    plan_columns: Mapping[str, str],
    where: str | None,
    best: str | None,
    pareto: Sequence[str],
    option: str = "--where",
    per: Sequence[str] = (),
) -> tuple[Expression | None, list[Fault]]:
    """Return the parsed condition, and the faults of condition, objectives and groups."""
    faults = FaultList()
    condition = faults.trying(parse_expression, where, option) if where is not None else None
    if condition is not None:
        faults += condition.condition_faults(plan_columns, plan_columns)
    if best:
        faults += objective_faults([best], plan_columns, "--best")
    faults += objective_faults(pareto, plan_columns, "--pareto")
    faults += group_faults(per, plan_columns, "--per")
    if per and not best:
        faults.append(
            Fault(
                "the best of each group in which column?",
                file="--per",
                expected="--best COLUMN beside it",
            )
        )
    return condition, faults


@records_call
def sweep(
    workloads: WorkloadLike | Iterable[WorkloadLike],
    devices: DeviceLike | Iterable[DeviceLike],
    set: Mapping[str, Any] | None = None,
    *,
    zip: Iterable[Iterable[str] | str] = (),
    sobol: int | None = None,
    where: str | None = None,
    metrics: Iterable[str] | None = None,
    output: str | Path | None = None,
    executor: str | Executor = "serial",
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    precision: Any = None,
    runtime: Any = None,
    engine: str | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
    seed: int = 0,
) -> Table:
    """Predict at every point of a grid.

    Parameters
    ----------
    workloads
        One or more models of the library, or paths. In Python also objects.
    devices
        One or more devices of the library, or paths; ``tag:phone`` stands for all devices with that
        tag. In Python also objects.
    set
        Axis by name: an array, a list or a text (``"2**9..2**15"``). A dotted path is a fact of
        the devices; ``weight_bits``, ``activation_bits`` and ``kv_bits`` are stored bits;
        ``precision``, ``runtime``, ``engine``, ``model``, ``device`` and ``workload`` are
        reserved; any other name is a parameter or a field of the workloads.
    zip
        Groups of axes that advance together instead of being combined: ``[("batch", "context")]``.
    sobol
        Number of points of a scrambled Sobol sample of the axes, which replaces the whole grid.
    where
        Keep only rows that satisfy a condition: "tpot_s <= 50 ms and peak_memory_bytes < 8 GiB".
    metrics
        Columns to compute, separated by commas. By default all. In Python a list of
        `perfmodel.sweep.METRICS`.
    output
        A ``.csv`` or ``.parquet`` file to stream the rows to, with a manifest beside it. The file
        appears, and replaces an earlier one, only when the sweep is complete.
    executor
        Where points are computed: serial, process:N (N worker processes) or dask://HOST:PORT. In
        Python also an `Executor` of your own.
    resume
        Continue an unfinished sweep of the same grid to the same output file.
    progress
        Function that is called with the number of points done and the number of all points.
    precision, runtime
        As for `predict`. Several values, separated by commas, are an axis. In Python a list.
    engine, model, relaxed, warm, fuse, flash_attention
        As for `predict`.
    seed
        Seed of the Sobol sample.

    Returns
    -------
    Table
        One row per point: workload, device, runtime, precision, axes, metrics. A point that cannot
        be predicted has a row without numbers; the column ``reason``, which is there where there
        is such a point, says why.

    Raises
    ------
    InputError
        Every fault, before anything is computed or written; or no point can be predicted.

    Examples
    --------
    >>> import perfmodel as pm
    >>> table = pm.sweep("llama_3_8b", "a100,tag:phone", metrics=["latency_s"])
    >>> table["device"][0]
    'a100'
    >>> table = pm.sweep("resnet50", "a100", {"batch": [1, 8]}, metrics=["latency_s"])
    >>> table["batch"].tolist()
    [1.0, 8.0]
    """
    settings = dict(set or {})
    options: dict[str, Any] = {
        "precision": precision,
        "runtime": runtime,
        "engine": engine,
        "model": model,
        "relaxed": relaxed or None,
        "warm": warm or None,
        "fuse": fuse,
        "flash_attention": flash_attention,
    }
    for name in ("precision", "runtime"):
        if isinstance(options[name], list | tuple):
            settings[name] = list(options.pop(name))
    faults = FaultList()
    resolved_executor = faults.trying(executor_named, executor)
    path = None if output is None else Path(output)
    faults += store_faults(path, "output") if path is not None else ()
    metrics = wanted_metrics(metrics, str(where or ""))
    condition = _condition(where, provisional_columns(settings, metrics), faults)
    plan = make_plan(
        workloads,
        devices,
        settings,
        zip=zip,
        sobol=sobol,
        seed=seed,
        metrics=metrics,
        options=options,
        faults=faults,
    )
    job = _SweepRun(plan, condition, resolved_executor or Serial(), progress, Summary(top=0), ())
    table = job.into(path, resume, keep=True).table
    assert table is not None
    return table


def _condition(
    where: str | None, columns: Mapping[str, str], faults: FaultList
) -> Expression | None:
    """Return the parsed condition of `where`, with its faults collected."""
    condition, of_condition = question_faults(columns, where, None, (), "where")
    faults += of_condition
    return condition


def run_plan(
    plan: SweepPlan,
    *,
    where: Expression | None = None,
    output: Path | None = None,
    executor: Executor | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    summary: Summary | None = None,
    keep: bool = True,
    argv: Sequence[str] = (),
) -> SweepRunResult:
    """Run a validated plan.

    Parameters
    ----------
    plan : Plan
    where : Expression, optional
        Rows to keep.
    output : Path, optional
        File to stream to; rows then stay in memory only while they are written.
    keep : bool
        Whether to return all rows.
    summary : Summary, optional
        Collects the requested statistics of the rows.
    argv : sequence of str
        Command line, for the manifest.

    Raises
    ------
    InputError
        Existing parts, or the finished file, belong to another sweep; another process is writing
        the same output.
    """
    job = _SweepRun(plan, where, executor or Serial(), progress, summary or Summary(), tuple(argv))
    return job.into(output, resume, keep)


class _SweepRun(NamedTuple):
    """A plan with the arguments of its run."""

    plan: SweepPlan
    where: Expression | None
    executor: Executor
    progress: Callable[[int, int], None] | None
    summary: Summary
    argv: tuple[str, ...]

    def into(self, output: Path | None, resume: bool, keep: bool) -> SweepRunResult:
        """Run into a file, possibly with parts of an earlier run, or into memory."""
        if output is None:
            return self.run(None, set(), keep)
        plan = self.plan
        like = Table(
            {n: _empty_column(d) for n, d in plan.columns.items()}, plan.columns, plan.axis_columns
        )
        store = Store(output, f"{plan.fingerprint}:{self.where or ''}", like)
        with store.locked_for_writing():
            manifest = self.manifest()
            if resume:
                FaultList(store.resume_faults(manifest)).settle()
            return self.run(store, store.open(resume, manifest), keep)

    def run(self, store: Store | None, done: set[int], keep: bool) -> SweepRunResult:
        """Compute the missing chunks; join the parts if there is a store."""
        plan, where, summary = self.plan, self.where, self.summary
        started, clock = datetime.now(UTC), time.perf_counter()
        form = store.suffix if store is not None else IN_MEMORY if keep else ""
        task = ChunkTask(plan, where, summary.empty_copy(), form)
        collector = _Collector(plan, where is None) if form == IN_MEMORY else None
        begun_with = plan.identity if store is not None or reads_files(plan) else None
        points = 0
        for index, result in _chunk_results(task, self.executor, done, store):
            summary.merge(result.summary)
            if isinstance(result.rows, bytes) and store is not None:
                refused = result.summary.refused
                store.put(index, result.rows, refused=refused, reasons=result.reasons)
            elif isinstance(result.rows, PackedTable) and collector is not None:
                collector.add(unpack(result.rows))
            points += result.points
            if self.progress is not None:
                self.progress(points, plan.points)
        summary.settle()
        seconds = time.perf_counter() - clock
        faults = _faults_of_changed_inputs(plan, begun_with)
        if summary.refused == plan.points:
            faults += [Fault(text) for text in summary.reasons or ["no point can be predicted"]]
        if faults:
            if store is not None:
                store.discard()
            raise InputError(faults)
        if store is None:
            return SweepRunResult(summary, collector.table() if collector else None, seconds)
        store.finish(
            len(plan.chunks),
            {
                **self.manifest(),
                "started": started.isoformat(),
                "finished": datetime.now(UTC).isoformat(),
                "seconds": seconds,
                "points": plan.points,
                "rows": summary.rows,
                "refused": summary.refused,
                "resumed_chunks": len(done),
                "recomputed_chunks": len(store.damaged),
            },
        )
        # Read while the lock excludes other writers.
        table = store.table() if keep else None
        return SweepRunResult(summary, table, seconds, store.manifest_path, len(store.damaged))

    def manifest(self) -> dict[str, Any]:
        """Return the question and its inputs, for the file beside the rows and for --resume."""
        plan, executor = self.plan, self.executor
        return {
            "perfmodel": __version__,
            "python": platform.python_version(),
            "argv": list(self.argv),
            **plan.identity,
            "columns": {name: unit_of(name, dim) for name, dim in plan.columns.items()},
            "where": str(self.where) if self.where is not None else None,
            "executor": f"{type(executor).__name__.lower()}:{executor.workers}",
            "fingerprint": plan.fingerprint,
            "notes": list(plan.notes),
        }


def _faults_of_changed_inputs(plan: SweepPlan, begun_with: dict[str, Any] | None) -> list[Fault]:
    """Return a fault if input files changed during the run, which would mix their versions."""
    if begun_with is None:
        return []
    changed = differing(begun_with, identity(plan))
    if not changed:
        return []
    return [
        Fault(
            f"what the sweep reads has changed while it ran: {'; '.join(changed)}",
            expected="files that stay as they are until it ends",
        )
    ]


def _chunk_results(
    task: ChunkTask, executor: Executor, done: set[int], store: Store | None
) -> Iterator[tuple[int, ChunkResult]]:
    """Yield every chunk with its result, computed or read back."""
    chunks = range(len(task.plan.chunks))
    computed = iter(executor.map(task, [index for index in chunks if index not in done]))
    for index in chunks:
        if index in done and store is not None:
            yield index, task.read_back(index, store.read(index), store.refused(index))
        else:
            yield index, next(computed)


def _empty_column(dimension: str) -> Any:
    """Return a column without rows, of the dtype of a dimension."""
    return np.empty(0, dtype=dtype_of(dimension))


class _Collector:
    """Rows in memory, written in place if their number is known in advance."""

    def __init__(self, plan: SweepPlan, all_rows: bool) -> None:
        self._plan = plan
        self._parts: list[Table] | None = None if all_rows else []
        self._columns: dict[str, Any] = {}
        if all_rows:
            self._columns = {
                name: np.empty(plan.points, dtype=_empty_column(dimension).dtype)
                for name, dimension in plan.columns.items()
            }
        self._at = 0

    def add(self, table: Table) -> None:
        if self._parts is not None:
            self._parts.append(table)
            return
        if REASON in table and REASON not in self._columns:
            self._columns[REASON] = np.full(self._plan.points, "", dtype=object)
        for name, column in self._columns.items():
            if name in table:
                column[self._at : self._at + len(table)] = table[name]
        self._at += len(table)

    def table(self) -> Table:
        plan = self._plan
        if self._parts is None:
            return Table(self._columns, plan.columns, plan.axis_columns)
        like = Table({n: _empty_column(d) for n, d in plan.columns.items()}, plan.columns)
        joined = Table.concat([like, *self._parts])
        return Table(dict(joined), plan.columns, plan.axis_columns)


def _plain_row(summary: Summary) -> Any:
    """Return the best row of a summary as JSON-ready values."""
    if summary.best is None:
        return None
    return json.loads(Table({k: [v] for k, v in summary.best.items()}).to_json())["rows"][0]


def outcome_to_dict(outcome: SweepRunResult, plan: SweepPlan, rows: Table | None) -> dict[str, Any]:
    """Return the outcome of a run as JSON-ready values."""
    summary = outcome.summary
    bounds = summary.bounds
    return {
        "points": summary.points,
        "kept": summary.rows,
        "feasible": summary.feasible,
        "seconds": outcome.seconds,
        "columns": {name: unit_of(name, dim) for name, dim in plan.columns.items()},
        "best": _plain_row(summary),
        "best_per": summary.best_per.to_records() if summary.best_per is not None else None,
        "refused": summary.refused,
        "reasons": [
            {"reason": text, "points": why.points, "devices": list(why.devices)}
            for text, why in summary.reasons.items()
        ],
        "without_number": {",".join(n): why.points for n, why in summary.unnumbered.items()},
        "pareto": summary.front.to_records() if summary.front is not None else None,
        "bounds": None
        if bounds is None or not bounds.rows
        else {
            "rows": bounds.rows,
            "best": _plain_row(bounds),
            "pareto": bounds.front.to_records() if bounds.front is not None else None,
        },
        "rows": rows.to_records() if rows is not None else None,
        "notes": [*plan.notes, *period_notes(summary)],
    }
