"""What a plan changes: the memories that weights and caches are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.residency import access_bytes, crossing, sum_by_row, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.protocol import Terms
from perfmodel.plan import Plan
from perfmodel.prediction.moved import recomposed, seconds_of
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import KEPT, WEIGHT, Lowered, OperatorTable


@dataclass(frozen=True, slots=True)
class MemoryShares:
    """Which memory serves which share of each access to a weight or a cache.

    Attributes
    ----------
    by_memory
        Memory -> share of each access, ``(accesses, 1)``; they add up to 1 where `known`.
    known
        1 for each access whose tensor the plan places, else 0; ``(accesses, 1)``.
    totals
        ``placed weight MEMORY`` and ``placed kv MEMORY`` -> bytes that lie there, as
        `perfmodel.cost.capacity.demands` reads them.
    """

    by_memory: dict[str, npt.NDArray[np.float64]]
    known: npt.NDArray[np.float64]
    totals: dict[str, float]


def shares_of(plan: Plan, graph: Graph, lowered: Lowered, machine: Machine) -> MemoryShares | None:
    """Return what a plan says of weights and caches; None where it places none of them.

    A tensor that several memories hold a part of is read from each in proportion: a plan does not
    say which experts are visited more often.

    Raises
    ------
    InputError
        The plan uses a memory that the machine does not have.
    """
    held: dict[str, dict[str, float]] = {}
    totals: dict[str, float] = {}
    for stay in plan.residency:
        role = graph.tensors[stay.tensor].role
        if role != "activation":
            at = held.setdefault(stay.tensor, {})
            at[stay.memory] = at.get(stay.memory, 0.0) + stay.size_bytes
            key = f"placed {'weight' if role == 'weight' else 'kv'} {stay.memory}"
            totals[key] = totals.get(key, 0.0) + stay.size_bytes
    if not held:
        return None
    memories = {memory for at in held.values() for memory in at}
    known = [memory.name for memory in machine.device.memories]
    faults = [
        Fault(
            f"{machine.device.name} has no memory '{name}'",
            "residency",
            expected=f"one of {', '.join(known)}",
            suggestion=nearest(name, known),
        )
        for name in sorted(memories - {*known})
    ]
    if faults:
        raise InputError(faults)
    names = _access_names(lowered)
    by_memory = {memory: np.zeros((len(names), 1)) for memory in sorted(memories)}
    found = np.zeros((len(names), 1))
    for i, name in enumerate(names):
        at = held.get(name, {})
        total = sum(at.values())
        if total > 0.0:
            found[i] = 1.0
            for memory, size in at.items():
                by_memory[memory][i] = size / total
    return MemoryShares(by_memory, found, totals)


def _access_names(lowered: Lowered) -> list[str]:
    """Return the tensor of each access in the order of the table's; empty for scores."""
    names: list[str] = []
    for kernel in lowered.kernels:
        names += [*kernel.reads, *kernel.writes]
        if not lowered._flash:  # pyright: ignore[reportPrivateUsage]
            names += ["" for operator in kernel.operators if operator.scores != 0]
    return names


def placed(table: OperatorTable, terms: Terms, setting: Setting, plan: MemoryShares) -> Terms:
    """Return the terms with weights and caches read from where the plan has them.

    What lies in a memory nearer than main memory does not cross main memory's boundary. The time of
    each memory follows its bytes, and rows are composed again.
    """
    assert table.accesses is not None
    main = setting.levels[-1]
    moved: Value = access_bytes(table, setting) * plan.known
    for level in setting.levels[:-1]:
        moved = moved * crossing(table, setting, usable_capacity(setting, level))
    which = table.accesses.tensor[:, None]
    traffic, memory = dict(terms.traffic), dict(terms.memory)
    xp = setting.xp
    change: dict[str, Value] = {}
    for role, home in ((WEIGHT, setting.weights_memory), (KEPT, main)):
        change[home] = change.get(home, 0.0) - sum_by_row(moved * (which == role), table, setting)
    for name, share in plan.by_memory.items():
        if name not in setting.levels[:-1]:
            change[name] = change.get(name, 0.0) + sum_by_row(moved * share, table, setting)
    cold = terms.cold
    for name, bytes_ in change.items():
        before = traffic.get(name, 0.0)
        # Sums of floats: what was taken away and given back may leave a part in 10**16.
        after = xp.maximum(before + bytes_, 0.0)
        traffic[name] = after
        memory[name] = seconds_of(terms, setting, name, after)
        if name == setting.weights_memory and cold is not None:
            cold = xp.minimum(cold, memory[name])
    said = f"{terms.traffic_model or 'compulsory'}; weights and caches as planned"
    return recomposed(terms, setting, traffic, memory, said, cold)
