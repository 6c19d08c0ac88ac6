"""The bottleneck at every point of a prediction with arrays.

The time of each kernel counts for the largest of its parts (arithmetic, a memory, an overhead); the
bottleneck of a point is the part with the largest sum over kernels. `perfmodel.sweep.evaluate`
calls this for the column ``bottleneck``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction import Prediction
from perfmodel.workload.operator_table import OperatorTable


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
    seconds = None
    if prediction.evaluated is None:
        seconds = prediction.job.replayed_sums(seconds_by_part)
    if seconds is None and prediction.all_rows is None:
        raise ValueError(
            "the prediction has more points than one chunk: its kernels are not available"
        )
    if seconds is None:
        table, terms = prediction.opened
        seconds = seconds_by_part(table, terms, prediction.setting, {})
    points = int(np.prod(prediction.shape))
    shares = np.stack([np.broadcast_to(each, (points,)) for each in seconds.values()])
    names = np.array([*seconds], dtype=object)
    return names[shares.argmax(axis=0)].reshape(prediction.shape)


def seconds_by_part(
    table: OperatorTable, terms: Terms, setting: Setting, _: Mapping[str, Value]
) -> dict[str, Value]:
    """Return, for each part, the seconds of the kernels in which it is the largest."""
    xp = setting.xp
    first, *others = terms.compute
    arithmetic = largest_term = xp.asarray(terms.compute[first])
    bound: Value = xp.zeros((1, 1))
    for i, name in enumerate(others, start=1):
        term = xp.asarray(terms.compute[name])
        bound = xp.where(term > largest_term, i, bound)
        largest_term = xp.maximum(largest_term, term)
        arithmetic = arithmetic + term
    largest_part = arithmetic
    for i, term in enumerate(
        (*terms.memory.values(), *terms.overhead.values()), len(terms.compute)
    ):
        bound = xp.where(term > largest_part, i, bound)
        largest_part = xp.maximum(largest_part, term)
    seconds = xp.asarray(table.count) * xp.asarray(terms.row_s)
    names = (*terms.compute, *terms.memory, *terms.overhead)
    return {
        name: xp.sum(xp.where(bound == i, seconds, 0.0), axis=0) for i, name in enumerate(names)
    }
