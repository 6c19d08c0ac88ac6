"""Energy of a run: operations, bytes and static power (Horowitz, ISSCC 2014).

    E = sum of operations e_op + sum over memories of bytes e_byte + P_static T    (joules)

with the energies per operation and per byte and the static power that the device states, within the
boundary at which they are stated (a chip, a module, a board). A device that states only its power
under load has ``E = P_busy T``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting


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

    in joules, else busy power (of the engine or the device) x time. Energies computed by the kind
    of hardware (``energy NAME`` in the totals) replace the operations and bytes that they cover.
    If no idle power is stated, the background and refresh power of DRAM is used; the default
    energies per byte exclude it, so that it is not counted twice. Vector work, nearer levels and
    static power without a stated value are omitted, which the name of the model says.

    Parameters
    ----------
    totals
        Sums over the network, see `network_totals`.
    setting
        Facts: ``engines.*.energy_per_op.*``, ``engines.*.vector_energy_per_op``,
        ``memories.*.energy_per_byte``, ``memories.*.background_power``, ``power.idle`` and
        ``power.busy``.
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
    if complete and (parts or own):
        model = " + ".join(
            [*["energies of the kind"] * bool(own), *["operations + bytes"] * bool(parts)]
        )
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
    busy = facts.get(f"engines.{setting.engine_name}.busy_power", facts.get("power.busy"))
    if busy is not None:
        return Energy(busy * time, {"busy": busy * time}, "busy power x time")
    return Energy(None, {}, "unknown: the device states neither energies nor power")


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
