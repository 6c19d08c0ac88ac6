"""The number of a prediction that answers what was measured."""

from __future__ import annotations

from typing import Any, cast

from perfmodel.ask import Prediction, Served, largest


def metric_of(answer: Prediction | Served, name: str) -> Any:
    """Return a number, or an array over points; ``None`` where the prediction has none.

    Parameters
    ----------
    name
        Attribute of the answer; ``resource NAME`` for what it takes of a resource of the engine,
        ``largest COLUMN`` for the largest number of a column of its table.
    """
    of, _, what = name.rpartition(" ")
    if not of:
        value = getattr(answer, name)
        # Bytes by memory: main memory is the last.
        return (
            list(cast("dict[str, Any]", value).values())[-1] if isinstance(value, dict) else value
        )
    assert isinstance(answer, Prediction)
    if of == "resource":
        return answer.resources[what]["used"] if what in answer.resources else None
    return largest(answer, what)
