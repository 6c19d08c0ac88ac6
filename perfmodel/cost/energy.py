"""Energy of a run, within the boundary at which the device's power is stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting


class Energy(NamedTuple):
    """Energy and how it was found.

    Attributes
    ----------
    joule
        Of one run; ``None`` where the device states neither energies nor power.
    parts
        Term -> joule; they add up to `joule`.
    model
        Name of the model that was used.
    """

    joule: Value
    parts: dict[str, Value]
    model: str


def run_energy(totals: Mapping[str, Value], setting: Setting) -> Energy:
    """Return the energy of a run.

    Operations x energy each + bytes x energy of each level + idle power x time (Horowitz,
    "Computing's energy problem", ISSCC 2014) where the device states the energy of the executed
    format and of main memory; else busy power x time.
    """
    facts = setting.facts
    time = totals["latency_s"]
    parts: dict[str, Value] = {}
    complete = True
    for key, done in totals.items():
        what, _, name = key.partition(" ")
        if what == "operations":
            each = _operation_energy(setting, name)
            if each is None:
                complete = complete and name == "vector"
                continue
            parts[f"compute {name}"] = done * each
        elif what == "traffic":
            each = facts.get(f"memories.{name}.energy_per_byte")
            if each is None:
                complete = complete and name != setting.levels[-1]
                continue
            parts[f"memory {name}"] = done * each
    idle = facts.get("power.idle")
    busy = facts.get("power.busy")
    if complete and parts:
        if idle is not None:
            parts["static"] = idle * time
        joule = sum(parts.values(), 0.0)
        return Energy(joule, parts, "operations + bytes + static power x time")
    if busy is not None:
        return Energy(busy * time, {"busy": busy * time}, "busy power x time")
    return Energy(None, {}, "unknown: the device states neither energies nor power")


def _operation_energy(setting: Setting, name: str) -> Value:
    head = f"engines.{setting.engine}.energy_per_op."
    if name != "vector":
        return setting.facts.get(head + name)
    act = setting.precision.activations.compute
    for each in (act, "fp32", "fp16", "int32"):
        found = setting.facts.get(head + each)
        if found is not None:
            return found
    return None
