"""Limits of varied facts: the range that the field of a spec declares, and orders of facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import numpy as np
from pydantic.fields import FieldInfo

from perfmodel import units
from perfmodel.arrays import Array
from perfmodel.errors import Fault
from perfmodel.hardware.quantity import Of

#: Ratio of a varied fact to the stated one beyond which the result carries a remark.
FAR: Final = 100.0
#: Pairs of facts with first <= second, as `structure` checks them in spec files. Reserved memory
#: above the capacity and idle power above the sustained one are valid inputs: nothing fits or runs.
PAIRS: Final = (("power.ambient", "power.limit"), ("power.ambient", "power.chip_limit"))


class Span(NamedTuple):
    """Range of a fact.

    Attributes
    ----------
    low, high : float
        Bounds in SI units; a tiny `low` means that zero is excluded.
    integral : bool
        Whether only integers are allowed.
    """

    low: float
    high: float
    integral: bool


def limits_of_plain(info: FieldInfo, value: float) -> Of:
    """Return the limits of a plain number of a spec class: ``rows: int = Field(ge=1)``.

    Parameters
    ----------
    info
        The field; without bounds in its `Field` it must be above zero.
    value
        Value in the spec: an `int` makes the fact integral.
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
    """Return the fault of a number or an array and the expected range; ``""`` twice if valid.

    Tracers are not checked, as they have no values.
    """
    if isinstance(value, float):
        return limits.flaw(value)
    if not isinstance(value, np.ndarray) or not value.size:
        return "", ""
    for one in _extremes(cast("Array", value), limits.integral):
        flaw = limits.flaw(one)
        if flaw[0]:
            return flaw
    return "", ""


def far_from(value: Any, stated: float) -> float | None:
    """Return the number, of a number or an array, that differs most from the stated one.

    ``None`` if all are within a factor `FAR` of it, and for tracers. Zero is the same in any unit,
    and no negative number is a factor of the stated one.
    """
    if not isinstance(value, float | np.ndarray):
        return None
    numbers: Array = np.asarray(cast("Any", value), dtype=np.float64)
    numbers = numbers[numbers > 0.0]
    if not numbers.size:
        return None
    low, high = float(numbers.min()), float(numbers.max())
    far = low if low * high < stated * stated else high
    return far if far * FAR < stated or far > stated * FAR else None


def _extremes(array: Array, integral: bool) -> Iterator[float]:
    """Yield the elements that violate a limit if any element of the array does."""
    yield float(np.min(array))  # NaN where there is one
    yield float(np.max(array))
    tiny = array[(array > 0) & (array < units.LEAST)]
    yield from tiny.reshape(-1)[:1].tolist()
    if integral:
        yield from array[array != np.floor(array)].reshape(-1)[:1].tolist()


def pairs_of(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of facts with first <= second: `PAIRS` and the ramps among `paths`."""
    stems = [p.rpartition("_")[0] for p in paths if p.endswith((".ramp_start", ".ramp_end"))]
    return [*PAIRS, *((f"{stem}_start", f"{stem}_end") for stem in dict.fromkeys(stems))]


def pair_faults(
    values: Mapping[str, Any], changes: Mapping[str, Any], limits: Mapping[str, Of]
) -> Iterator[Fault]:
    """Yield the faults of varied facts that violate an order with other facts.

    Parameters
    ----------
    values
        All facts, with the changes applied.
    changes
        Varied facts, by path.
    limits
        Limits of the facts, by path.
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
            continue  # incompatible shapes are reported where the facts are used
        wrong = np.flatnonzero(below > above)
        if wrong.size:
            path, dimension = (low if low in changes else high), limits[low].dimension
            least, most = (units.show(float(a.flat[wrong[0]]), dimension) for a in (below, above))
            if path == low:
                yield Fault(f"{least} is above {high}", low, expected=f"at most {most}")
            else:
                yield Fault(f"{most} is below {low}", high, expected=f"at least {least}")
