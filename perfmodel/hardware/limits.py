"""Limits of facts: what a spec's fields allow holds for varied numbers too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import numpy as np
from pydantic.fields import FieldInfo

from perfmodel import units
from perfmodel.arrays import Array
from perfmodel.errors import Fault
from perfmodel.hardware.quantity import Of

#: Times that a fact which is set differs from what its spec states, at which the answer says so.
FAR: Final = 100.0
#: Pairs of facts of which the first is at most the second, as `structure` has it of spec files.
#: (Memory that is reserved beyond the capacity, or idle power beyond the sustained one, is an
#: answer, not a slip: nothing fits, nothing runs.)
PAIRS: Final = (("power.ambient", "power.limit"),)


class Span(NamedTuple):
    """What a fact may be.

    Attributes
    ----------
    low, high : float
        SI; zero may be out of reach where `low` is tiny.
    whole : bool
        Whether it is counted in whole numbers.
    """

    low: float
    high: float
    whole: bool


def limits_of_plain(info: FieldInfo, value: float) -> Of:
    """Limits of a plain number of a spec class: ``rows: int = Field(ge=1)``.

    Parameters
    ----------
    info
        The field; bounds of its `Field` are kept, else it is above zero.
    value
        What the spec says: an `int` stays whole.
    """
    floor, ceiling = 0.0, 0.0
    positive = True
    for bound in info.metadata:
        least = cast("float | None", getattr(bound, "ge", None))
        if least is not None:
            floor, positive = max(0.0, float(least)), least > 0
        most = cast("float | None", getattr(bound, "le", None))
        ceiling = ceiling if most is None else float(most)
    return Of("count", positive, ceiling, floor, isinstance(value, int))


def range_flaw(value: Any, limits: Of) -> tuple[str, str]:
    """What is wrong with a number or an array, and what would be right; ``""`` where nothing is.

    Tracers have no numbers to look at.
    """
    if isinstance(value, float):
        return limits.flaw(value)
    if not isinstance(value, np.ndarray) or not value.size:
        return "", ""
    for one in _extremes(cast("Array", value), limits.whole):
        found = limits.flaw(one)
        if found[0]:
            return found
    return "", ""


def far_from(value: Any, stated: float) -> float | None:
    """Return the number, of a number or an array, that is furthest from what is stated.

    ``None`` where all are within a factor `FAR` of it, and for tracers.
    """
    if not isinstance(value, float | np.ndarray):
        return None
    numbers: Array = np.asarray(cast("Any", value), dtype=np.float64)
    if not numbers.size:
        return None
    low, high = float(numbers.min()), float(numbers.max())
    far = low if low * high < stated * stated else high
    return far if far * FAR < stated or far > stated * FAR else None


def _extremes(array: Array, whole: bool) -> Iterator[float]:
    """Numbers of an array that break a limit if any of it does."""
    yield float(np.min(array))  # NaN where there is one
    yield float(np.max(array))
    tiny = array[(array > 0) & (array < units.LEAST)]
    yield from tiny.reshape(-1)[:1].tolist()
    if whole:
        yield from array[array != np.floor(array)].reshape(-1)[:1].tolist()


def pairs_of(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of facts of which the first is at most the second: `PAIRS`, ramps of `paths`."""
    stems = [p.rpartition("_")[0] for p in paths if p.endswith((".ramp_start", ".ramp_end"))]
    return [*PAIRS, *((f"{stem}_start", f"{stem}_end") for stem in dict.fromkeys(stems))]


def pair_faults(
    values: Mapping[str, Any], changes: Mapping[str, Any], limits: Mapping[str, Of]
) -> Iterator[Fault]:
    """Yield the faults of varied facts that others bound.

    Parameters
    ----------
    values
        Every fact, the changes in.
    changes
        What was varied.
    limits
        Of the facts, by path.
    """
    for low, high in pairs_of(changes):
        least, most = values.get(low), values.get(high)
        if not (low in changes or high in changes) or least is None or most is None:
            continue
        if not all(isinstance(v, float | np.ndarray) for v in (least, most)):
            continue  # tracers
        if isinstance(least, float) and isinstance(most, float) and least <= most:
            continue
        try:
            below, above = np.broadcast_arrays(least, most)
        except ValueError:
            continue  # shapes that nothing can be computed of: told where that is tried
        wrong = np.flatnonzero(below > above)
        if wrong.size:
            path, dimension = (low if low in changes else high), limits[low].dimension
            least, most = (units.show(float(a.flat[wrong[0]]), dimension) for a in (below, above))
            if path == low:
                yield Fault(f"{least} is above {high}", low, expected=f"at most {most}")
            else:
                yield Fault(f"{most} is below {low}", high, expected=f"at least {least}")
