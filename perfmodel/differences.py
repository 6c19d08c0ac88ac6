"""In which facts two machines differ."""

from __future__ import annotations

import numpy as np

from perfmodel.hardware.machine import Machine
from perfmodel.table import Table
from perfmodel.units import show


def show_fact(path: str, value: float, dimension: str) -> str:
    """A fact as people write it: floating-point rates in FLOP/s, integer ones in OP/s."""
    floating = path.rpartition(".")[2].startswith(("fp", "bf", "tf", "mx", "nv"))
    return show(value, dimension, unit="FLOP/s" if dimension == "compute" and floating else "")


def role_path(machine: Machine, path: str) -> str:
    """A fact's path with the machine's engine and main memory by role."""
    engine, memory = f"engines.{machine.engine}.", f"memories.{machine.main_memory}."
    if path.startswith(engine):
        return "engines.main." + path.removeprefix(engine)
    if path.startswith(memory):
        return "memories.main." + path.removeprefix(memory)
    return path


def fact_differences(a: Machine, b: Machine) -> Table:
    """Facts that differ, or that only one of two machines has.

    Parameters
    ----------
    a, b : Machine
        Unvaried by arrays. Their engines and main memories are matched by role, everything else
        by name.

    Returns
    -------
    Table
        ``fact``, ``a`` and ``b`` as texts, ``ratio`` (b over a; NaN where one is missing).
    """
    left, right = _by_role(a), _by_role(b)
    rows: list[tuple[str, str, str, float]] = []
    for path in dict.fromkeys((*left, *right)):
        first, second = left.get(path), right.get(path)
        if first is not None and second is not None and first[0] == second[0]:
            continue
        if (first is None and second is not None and second[2]) or (
            second is None and first is not None and first[2]
        ):
            continue  # a default that nobody stated, of an entry that the other lacks
        ratio = float("nan")
        if first is not None and second is not None and first[0]:
            ratio = second[0] / first[0]
        texts = ["" if one is None else show_fact(path, *one[:2]) for one in (first, second)]
        rows.append((path, *texts, ratio))  # pyright: ignore[reportArgumentType]
    paths, firsts, seconds, ratios = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Table(
        {
            "fact": np.array(paths, dtype=object),
            "a": np.array(firsts, dtype=object),
            "b": np.array(seconds, dtype=object),
            "ratio": np.array(ratios, dtype=float),
        }
    )


def _by_role(machine: Machine) -> dict[str, tuple[float, str, bool]]:
    """Path by role -> value, dimension, whether it is a default that nobody stated."""
    origins = machine.provenance
    return {
        role_path(machine, path): (
            float(value),
            machine.dimension(path),
            origins[path].writer == "default",
        )
        for path, value in machine.facts.items()
    }
