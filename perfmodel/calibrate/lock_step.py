"""Several fits in lock step, so that their pending evaluations share one batched call.

A prediction of many points costs little more than one of a single point. Each fit runs in a thread
and waits until all have requested points; all are then answered by one evaluation. The result of a
fit does not depend on the others. Cross-validation (`perfmodel.calibrate.fit`) runs the fits of all
groups this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Matrix: TypeAlias = npt.NDArray[np.float64]
#: Points of constants, shape ``(points, constants)`` -> predictions, shape ``(points, rows)``.
EvaluatePoints: TypeAlias = Callable[[Matrix], Matrix]


@runtime_checkable
class ManyPoints(Protocol):
    """A forward function that evaluates the rows for many values of its constants at once."""

    def __call__(self, constants: Mapping[str, float]) -> Matrix:
        """Return predictions of all rows, shape ``(rows,)``."""
        ...

    def points(self, constants: Mapping[str, Matrix]) -> Matrix:
        """Return predictions under constants of shape ``(points,)``: ``(points, rows)``."""
        ...


class _FitThread:
    """A fit in its own thread, with the queue of answers that it waits for."""

    def __init__(
        self, index: int, fit: Callable[[EvaluatePoints], Any], requests: SimpleQueue[Any]
    ) -> None:
        self.index = index
        self.answers: SimpleQueue[Matrix | BaseException] = SimpleQueue()
        self._fit, self._requests = fit, requests
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the fit, and report its end."""
        try:
            self.result = self._fit(self._evaluate)
        except BaseException as error:
            self.error = error
        self._requests.put((self, None))

    def _evaluate(self, points: Matrix) -> Matrix:
        """Request an evaluation, and wait for its result."""
        self._requests.put((self, points))
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def run_in_lock_step(
    evaluate: EvaluatePoints, fits: Sequence[Callable[[EvaluatePoints], T]]
) -> list[T]:
    """Run fits that evaluate points, all in lock step.

    Parameters
    ----------
    evaluate
        Called only in this thread, with the points of all running fits.
    fits
        Functions of one fit each, called with a function like `evaluate`.

    Returns
    -------
    list
        Results of the fits. If one raises, the others finish first, then the first error is raised.
    """
    requests: SimpleQueue[tuple[_FitThread, Matrix | None]] = SimpleQueue()
    workers = [_FitThread(i, fit, requests) for i, fit in enumerate(fits)]
    for worker in workers:
        Thread(target=worker.run, daemon=True).start()
    running = len(workers)
    pending: list[tuple[_FitThread, Matrix]] = []
    while running:
        worker, points = requests.get()
        if points is None:
            running -= 1
        else:
            pending.append((worker, points))
        if pending and len(pending) == running:
            # In the order of the fits, not of thread arrival: results are reproducible.
            _answer_all(evaluate, sorted(pending, key=lambda one: one[0].index))
            pending = []
    for worker in workers:
        if worker.error is not None:
            raise worker.error
    return [worker.result for worker in workers]


def _answer_all(evaluate: EvaluatePoints, pending: Sequence[tuple[_FitThread, Matrix]]) -> None:
    """Evaluate the points of all waiting fits at once, and hand each fit its part."""
    try:
        values = evaluate(np.concatenate([points for _, points in pending]))
    except BaseException as error:
        for worker, _ in pending:
            worker.answers.put(error)
        return
    ends = np.cumsum([len(points) for _, points in pending])
    for (worker, _), part in zip(pending, np.split(values, ends[:-1]), strict=True):
        worker.answers.put(part)
