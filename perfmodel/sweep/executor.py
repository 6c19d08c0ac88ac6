"""Executors compute the chunks of a sweep: in this process, in several processes, or on a cluster.

An executor maps a task over chunk indices and yields the results in order. `executor_named` returns
the one that ``--executor`` names.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from perfmodel.errors import input_error, nearest
from perfmodel.sweep.chunk import ChunkResult, ChunkTask

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_MOST = 256
#: Chunks per worker that are pending or computed but not yet yielded.
_WINDOW = 12
_PORTS = 65_535
#: Libraries with threads of their own.
_THREADED = {"jax", "tensorflow", "torch"}


class Executor(Protocol):
    """Interface of an object that computes chunks of a plan."""

    @property
    def workers(self) -> int:
        """Number of chunks computed concurrently."""
        ...

    def map(self, task: ChunkTask, chunks: Sequence[int]) -> Iterator[ChunkResult]:
        """Yield ``task(chunk)`` for the chunks, in order."""
        ...


class Serial:
    """Sequential execution in this process."""

    workers = 1

    def map(self, task: ChunkTask, chunks: Sequence[int]) -> Iterator[ChunkResult]:
        """Yield ``task(chunk)`` for the chunks, in order."""
        return map(task, chunks)


class Processes:
    """Several processes including this one, each with a copy of the plan.

    Parameters
    ----------
    workers : int

    Notes
    -----
    Where processes are spawned (`_start_method`), a script that uses this must guard its entry
    with ``if __name__ == "__main__":``. While the next result is still being computed elsewhere,
    this process computes a chunk itself, so that two workers need only one additional process.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, task: ChunkTask, chunks: Sequence[int]) -> Iterator[ChunkResult]:
        """Yield ``task(chunk)`` for the chunks, in order."""
        others = min(self.workers, len(chunks)) - 1
        if others < 1:
            yield from map(task, chunks)
            return
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        pool = ProcessPoolExecutor(
            others, mp_context=get_context(_start_method()), initializer=_start, initargs=(task,)
        )
        try:
            with warnings.catch_warnings():
                # Python warns of threads at a fork; the libraries of BLAS prepare theirs for it.
                warnings.simplefilter("ignore", DeprecationWarning)
                pool.submit(os.getpid)  # starts all workers
            yield from _shared(pool, others, task, iter(chunks))
        except BrokenProcessPool as error:
            raise input_error(
                "a worker process ended before its time (killed, or out of memory)",
                file="--executor",
                expected="fewer processes; --resume goes on",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_method() -> str:
    """Return how worker processes are started: forked where that is safe, else spawned.

    A forked process begins with everything that this one has imported and compiled. Locks that
    another thread holds would stay locked in it forever.
    """
    lone = threading.active_count() == 1 and not _THREADED & sys.modules.keys()
    return "fork" if sys.platform == "linux" and lone else "spawn"


def _shared(
    pool: ProcessPoolExecutor, others: int, task: ChunkTask, chunks: Iterator[int]
) -> Iterator[ChunkResult]:
    """Yield results in order; while the next one is computed, this process computes another.

    The bounded window of pending chunks keeps the workers busy while this process uses a result,
    and results accumulate no faster than they are used.
    """
    from collections import deque

    due: deque[tuple[int, Future[ChunkResult]]] = deque()
    while True:
        for index in islice(chunks, _WINDOW * (others + 1) - len(due)):
            due.append((index, pool.submit(_chunk, index)))
        if not due:
            return
        own = None
        if not due[0][1].done():
            # What no worker has begun can still be withdrawn from them.
            own = next((at for at, (_, result) in enumerate(due) if result.cancel()), None)
        if own is None:
            yield due.popleft()[1].result()
        else:
            index = due[own][0]
            due[own] = index, Future()
            due[own][1].set_result(task(index))


_task: ChunkTask | None = None


def _start(task: ChunkTask) -> None:
    """Initialise a worker process with the task that it will compute."""
    global _task
    threading.Thread(target=_exit_with_parent, name="parent", daemon=True).start()
    _task = task
    with suppress(ValueError, AttributeError):
        # Ctrl-C reaches the whole process group: only the parent reports it.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _exit_with_parent() -> None:
    """Exit this process as soon as its parent has ended, for whatever reason.

    Only the parent holds the other end of the pipe that this waits for. The workers of the pool
    itself would wait forever: each holds both ends of the queue that it reads.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chunk(index: int) -> ChunkResult:
    """Compute a chunk in a worker process."""
    assert _task is not None
    return _task(index)


def executor_named(text: str | Executor) -> Executor:
    """Return the executor of a name, or the given executor object.

    Names are ``serial``, ``process:N`` and ``dask://host:port``.

    Raises
    ------
    InputError
        No such executor; a cluster that does not respond.
    """
    if not isinstance(text, str):
        if not callable(getattr(text, "map", None)):
            raise input_error(
                f"'{type(text).__name__}' computes no chunks",
                file="executor",
                expected="an object with `workers` and `map(task, chunks)`",
            )
        return text
    text = text.strip()
    if text == "serial":
        return Serial()
    if match := re.fullmatch(r"process(?::(\d{1,4}))?", text):
        count: Any = match[1] or os.cpu_count() or 1
        if 1 <= int(count) <= _MOST:
            return Processes(int(count))
    if match := re.fullmatch(r"dask://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", text):
        from perfmodel.sweep.dask_cluster import Dask

        if 1 <= int(match[2]) <= _PORTS:
            return Dask(f"{match[1]}:{match[2]}")
    raise input_error(
        f"there is no executor '{text}'",
        file="--executor",
        expected=f"serial, process:N with N from 1 to {_MOST}, or dask://HOST:PORT",
        suggestion=nearest(text, ["serial", "process:2", "dask://127.0.0.1:8786"]),
    )
