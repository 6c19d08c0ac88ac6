"""Energy of a run, within the boundary at which the device's power is stated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting


class Energy(NamedTuple):
    """Energy and how it was found.

    Attributes
    ----------
    joule
        Of one run; ``None`` where the device states neither energies nor power, or prices nothing
        of what the run does (NaN at such points of many).
    parts
        Term -> joule; they add up to `joule`.
    model
        Name of the model that was used, and what it leaves out: ``operations + bytes + static power
        x time; vector work, bytes of l2 not counted``.
    """

    joule: Value
    parts: dict[str, Value]
    model: str


def run_energy(
    totals: Mapping[str, Value], setting: Setting, priced: Collection[str] = ()
) -> Energy:
    """Return the energy of a run.

    Operations x energy each + bytes x energy of each level + idle power x time (Horowitz,
    "Computing's energy problem", ISSCC 2014) where the device states the energy of the executed
    format and of main memory; else busy power (the engine's, or the device's) x time. What the kind
    of hardware prices itself (``energy NAME`` in the totals) comes in place of the operations and
    bytes that it covers. Where no idle power is stated, the background and refresh power of DRAM
    stands for it; the energies per byte that the tables fill in leave it out, so that it is not
    counted twice. Vector work, nearer levels and static power without a figure are left out, and
    the model's name says so.

    Parameters
    ----------
    totals
        Sums over the network, see `network_totals`.
    setting
        Facts: ``engines.*.energy_per_op.*``, ``engines.*.vector_energy_per_op``,
        ``memories.*.energy_per_byte``, ``memories.*.background_power``, ``power.idle`` and
        ``power.busy``.
    priced
        Keys of the totals that the kind's own energies cover (``operations int8``).
    """
    facts = setting.facts
    time = totals["latency_s"]
    own = {key[7:]: joule for key, joule in totals.items() if key.startswith("energy ")}
    parts: dict[str, Value] = {}
    missing: list[str] = []
    complete = True
    for key, done in totals.items():
        if key in priced:
            continue
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
    if complete and (parts or own):
        model = " + ".join(
            [*["energies of the kind"] * bool(own), *["operations + bytes"] * bool(parts)]
        )
        static = _static(setting)
        for name, power in static.items():
            parts[name] = power * time
        if static:
            model += " + static power x time"
        if "static" not in static:
            missing.append("static power" if not static else "static power beside DRAM's")
        if missing:
            model += f"; {', '.join(missing)} not counted"
        parts = own | parts
        return _known(sum(parts.values(), 0.0), parts, model, totals)
    busy = facts.get(f"engines.{setting.engine_name}.busy_power", facts.get("power.busy"))
    if busy is not None:
        return Energy(busy * time, {"busy": busy * time}, "busy power x time")
    return Energy(None, {}, "unknown: the device states neither energies nor power")


def _known(
    joule: Value, parts: dict[str, Value], model: str, totals: Mapping[str, Value]
) -> Energy:
    """Return an energy, or that it is unknown: what computes or moves bytes takes some."""
    time = totals["latency_s"]
    xp = namespace(joule, time)
    known = (joule > 0.0) | (time == 0.0)
    if xp is np and np.all(known):
        return Energy(joule, parts, model)
    # A sum of nothing takes none; the constant of a table of costs is one.
    work = [done for key, done in totals.items() if key.startswith(("operations ", "traffic "))]
    known = known | (sum(work, 0.0) == 0.0)
    if xp is np and np.all(known):
        return Energy(joule, parts, model)
    if xp is np and not np.any(known):
        _, _, left = model.partition("; ")
        return Energy(None, {}, f"unknown: {left or 'nothing that the run does has a price'}")
    return Energy(xp.where(known, joule, xp.nan), parts, model)


def _static(setting: Setting) -> dict[str, Value]:
    """Power at rest: the idle power, which refreshes the DRAM too, else that of DRAM alone."""
    idle = setting.facts.get("power.idle")
    if idle is not None:
        return {"static": idle}
    found = {n: setting.facts.get(f"memories.{n}.background_power") for n in setting.levels}
    return {f"background {name}": power for name, power in found.items() if power is not None}


def _operation_energy(setting: Setting, name: str) -> Value:
    head = f"engines.{setting.engine_name}.energy_per_op."
    if name != "vector":
        return setting.facts.get(head + name)
    found = setting.facts.get(f"engines.{setting.engine_name}.vector_energy_per_op")
    if found is not None:
        return found
    act = setting.precision.activations.compute
    for each in (act, "fp32", "fp16", "int32"):
        found = setting.facts.get(head + each)
        if found is not None:
            return found
    return None
