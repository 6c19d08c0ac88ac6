"""Faults of what a table is asked for by the names of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from perfmodel.columns import TEXT
from perfmodel.errors import Fault, nearest, one_of


def objective_faults(
    names: Iterable[str], dimensions: Mapping[str, str], option: str = ""
) -> list[Fault]:
    """Faults of names that are to be objectives: unknown columns and columns of texts."""
    faults: list[Fault] = []
    for name in names:
        if name not in dimensions:
            meant = nearest(name, dimensions)
            numbers = [n for n, dim in dimensions.items() if dim != TEXT]
            faults.append(
                Fault(
                    f"there is no column '{name}'",
                    file=option,
                    suggestion=meant,
                    expected="" if meant else one_of(numbers),
                )
            )
        elif dimensions[name] == TEXT:
            faults.append(
                Fault(f"column '{name}' holds texts", file=option, expected="a column of numbers")
            )
    return faults


def group_faults(
    names: Iterable[str], dimensions: Mapping[str, str], option: str = ""
) -> list[Fault]:
    """Faults of names whose values are to make groups: unknown columns."""
    return [
        Fault(
            f"there is no column '{name}'",
            file=option,
            suggestion=meant,
            expected="" if meant else one_of(dimensions),
        )
        for name in names
        if name not in dimensions
        for meant in (nearest(name, dimensions),)
    ]
