"""Groups of axes that advance together (``--zip``), and samples of axes by a Sobol sequence.

`perfmodel.sweep.plan` forms the grid of a sweep from them: the points are the product over the
groups, and a sample is one group of all axes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.axes import Axis, without_rounding_error
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.settings import empty_fault


def zip_groups(
    names: Sequence[str],
    zips: Iterable[Iterable[str] | str],
    lengths: Mapping[str, int],
    file: str = "--zip",
) -> list[tuple[str, ...]]:
    """Return the groups of axes that advance together; every other axis is a separate group.

    Parameters
    ----------
    names : sequence of str
        All axes, in order.
    zips : iterable
        Groups as sequences of names, or as comma-separated text.
    lengths : mapping of str to int
        Number of values of each axis; axes that could not be read may be missing.

    Raises
    ------
    InputError
        Unknown axes, axes in two groups, or axes of different lengths in a group.
    """
    faults: list[Fault] = []
    group_of: dict[str, int] = {}
    groups: list[tuple[str, ...]] = []
    for index, group in enumerate(zips):
        parts = group.split(",") if isinstance(group, str) else list(group)
        members = [part.strip() for part in parts if part.strip()]
        if len(members) < len(parts):
            faults.append(empty_fault(",".join(parts), parts, file))
        for name in members:
            if name not in names:
                faults.append(no_such(f"there is no axis '{name}'", name, names, file=file))
            elif name in group_of:
                faults.append(Fault(f"'{name}' is zipped twice", file=file))
            group_of[name] = index
        sizes = {name: lengths[name] for name in members if name in lengths}
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{name} {n}" for name, n in sizes.items())
            message = f"axes of different lengths: {text}"
            faults.append(Fault(message, file=file, expected="as many values of each"))
        groups.append(tuple(members))
    if faults:
        raise InputError(faults)
    axis_groups: list[tuple[str, ...]] = []
    for name in names:
        group = groups[group_of[name]] if name in group_of else (name,)
        if group not in axis_groups:
            axis_groups.append(group)
    return axis_groups


def sample(axes: Sequence[Axis], count: int, seed: int = 0) -> list[Axis]:
    """Return axes with `count` points of a scrambled Sobol sequence, to be zipped.

    Parameters
    ----------
    axes : sequence of Axis
        Axes to sample: listed values by index, continuous intervals by quantile.
    count : int
        Number of points, preferably a power of two.
    seed : int
        Seed of the Owen scrambling.
    """
    from perfmodel.catalog import need

    if not axes:
        return []
    sobol: Callable[..., Any] = need("scipy.stats.qmc").Sobol
    # SciPy 1.15 renamed the generator argument; the samples are the same.
    keyword = "rng" if "rng" in inspect.signature(sobol).parameters else "seed"
    generator = sobol(d=len(axes), scramble=True, **{keyword: np.random.default_rng(seed)})
    draws = generator.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    sampled: list[Axis] = []
    for axis, column in zip(axes, draws.T, strict=True):
        quantile = np.asarray(column, dtype=np.float64)
        if axis.interval is not None:
            values = tuple(without_rounding_error(v) for v in axis.interval.at(quantile).tolist())
        else:
            index = np.minimum((quantile * len(axis)).astype(int), len(axis) - 1)
            values = tuple(axis.values[i] for i in index.tolist())
        sampled.append(Axis(axis.name, values))
    return sampled
