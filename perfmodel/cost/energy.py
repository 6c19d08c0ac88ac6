"""Energy of a run: operations, bytes and static power (Horowitz, ISSCC 2014).

    E = sum of operations e_op + sum over memories of bytes e_byte + P_static T    (joules)

with the energies per operation and per byte and the static power that the device states, within
the boundary at which they are stated (a chip, a module, a board). A device that draws one power
whenever it computes has ``E = P_busy T``. One that states neither has the energies of its class
(`perfmodel.hardware.technology.power_classes`), with which a kernel draws at most the power limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.capacity import resources
from perfmodel.cost.setting import Setting

#: Beginning of the model's name where energies are those of the engine's class.
CLASS_MODEL = "power model of the class: operations + bytes"
#: Energy of kernels as one sum, of which `class_energies` are the parts.
KERNELS = "kernels"
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
    If no idle power is stated, the background and refresh power of DRAM and the leakage of the
    stated blocks are used; the default energies exclude both, so that none is counted twice.
    Vector work, nearer levels and static power without a value are omitted, which the name of the
    model says.

    Parameters
    ----------
    totals
        Sums over the network, see `network_totals`.
    setting
        Facts: ``engines.*.energy_per_op.*``, ``engines.*.vector_energy_per_op``,
        ``memories.*.energy_per_byte``, ``memories.*.background_power``, ``power.idle``,
        ``power.leakage``, ``engines.*.running_power`` and ``engines.*.busy_power``.
    priced
        Keys of the totals covered by energies of the kind of hardware (``operations int8``).
    """
    facts = setting.facts
    time = totals["latency_s"]
    own = {key[7:]: joule for key, joule in totals.items() if key.startswith("energy ")}
    if KERNELS in own:
        priced = _class_prices(totals, setting)
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
        static = static_parts_w(setting)
        for name, power in static.items():
            parts[name] = power * time
        if static:
            model += " + static power x time"
        if not {"static", "leakage"} & static.keys():
            missing.append("static power" if not static else "static power beside DRAM's")
        if missing:
            model += f"; {', '.join(missing)} not counted"
        parts = own | parts
        return _energy_if_known(sum(parts.values(), 0.0), parts, model, totals)
    busy = facts.get(f"engines.{setting.engine_name}.busy_power")
    if busy is not None:
        return Energy(busy * time, {"busy": busy * time}, "active power x time")
    return Energy(None, {}, "unknown: the device states neither energies nor power")


