"""Energy of a run: operations, bytes and static power (Horowitz, ISSCC 2014).

    E = sum of operations e_op + sum over memories of bytes e_byte + P_static T    (joules)

with the energies per operation and per byte and the static power that the device states, within
the boundary at which they are stated (a chip, a module, a board). A device that draws one power
whenever it computes has ``E = P_busy T``. One that states neither has the energies of its class
(`perfmodel.hardware.technology.power_classes`), with which a kernel draws at most the power limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting

#: Beginning of the model's name where energies are those of the engine's class.
CLASS_MODEL = "power model of the class: operations + bytes"
#: Least energy of a kernel that is divided by, J.
_TINY = 1e-300


class Energy(NamedTuple):
    """Energy of a run with its parts and its model.

    Attributes
    ----------
    joule
        Energy of one run; ``None`` if the device states neither energies nor power, or states them
        for nothing that the run does (NaN at such points of an array).
    parts
        Term -> joule; the terms add up to `joule`.
    model
        Name of the model and its omissions, such as ``operations + bytes + static power x time;
        vector work, bytes of l2 not counted``.
    """

    joule: Value
    parts: dict[str, Value]
    model: str


def run_energy(
    totals: Mapping[str, Value], setting: Setting, priced: Collection[str] = ()
) -> Energy:
    """Return the energy of a run.

    If the device states the energy of the executed format and of main memory (Horowitz,
    "Computing's energy problem", ISSCC 2014)::

        E = sum of operations x energy per operation
            + sum over levels of bytes x energy per byte + idle power x time

    in joules, else the power that the engine draws while it computes x time. Energies computed by
    the kind of hardware, or for its class (``energy NAME`` in the totals), replace the operations
    and bytes that they cover.
    If no idle power is stated, the background and refresh power of DRAM is used; the default
    energies per byte exclude it, so that it is not counted twice. Vector work, nearer levels and
    static power without a stated value are omitted, which the name of the model says.

    Parameters
    ----------
    totals
        Sums over the network, see `network_totals`.
    setting
        Facts: ``engines.*.energy_per_op.*``, ``engines.*.vector_energy_per_op``,
        ``memories.*.energy_per_byte``, ``memories.*.background_power``, ``power.idle``,
        ``engines.*.running_power`` and ``engines.*.busy_power``.
    priced
        Keys of the totals covered by energies of the kind of hardware (``operations int8``).
    """
    facts = setting.facts
    time = totals["latency_s"]
    own = {key[7:]: joule for key, joule in totals.items() if key.startswith("energy ")}
    parts: dict[str, Value] = {}
    missing: list[str] = []
    complete = True
    for key, amount in totals.items():
        if key in priced:
            continue
        quantity, _, name = key.partition(" ")
        if quantity == "operations":
            each = _operation_energy(setting, name)
            if each is None:
                complete = complete and name == "vector"
                missing.append("vector work")
                continue
            parts[f"compute {name}"] = amount * each
        elif quantity == "traffic":
            each = facts.get(f"memories.{name}.energy_per_byte")
            if each is None:
                complete = complete and name != setting.levels[-1]
                missing.append(f"bytes of {name}")
                continue
            parts[f"memory {name}"] = amount * each
    running = facts.get(f"engines.{setting.engine_name}.running_power")
    if complete and (parts or own):
        counted = "energies of the kind" if running is None else CLASS_MODEL
        model = " + ".join([*[counted] * bool(own), *["operations + bytes"] * bool(parts)])
        static = _static_power_w(setting)
        for name, power in static.items():
            parts[name] = power * time
        if static:
            model += " + static power x time"
        if "static" not in static:
            missing.append("static power" if not static else "static power beside DRAM's")
        if missing:
            model += f"; {', '.join(missing)} not counted"
        parts = own | parts
        return _energy_if_known(sum(parts.values(), 0.0), parts, model, totals)
    busy = facts.get(f"engines.{setting.engine_name}.busy_power")
    if busy is not None:
        return Energy(busy * time, {"busy": busy * time}, "active power x time")
    return Energy(None, {}, "unknown: the device states neither energies nor power")


def class_energies(
    traffic: Mapping[str, Value], operations: Mapping[str, Value], row_s: Value, setting: Setting
) -> dict[str, Value]:
    """Return the joules of each row by part, with the energies of the engine's class.

    ``P_running t + min(sum of operations e_op + bytes e_byte, (P_busy - P_idle - P_running) t)``: a
    kernel draws no more than the power limit, if the device states one. Empty for an engine without
    a class.

    Parameters
    ----------
    traffic, operations, row_s
        Bytes of each level, operations of each format and seconds of the rows (`Terms`).
    """
    facts, head = setting.facts, f"engines.{setting.engine_name}."
    running = facts.get(head + "running_power")
    if running is None:
        return {}
    parts: dict[str, Value] = {}
    for name, amount in operations.items():
        each = _operation_energy(setting, name)
        if each is not None:
            parts[f"compute {name}"] = amount * each
    for name, amount in traffic.items():
        each = facts.get(f"memories.{name}.energy_per_byte")
        if each is not None:
            parts[f"memory {name}"] = amount * each
    transport, main = facts.get(head + "transport_energy"), traffic.get(setting.levels[-1])
    if transport is not None and main is not None:
        parts["transport"] = main * transport
    limit = facts.get("power.busy")
    if limit is not None and parts:
        xp = namespace(row_s, *parts.values(), limit)
        spare = xp.maximum(limit - facts.get("power.idle", 0.0) - running, 0.0) * row_s
        share = xp.minimum(spare / xp.maximum(sum(parts.values()), _TINY), 1.0)
        parts = {name: joule * share for name, joule in parts.items()}
    return parts | {"running": running * row_s}


def _energy_if_known(
    joule: Value, parts: dict[str, Value], model: str, totals: Mapping[str, Value]
) -> Energy:
    """Return an energy; unknown if it is zero, since arithmetic and transfers consume some."""
    time = totals["latency_s"]
    xp = namespace(joule, time)
    known = (joule > 0.0) | (time == 0.0)
    if xp is np and np.all(known):
        return Energy(joule, parts, model)
    # An empty sum is zero energy; the constant of a cost table is one.
    work = [total for key, total in totals.items() if key.startswith(("operations ", "traffic "))]
    known = known | (sum(work, 0.0) == 0.0)
    if xp is np and np.all(known):
        return Energy(joule, parts, model)
    if xp is np and not np.any(known):
        _, _, left = model.partition("; ")
        return Energy(None, {}, f"unknown: {left or 'nothing that the run does has a price'}")
    return Energy(xp.where(known, joule, xp.nan), parts, model)


def _static_power_w(setting: Setting) -> dict[str, Value]:
    """Return the static power, W: idle power (DRAM refresh included), else that of DRAM only."""
    idle = setting.facts.get("power.idle")
    if idle is not None:
        return {"static": idle}
    by_memory = {n: setting.facts.get(f"memories.{n}.background_power") for n in setting.levels}
    return {f"background {name}": power for name, power in by_memory.items() if power is not None}


def _operation_energy(setting: Setting, name: str) -> Value:
    """Return the joules per operation of a format; of vector work those of the nearest format."""
    head = f"engines.{setting.engine_name}.energy_per_op."
    if name != "vector":
        return setting.facts.get(head + name)
    joule = setting.facts.get(f"engines.{setting.engine_name}.vector_energy_per_op")
    if joule is not None:
        return joule
    for each in (setting.precision.activations.compute, "fp32", "fp16", "int32"):
        joule = setting.facts.get(head + each)
        if joule is not None:
            return joule
    return None
