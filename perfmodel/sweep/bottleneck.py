"""What takes most of the latency, at every point of an array-valued prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.prediction import Prediction


def bottlenecks(prediction: Prediction) -> Any:
    """Return the name of what binds most of the latency.

    The same as `Prediction.bottleneck`: each kernel counts for the largest of its arithmetic (by
    its larger term), its memory levels and its overheads.

    Returns
    -------
    str or ndarray of str
        One a point, in the prediction's shape.
    """
    if not prediction.shape:
        return prediction.bottleneck
    if prediction._rows is None:  # pyright: ignore[reportPrivateUsage]
        raise ValueError("a prediction of at most one chunk of points expected")
    table, terms = prediction._opened  # pyright: ignore[reportPrivateUsage]
    points = int(np.prod(prediction.shape))
    names = [*terms.compute, *terms.memory, *terms.overhead]
    first, *others = terms.compute
    arithmetic: Any = np.asarray(terms.compute[first])
    largest: Any = arithmetic
    which: Any = np.zeros((1, 1), dtype=np.intp)
    for i, name in enumerate(others, start=1):
        part = np.asarray(terms.compute[name])
        which = np.where(part > largest, i, which)
        largest = np.maximum(largest, part)
        arithmetic = arithmetic + part
    best = arithmetic
    for i, part in enumerate(
        (*terms.memory.values(), *terms.overhead.values()), len(terms.compute)
    ):
        which = np.where(part > best, i, which)
        best = np.maximum(best, part)
    seconds = np.asarray(table.count) * np.asarray(terms.row_s)
    shares = np.stack(
        [
            np.broadcast_to((seconds * (which == i)).sum(axis=0), (points,))
            for i in range(len(names))
        ]
    )
    return np.array(names, dtype=object)[shares.argmax(axis=0)].reshape(prediction.shape)
