"""Cases of a grid: categories are looped over, numbers are batched.

Numbers are passed to `predict` as arrays. Categories (device, precision, runtime, phase, layers
...) require separate calls. A case is one choice of all categories with the numbers under it, and
`product_of` lists all cases of a grid; `perfmodel.sweep.resolve_cases` calls it for each workload
and device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.axes import Axis

#: Axes that advance together: name -> one number per step.
Numbers: TypeAlias = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class SweepCase:
    """One choice of all categories.

    Attributes
    ----------
    workload, device : int
        Indices into the plan's.
    categories : dict
        Category by axis name.
    groups : tuple of dict
        Batched numbers, one group per set of axes that advance together, slowest first.
    """

    workload: int
    device: int
    categories: dict[str, Any] = field(default_factory=dict[str, Any])
    groups: tuple[Numbers, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of steps of each group."""
        return tuple(len(next(iter(group.values()))) for group in self.groups)

    @property
    def points(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape, dtype=np.int64)) if self.groups else 1

    def steps(self, start: int, stop: int) -> tuple[npt.NDArray[np.intp], ...]:
        """Return the step on each group for a flat range of points, in C order of the groups."""
        return np.unravel_index(np.arange(start, stop), self.shape) if self.groups else ()

    def numbers(self, steps: Sequence[npt.NDArray[np.intp]]) -> Numbers:
        """Return the numbers at some steps."""
        return {
            name: values[at]
            for group, at in zip(self.groups, steps, strict=True)
            for name, values in group.items()
        }


def product_of(
    groups: Sequence[Sequence[Axis]], looped: Mapping[str, bool]
) -> Iterator[tuple[dict[str, Any], tuple[Numbers, ...]]]:
    """Yield every choice of categories with the numbers batched under it.

    Parameters
    ----------
    groups : sequence of sequence of Axis
        Axes that advance together.
    looped : mapping of str to bool
        Whether each axis is a category.

    Notes
    -----
    A group with both kinds is split by its distinct categories, each with its own steps in order.
    """
    options = [list(_split(group, looped)) for group in groups if group]
    for combination in product(*options):
        categories: dict[str, Any] = {}
        numbers: list[Numbers] = []
        for part, batch in combination:
            categories |= part
            if batch:
                numbers.append(batch)
        yield categories, tuple(numbers)


def _split(
    group: Sequence[Axis], looped: Mapping[str, bool]
) -> Iterator[tuple[dict[str, Any], Numbers]]:
    """Yield each choice of the categories of a group, with the numbers that go with it."""
    categories = [axis for axis in group if looped[axis.name]]
    numbers = [axis for axis in group if not looped[axis.name]]
    steps: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(group[0])):
        # Includes the type: True and 1 are different settings.
        key = tuple(f"{type(axis.values[i]).__name__} {axis.values[i]!r}" for axis in categories)
        steps.setdefault(key, []).append(i)
    for at in steps.values():
        choice = {axis.name: axis.values[at[0]] for axis in categories}
        if not numbers:
            # Without numbers a repeated choice is a duplicate point.
            yield choice, {}
            continue
        yield (
            choice,
            {
                axis.name: np.array([axis.values[i] for i in at], dtype=np.float64)
                for axis in numbers
            },
        )
