"""A cluster of two real workers: the same bytes, also when one is killed on the way."""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perfmodel.errors import InputError
from perfmodel.sweep import dask_cluster
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.executor import executor_named
from perfmodel.sweep.plan import SweepPlan, make_plan
from perfmodel.sweep.run import run_plan
from perfmodel.sweep.table_transfer import pack, unpack

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
DASK = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
WORKER = [sys.executable, "-m", "distributed.cli.dask_worker"]


class Cluster(NamedTuple):
    address: str
    workers: list["subprocess.Popen[str]"]


def started(command: list[str], pattern: str) -> "tuple[subprocess.Popen[str], re.Match[str]]":
    """Start a process and wait for what it says when it is up."""
    made = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert made.stderr is not None
    lines: list[str] = []
    for line in made.stderr:
        lines.append(line)
        if found := re.search(pattern, line):
            return made, found
    raise AssertionError("".join(lines))


@pytest.fixture
def two_workers(tmp_path: Path) -> Generator[Cluster]:
    scheduler, found = started(
        [*DASK, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"],
        r"Scheduler at:\s+tcp://(\S+)",
    )
    address = found[1]
    workers: list[subprocess.Popen[str]] = []
    try:
        for name in "ab":
            (tmp_path / name).mkdir()
            made, _ = started(
                [
                    *WORKER,
                    f"tcp://{address}",
                    "--no-nanny",
                    "--nthreads",
                    "1",
                    "--no-dashboard",
                    "--memory-limit",
                    "0",
                    "--local-directory",
                    str(tmp_path / name),
                ],
                r"Registered to",
            )
            workers.append(made)
        yield Cluster(address, workers)
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def refusal(text: str) -> str:
    """What is said of an executor; empty where it is taken."""
    try:
        made = executor_named(text)
    except InputError as error:
        return str(error)
    assert isinstance(made, dask_cluster.Dask)
    made.close()
    return ""


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> SweepPlan:
    monkeypatch.setattr("perfmodel.sweep.dask_cluster._BATCH", 1)
    return make_plan(
        "llama_3_8b,resnet18",
        "a100,raspberry_pi_5",
        {
            "batch": "1..64",
            "memories.main.bandwidth": "logspace(1e10, 1e12, 200)",
            "precision": "fp16,w8a8",
        },
        metrics=("latency_s", "energy_j", "feasible", "bottleneck"),
    )


@pytest.mark.slow
def test_losing_a_worker_changes_no_byte(
    plan: SweepPlan, two_workers: Cluster, tmp_path: Path
) -> None:
    alone, output = tmp_path / "alone.csv", tmp_path / "points.csv"
    run_plan(plan, output=alone)
    executor = executor_named(f"dask://{two_workers.address}")
    assert executor.workers == 2
    lost = 0

    def kill_one(done: int, _total: int) -> None:
        nonlocal lost
        if not lost and done > plan.points // 4:
            two_workers.workers[0].send_signal(signal.SIGKILL)
            lost = done

    run_plan(plan, output=output, executor=executor, progress=kill_one)
    assert 0 < lost < plan.points
    assert two_workers.workers[0].wait(60) == -signal.SIGKILL
    assert output.read_bytes() == alone.read_bytes()

    # A worker that makes something else of the plan is not believed; what it names is the cause.
    other = make_plan("resnet18", "a100", {"batch": [1, 2]})
    other.__dict__["identity"] = {"devices": "of another machine"}
    with pytest.raises(InputError, match="other contents of a device"):
        run_plan(other, executor=executor_named(f"dask://{two_workers.address}"))

    # Without any worker the sweep ends with a message, and goes on where there is one again.
    two_workers.workers[1].kill()
    two_workers.workers[1].wait()
    deadline = time.monotonic() + 60
    found = ""
    while not found and time.monotonic() < deadline:
        found = refusal(f"dask://{two_workers.address}")
    assert "has no workers" in found


def test_a_lost_cluster_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Future:
        def result(self, timeout: float) -> Any:
            raise TimeoutError

    class Client:
        status = "running"

        def nthreads(self) -> dict[str, int]:
            return {}

    made = object.__new__(dask_cluster.Dask)
    made.address, made._patience_s, made._client = "host:1", -1.0, Client()
    with pytest.raises(InputError, match="lost all its workers"):
        list(made._results(Future()))
    monkeypatch.setattr(Client, "status", "closed")
    with pytest.raises(InputError, match="has gone"):
        list(made._results(Future()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dask://", "no executor 'dask://'"),
        ("dask://host", "dask://HOST:PORT"),
        ("dask://host:0", "dask://HOST:PORT"),
        ("dask://host:99999", "dask://HOST:PORT"),
        ("dask://a b:1", "dask://HOST:PORT"),
        ("dusk://127.0.0.1:8786", "did you mean 'dask://127.0.0.1:8786'"),
        ("process:0", "process:N"),
        ("process:9999", "process:N"),
        ("dask://127.0.0.1:1", "no Dask scheduler answers at 127.0.0.1:1"),
    ],
)
def test_an_executor_that_cannot_be_is_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmodel.sweep.dask_cluster._CONNECT_S", 0.2)
    with pytest.raises(InputError) as caught:
        executor_named(text)
    (fault,) = caught.value.faults
    assert fault.file == "--executor"
    assert message in str(fault)


def test_what_is_the_same_in_all_rows_travels_once() -> None:
    plan = make_plan("resnet18", "a100", {"batch": "1..64"})
    table = evaluate(plan, plan.chunks[0])
    packed = pack(table)
    assert packed.columns["latency_s"].shape == (64,)
    sent = {name for name, values in packed.columns.items() if values.ndim == 0}
    assert unpack(packed) == table
    assert {"workload", "device", "runtime", "precision"} <= sent


@pytest.mark.slow
def test_jobs_through_the_same_door(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    here = runpy.run_path(str(ROOT / "examples" / "submitit_executor.py"), run_name="jobs")
    plan = make_plan(
        "llama_3_8b",
        "a100",
        {
            "batch": "1..64",
            "memories.main.bandwidth": "logspace(1e11, 1e12, 300)",
        },
        metrics=("latency_s", "feasible"),
    )
    assert len(plan.chunks) == 3
    run_plan(plan, output=tmp_path / "alone.csv")
    jobs = here["Jobs"]("local", tmp_path / "jobs", jobs=2, timeout_min=5)
    run_plan(plan, output=tmp_path / "points.csv", executor=jobs)
    assert (tmp_path / "points.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
