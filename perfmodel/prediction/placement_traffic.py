"""Traffic of weights and caches that a plan distributes over several memories.

A tensor of which a memory holds the share s is read from it in proportion:
``bytes of memory m = sum over accesses of s_m bytes``. `memory_shares` reads the shares of all
accesses from the plan; `apply_placement` moves the bytes from the default memory to the planned
ones and recomposes the row times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import access_bytes, sum_by_row
from perfmodel.cost.residency import crossing, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.protocol import Terms
from perfmodel.plan import Plan
from perfmodel.prediction.recomposition import recomposed, seconds_of
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import PERSISTENT, WEIGHT, OperatorTable


@dataclass(frozen=True, slots=True)
class MemoryShares:
    """Distribution of the accesses to weights and caches over memories.

    Attributes
    ----------
    by_memory
        Memory -> share of each access, ``(accesses, 1)``; shares add up to 1 where `known`.
    known
        1 for each access whose tensor the plan places, else 0; ``(accesses, 1)``.
    totals
        ``placed weight MEMORY`` and ``placed kv MEMORY`` -> bytes stored there, as read by
        `perfmodel.cost.capacity.demands`.
    """

    by_memory: dict[str, npt.NDArray[np.float64]]
    known: npt.NDArray[np.float64]
    totals: dict[str, float]


def memory_shares(
    plan: Plan, graph: Graph, lowered: Lowered, machine: Machine
) -> MemoryShares | None:
    """Return the distribution of weight and cache accesses; ``None`` if a plan places none.

    A tensor distributed over several memories is read from each in proportion to its part: a plan
    does not state which experts are activated more often.

    Raises
    ------
    InputError
        The plan uses a memory that the machine does not have.
    """
    stored: dict[str, dict[str, float]] = {}
    totals: dict[str, float] = {}
    for residence in plan.residency:
        role, memory = graph.tensors[residence.tensor].role, residence.memory
        if role != "activation":
            sizes = stored.setdefault(residence.tensor, {})
            sizes[memory] = sizes.get(memory, 0.0) + residence.size_bytes
            key = f"placed {'weight' if role == 'weight' else 'kv'} {memory}"
            totals[key] = totals.get(key, 0.0) + residence.size_bytes
    if not stored:
        return None
    memories = {memory for sizes in stored.values() for memory in sizes}
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
    known_accesses = np.zeros((len(names), 1))
    for i, name in enumerate(names):
        sizes = stored.get(name, {})
        total = sum(sizes.values())
        if total > 0.0:
            known_accesses[i] = 1.0
            for memory, size in sizes.items():
                by_memory[memory][i] = size / total
    return MemoryShares(by_memory, known_accesses, totals)


def _access_names(lowered: Lowered) -> list[str]:
    """Return the tensor name of each access in table order; empty for internal traffic."""
    names: list[str] = []
    for kernel, internal in zip(lowered.kernels, lowered.columns.internal_traffic, strict=True):
        names += [*kernel.reads, *kernel.writes, *("" for _ in internal)]
    return names


def apply_placement(
    table: OperatorTable, terms: Terms, setting: Setting, plan: MemoryShares
) -> Terms:
    """Return the terms with weights and caches read from the memories assigned by the plan.

    Tensors in a memory nearer than main memory do not cross main memory's boundary. The time of
    each memory follows from its bytes, and row times are recomposed.
    """
    assert table.accesses is not None
    main = setting.levels[-1]
    bytes_read: Value = access_bytes(table, setting) * plan.known
    for level in setting.levels[:-1]:
        bytes_read = bytes_read * crossing(table, setting, usable_capacity(setting, level))
    tensor = table.accesses.tensor[:, None]
    traffic, memory = dict(terms.traffic), dict(terms.memory)
    xp = setting.xp
    change: dict[str, Value] = {}
    for role, home in ((WEIGHT, setting.weights_memory), (PERSISTENT, main)):
        change[home] = change.get(home, 0.0) - sum_by_row(
            bytes_read * (tensor == role), table, setting
        )
    for name, share in plan.by_memory.items():
        if name not in setting.levels[:-1]:
            change[name] = change.get(name, 0.0) + sum_by_row(bytes_read * share, table, setting)
    cold = terms.cold
    for name, bytes_ in change.items():
        before = traffic.get(name, 0.0)
        # Subtracting and adding bytes may leave a relative rounding error of 1e-16.
        after = xp.maximum(before + bytes_, 0.0)
        traffic[name] = after
        memory[name] = seconds_of(terms, setting, name, after)
        if name == setting.weights_memory and cold is not None:
            cold = xp.minimum(cold, memory[name])
    model = f"{terms.traffic_model or 'compulsory'}; weights and caches as planned"
    return recomposed(terms, setting, traffic, memory, model, cold)