def kernel_energy(
    traffic: Mapping[str, Value], operations: Mapping[str, Value], row_s: Value, setting: Setting
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return the joules of each row with the energies of the engine's class, and what they cover.

    ``min(P_running t + sum of operations e_op + bytes e_byte, (P_busy - P_idle) t)`` as `KERNELS`:
    a kernel draws no more than the power limit, if the device states one. Empty for an engine
    without a class.

    Parameters
    ----------
    traffic, operations, row_s
        Bytes of each level, operations of each format and seconds of the rows (`Terms`).
    """
    running, spare = _class_powers(setting)
    if running is None:
        return {}, ()
    amounts = _amounts(traffic, operations)
    prices = _class_prices(amounts, setting)
    parts = (amounts[key] * sum(each.values()) for key, each in prices.items())
    joule = sum(parts, running * row_s)
    if spare is not None:
        joule = namespace(row_s, joule, spare).minimum(joule, (spare + running) * row_s)
    return {KERNELS: joule}, tuple(prices)


def class_energies(
    traffic: Mapping[str, Value], operations: Mapping[str, Value], row_s: Value, setting: Setting
) -> dict[str, Value]:
    """Return the parts of `kernel_energy` of each row.

    At the power limit the operations and bytes of a kernel take equal shares less.
    """
    running, spare = _class_powers(setting)
    if running is None:
        return {}
    amounts = _amounts(traffic, operations)
    parts = {
        part: amounts[key] * joule
        for key, prices in _class_prices(amounts, setting).items()
        for part, joule in prices.items()
    }
    if spare is not None and parts:
        xp = namespace(row_s, *parts.values(), spare)
        share = xp.minimum(spare * row_s / xp.maximum(sum(parts.values()), _TINY), 1.0)
        parts = {name: joule * share for name, joule in parts.items()}
    return parts | {"running": running * row_s}


def _amounts(traffic: Mapping[str, Value], operations: Mapping[str, Value]) -> dict[str, Value]:
    """Return operations of each format and bytes of each level by their keys in the totals."""
    amounts = {f"operations {name}": amount for name, amount in operations.items()}
    return amounts | {f"traffic {name}": amount for name, amount in traffic.items()}


def _class_powers(setting: Setting) -> tuple[Value, Value]:
    """Return P_running and what the power limit leaves beside it, W; ``None`` if not stated."""
    facts = setting.facts
    running, limit = (
        facts.get(f"engines.{setting.engine_name}.running_power"),
        facts.get("power.busy"),
    )
    if running is None or limit is None:
        return running, None
    xp = namespace(running, limit)
    return running, xp.maximum(limit - facts.get("power.idle", 0.0) - running, 0.0)


def _class_prices(keys: Iterable[str], setting: Setting) -> dict[str, dict[str, Value]]:
    """Return key of a total -> part of the energy -> joules of each operation or byte.

    Bytes of main memory take the energy of their way to the engine beside that of the memory.
    """
    facts, prices = setting.facts, dict[str, dict[str, Value]]()
    for key in keys:
        quantity, _, name = key.partition(" ")
        each: dict[str, Value] = {}
        if quantity == "operations":
            each[f"compute {name}"] = _operation_energy(setting, name)
        elif quantity == "traffic":
            each[f"memory {name}"] = facts.get(f"memories.{name}.energy_per_byte")
            if name == setting.levels[-1]:
                each["transport"] = facts.get(f"engines.{setting.engine_name}.transport_energy")
        each = {part: joule for part, joule in each.items() if joule is not None}
        if each:
            prices[key] = each
    return prices


def energy_of_what_fits(energy: Energy, totals: Mapping[str, Value], setting: Setting) -> Energy:
    """Return an energy; unknown where a design takes more of a resource than its part has.

    No such part exists, so that its power would be that of nothing (NaN at such points of an
    array).
    """
    taken = resources(totals, setting)
    if energy.joule is None or not taken:
        return energy
    xp = namespace(energy.joule, *(amount for pair in taken.values() for amount in pair))
    exists = xp.asarray(True)
    for used, available in taken.values():
        exists = exists & (used <= available)
    if xp is np and np.all(exists):
        return energy
    if xp is np and not np.any(exists):
        return Energy(None, {}, "unknown: the design takes more than the part has")

    def masked(joule: Value) -> Value:
        return xp.where(exists, joule, xp.nan)

    parts = {name: masked(joule) for name, joule in energy.parts.items()}
    return Energy(masked(energy.joule), parts, energy.model)


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


def resting_power_w(setting: Setting) -> Value:
    """Return the power between runs, W: asleep, else static; ``None`` if neither is known."""
    asleep = setting.facts.get("power.sleep")
    return static_power_w(setting) if asleep is None else asleep


def waiting_power_w(setting: Setting) -> Value:
    """Return the power at which a device waits for a run, W: it sleeps only in a stated period."""
    if "use.period" in setting.facts:
        return resting_power_w(setting)
    return static_power_w(setting)


def static_power_w(setting: Setting) -> Value:
    """Return the power of a device that is on and does nothing, W; ``None`` if it is not known."""
    static = static_parts_w(setting)
    return sum(static.values(), 0.0) if static else None


def static_parts_w(setting: Setting) -> dict[str, Value]:
    """Return the static power, W: idle power (DRAM refresh included), else DRAM's and leakage."""
    idle = setting.facts.get("power.idle")
    if idle is not None:
        return {"static": idle}
    by_memory = {n: setting.facts.get(f"memories.{n}.background_power") for n in setting.levels}
    parts = {f"background {name}": power for name, power in by_memory.items()}
    parts["leakage"] = setting.facts.get("power.leakage")
    return {name: power for name, power in parts.items() if power is not None}


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
