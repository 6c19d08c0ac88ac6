"""The bottleneck at every point of a prediction with arrays.

The time of each kernel counts for the largest of its parts (arithmetic, a memory, an overhead); the
bottleneck of a point is the part with the largest sum over kernels. `perfmodel.sweep.evaluate`
calls this for the column ``bottleneck``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.prediction import Prediction


def bottlenecks(prediction: Prediction) -> Any:
    """Return, for each point, the bottleneck with the largest share of the latency.

    The same as `Prediction.bottleneck`: each kernel's time is attributed to its largest part:
    arithmetic (the sum of its compute terms, reported under the largest of them), one memory
    level, or one overhead.

    Returns
    -------
    str or ndarray of str
        One per point, in the prediction's shape.

    Raises
    ------
    ValueError
        The prediction has more points than one chunk.
    """
    if not prediction.shape:
        return prediction.bottleneck
    if prediction.evaluated is None:
        raise ValueError(
            "the prediction has more points than one chunk: its kernels are not available"
        )
    table, terms = prediction.opened
    points = int(np.prod(prediction.shape))
    names = [*terms.compute, *terms.memory, *terms.overhead]
    first, *others = terms.compute
    arithmetic: Any = np.asarray(terms.compute[first])
    largest_term: Any = arithmetic
    bound: Any = np.zeros((1, 1), dtype=np.intp)
    for i, name in enumerate(others, start=1):
        term = np.asarray(terms.compute[name])
        bound = np.where(term > largest_term, i, bound)
        largest_term = np.maximum(largest_term, term)
        arithmetic = arithmetic + term
    largest_part = arithmetic
    for i, term in enumerate(
        (*terms.memory.values(), *terms.overhead.values()), len(terms.compute)
    ):
        bound = np.where(term > largest_part, i, bound)
        largest_part = np.maximum(largest_part, term)
    seconds = np.asarray(table.count) * np.asarray(terms.row_s)
    shares = np.stack(
        [
            np.broadcast_to((seconds * (bound == i)).sum(axis=0), (points,))
            for i in range(len(names))
        ]
    )
    return np.array(names, dtype=object)[shares.argmax(axis=0)].reshape(prediction.shape)
