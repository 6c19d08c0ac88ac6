"""Where chunks are computed: here, in other processes, or on a cluster."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from perfmodel.errors import input_error, nearest
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.packed import PackedTable, pack, unpack
from perfmodel.sweep.plan import SweepPlan
from perfmodel.table import Table

_MOST = 256
_PORTS = 65_535


class Executor(Protocol):
    """Computes chunks of a plan."""

    @property
    def workers(self) -> int:
        """How many chunks are computed at the same time."""
        ...

    def tables(self, plan: SweepPlan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order."""
        ...


class Serial:
    """One chunk after another, in this process."""

    workers = 1

    def tables(self, plan: SweepPlan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order."""
        for index in chunks:
            yield evaluate(plan, plan.chunks[index])


class Processes:
    """Several processes, each of which holds the plan.

    Parameters
    ----------
    workers : int

    Notes
    -----
    Processes are spawned, so a script that uses this must guard its own start with
    ``if __name__ == "__main__":``.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def tables(self, plan: SweepPlan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order."""
        from collections import deque
        from concurrent.futures import Future, ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        pool = ProcessPoolExecutor(
            min(self.workers, max(1, len(chunks))),
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(plan,),
        )
        waiting: deque[Future[PackedTable]] = deque()
        todo = iter(chunks)
        try:
            # A bounded window: results wait here no faster than they are taken.
            for index in todo:
                waiting.append(pool.submit(_chunk, index))
                if len(waiting) > 2 * self.workers:
                    yield unpack(waiting.popleft().result())
            while waiting:
                yield unpack(waiting.popleft().result())
        except BrokenProcessPool as error:
            raise input_error(
                "a worker process ended before its time (killed, or out of memory)",
                file="--executor",
                expected="fewer processes; --resume goes on",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_plan: SweepPlan | None = None


def _start(plan: SweepPlan) -> None:
    global _plan
    threading.Thread(target=_outlive_nobody, name="parent", daemon=True).start()
    _plan = plan
    with suppress(ValueError, AttributeError):
        # Ctrl-C goes to the whole group: the parent says so, once.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outlive_nobody() -> None:
    """End this process as soon as its parent has ended, however it did.

    The parent alone holds the other end of a pipe that this waits for. The pool itself would have
    its workers wait for ever: each of them holds both ends of the queue that they read.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chunk(index: int) -> PackedTable:
    assert _plan is not None
    return pack(evaluate(_plan, _plan.chunks[index]))


def executor_named(text: str | Executor) -> Executor:
    """Return the executor of a name, or the object that is one.

    Names are ``serial``, ``process:N`` and ``dask://host:port``.

    Raises
    ------
    InputError
        No such executor; a cluster that does not answer.
    """
    if not isinstance(text, str):
        return text
    text = text.strip()
    if text == "serial":
        return Serial()
    if match := re.fullmatch(r"process(?::(\d{1,4}))?", text):
        count: Any = match[1] or os.cpu_count() or 1
        if 1 <= int(count) <= _MOST:
            return Processes(int(count))
    if match := re.fullmatch(r"dask://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", text):
        from perfmodel.sweep.cluster import Dask

        if 1 <= int(match[2]) <= _PORTS:
            return Dask(f"{match[1]}:{match[2]}")
    raise input_error(
        f"there is no executor '{text}'",
        file="--executor",
        expected=f"serial, process:N with N from 1 to {_MOST}, or dask://HOST:PORT",
        suggestion=nearest(text, ["serial", "process:2", "dask://127.0.0.1:8786"]),
    )
