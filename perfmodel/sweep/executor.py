"""Where chunks are computed: here, or in other processes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.plan import Plan
from perfmodel.table import Table

__all__ = ["Executor", "Processes", "Serial", "executor_named"]

_MOST = 256


class Executor(Protocol):
    """Computes chunks of a plan."""

    @property
    def workers(self) -> int:
        """How many chunks are computed at the same time."""
        ...

    def tables(self, plan: Plan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order."""
        ...


class Serial:
    """One chunk after another, in this process."""

    workers = 1

    def tables(self, plan: Plan, chunks: Sequence[int]) -> Iterator[Table]:
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

    def tables(self, plan: Plan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order."""
        from collections import deque
        from concurrent.futures import Future, ProcessPoolExecutor
        from multiprocessing import get_context

        pool = ProcessPoolExecutor(
            min(self.workers, max(1, len(chunks))), mp_context=get_context("spawn"),
            initializer=_start, initargs=(plan,),
        )  # fmt: skip
        waiting: deque[Future[Table]] = deque()
        todo = iter(chunks)
        try:
            # A bounded window: results wait here no faster than they are taken.
            for index in todo:
                waiting.append(pool.submit(_chunk, index))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_plan: Plan | None = None


def _start(plan: Plan) -> None:
    global _plan
    _plan = plan
    with suppress(ValueError, AttributeError):
        # Ctrl-C goes to the whole group: the parent says so, once.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _chunk(index: int) -> Table:
    assert _plan is not None
    return evaluate(_plan, _plan.chunks[index])


def executor_named(text: str | Executor) -> Executor:
    """Return an executor: ``serial``, ``process:N``, or an object that is one.

    Raises
    ------
    InputError
    """
    if not isinstance(text, str):
        return text
    if text == "serial":
        return Serial()
    match = re.fullmatch(r"process(?::(\d{1,4}))?", text.strip())
    if match is None or (match[1] is not None and not 1 <= int(match[1]) <= _MOST):
        known: list[str] = ["serial", "process:2"]
        meant = nearest(text, known)
        raise InputError(
            Fault(f"there is no executor '{text}'", file="--executor",
                  expected=f"serial, or process:N with N from 1 to {_MOST}", suggestion=meant)
        )  # fmt: skip
    import os

    count: Any = match[1] or os.cpu_count() or 1
    return Processes(int(count))
