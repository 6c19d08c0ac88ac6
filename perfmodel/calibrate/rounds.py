"""Fits side by side: what all of them ask for next is evaluated in one call.

A prediction of many points costs little more than one of a single point, so fits that leave out a
group each are run in step with one another: each waits until all have asked, and all are answered
together. What a fit computes does not depend on the others.
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
    """A forward function that can predict the rows under many values of its constants at once."""

    def __call__(self, constants: Mapping[str, float]) -> Matrix:
        """Return predictions of all rows, shape ``(rows,)``."""
        ...

    def points(self, constants: Mapping[str, Matrix]) -> Matrix:
        """Return predictions under constants of shape ``(points,)``: ``(points, rows)``."""
        ...


class _Waiting:
    """A fit in a thread of its own, and the answers that it waits for."""

    def __init__(
        self, place: int, fit: Callable[[EvaluatePoints], Any], asked: SimpleQueue[Any]
    ) -> None:
        self.place = place
        self.answers: SimpleQueue[Matrix | BaseException] = SimpleQueue()
        self._fit, self._asked = fit, asked
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the fit, and report its end."""
        try:
            self.result = self._fit(self._evaluate)
        except BaseException as error:
            self.error = error
        self._asked.put((self, None))

    def _evaluate(self, points: Matrix) -> Matrix:
        self._asked.put((self, points))
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def side_by_side(
    evaluate: EvaluatePoints, fits: Sequence[Callable[[EvaluatePoints], T]]
) -> list[T]:
    """Run fits that evaluate points, all of them in step.

    Parameters
    ----------
    evaluate
        Called in this thread alone, with the points of all fits that are still at work.
    fits
        Each is called with a function like `evaluate`.

    Returns
    -------
    list
        What the fits return. Where one raises, the others end first, and the first error is raised.
    """
    asked: SimpleQueue[tuple[_Waiting, Matrix | None]] = SimpleQueue()
    workers = [_Waiting(i, fit, asked) for i, fit in enumerate(fits)]
    for worker in workers:
        Thread(target=worker.run, daemon=True).start()
    at_work = len(workers)
    pending: list[tuple[_Waiting, Matrix]] = []
    while at_work:
        worker, points = asked.get()
        if points is None:
            at_work -= 1
        else:
            pending.append((worker, points))
        if pending and len(pending) == at_work:
            # In the order of the fits, whichever thread came first: the same numbers every time.
            _answer(evaluate, sorted(pending, key=lambda one: one[0].place))
            pending = []
    for worker in workers:
        if worker.error is not None:
            raise worker.error
    return [worker.result for worker in workers]


def _answer(evaluate: EvaluatePoints, pending: Sequence[tuple[_Waiting, Matrix]]) -> None:
    try:
        values = evaluate(np.concatenate([points for _, points in pending]))
    except BaseException as error:
        for worker, _ in pending:
            worker.answers.put(error)
        return
    ends = np.cumsum([len(points) for _, points in pending])
    for (worker, _), part in zip(pending, np.split(values, ends[:-1]), strict=True):
        worker.answers.put(part)
