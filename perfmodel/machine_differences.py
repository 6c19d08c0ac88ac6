"""Table of the facts in which two machines differ, for `perfmodel.compare`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.hardware.machine import Machine
from perfmodel.table import Table
from perfmodel.units import show


def show_fact(path: str, value: float, dimension: str) -> str:
    """Return a fact as text with its unit: floating-point rates in FLOP/s, integer in OP/s."""
    floating = path.rpartition(".")[2].startswith(("fp", "bf", "tf", "mx", "nv"))
    return show(value, dimension, unit="FLOP/s" if dimension == "compute" and floating else "")


def role_path(machine: Machine, path: str) -> str:
    """Return the path of a fact with engine and main memory replaced by their roles."""
    engine, memory = f"engines.{machine.engine}.", f"memories.{machine.main_memory}."
    if path.startswith(engine):
        return "engines.main." + path.removeprefix(engine)
    if path.startswith(memory):
        return "memories.main." + path.removeprefix(memory)
    return path


def fact_differences(a: Machine, b: Machine) -> Table:
    """Return the facts that differ, or that only one of two machines has.

    Parameters
    ----------
    a, b : Machine
        Machines without array-valued facts. Engines and main memories are matched by role,
        everything else by name.

    Returns
    -------
    Table
        ``fact``, ``a`` and ``b`` as texts, ``ratio`` (b / a; NaN if either is missing). Facts that
        follow by a law from one that is varied are left out, since that one is listed.
    """
    left, right = _by_role(a), _by_role(b)
    rows: list[tuple[str, str, str, float]] = []
    for path in dict.fromkeys((*left, *right)):
        first, second = left.get(path), right.get(path)
        ratio = float("nan")
        if first is not None and second is not None:
            if first.value == second.value or first.follows or second.follows:
                continue
            ratio = second.value / first.value if first.value else ratio
        elif any(fact.is_default for fact in (first, second) if fact is not None):
            continue  # default value of an entry that the other machine lacks
        before, after = (
            "" if fact is None else show_fact(path, fact.value, fact.dimension)
            for fact in (first, second)
        )
        rows.append((path, before, after, ratio))
    paths, firsts, seconds, ratios = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Table(
        {
            "fact": np.array(paths, dtype=object),
            "a": np.array(firsts, dtype=object),
            "b": np.array(seconds, dtype=object),
            "ratio": np.array(ratios, dtype=float),
        }
    )


class _ComparedFact(NamedTuple):
    value: float
    dimension: str
    is_default: bool
    follows: bool


def _by_role(machine: Machine) -> dict[str, _ComparedFact]:
    """Return the facts of a machine by path, with engine and main memory by their roles."""
    origins = machine.provenance
    return {
        role_path(machine, path): _ComparedFact(
            float(value),
            machine.dimension(path),
            origins[path].writer == "default",
            origins[path].writer.startswith("vary (by "),
        )
        for path, value in machine.facts.items()
    }
