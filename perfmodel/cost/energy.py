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
        Name of the model that was used, and what it leaves out: ``operations + bytes + static power
        x time; vector work, bytes of l2 not counted``.
    """

    joule: Value
    parts: dict[str, Value]
    model: str


def run_energy(totals: Mapping[str, Value], setting: Setting) -> Energy:
    """Return the energy of a run.

    Operations x energy each + bytes x energy of each level + idle power x time (Horowitz,
    "Computing's energy problem", ISSCC 2014) where the device states the energy of the executed
    format and of main memory; else busy power x time. Vector work, nearer levels and idle power
    without a figure are left out, and the model's name says so.
    """
    facts = setting.facts
    time = totals["latency_s"]
    parts: dict[str, Value] = {}
    missing: list[str] = []
    complete = True
    for key, done in totals.items():
        what, _, name = key.partition(" ")
        if what == "operations":
            each = _operation_energy(setting, name)
            if each is None:
                complete = complete and name == "vector"
                missing.append("vector work")
                continue
            parts[f"compute {name}"] = done * each
        elif what == "traffic":
            each = facts.get(f"memories.{name}.energy_per_byte")
            if each is None:
                complete = complete and name != setting.levels[-1]
                missing.append(f"bytes of {name}")
                continue
            parts[f"memory {name}"] = done * each
    idle = facts.get("power.idle")
    busy = facts.get("power.busy")
    if complete and parts:
        model = "operations + bytes"
        if idle is not None:
            parts["static"] = idle * time
            model += " + static power x time"
        else:
            missing.append("static power")
        if missing:
            model += f"; {', '.join(missing)} not counted"
        return Energy(sum(parts.values(), 0.0), parts, model)
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
