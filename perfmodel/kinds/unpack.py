"""What quantised weights, long products and split layers cost: effects of a runtime's kernels.

A vector unit that multiplies packed weights starts so many instructions per clock, and its inner
loop needs so many per weight; a GPU that streams them unpacks so many per clock. Long prompts write
weights out in half precision first, and run at the clock that the board's power allows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.lookup_table.constants import LookupKernel
from perfmodel.kinds.lookup_table.counts import instructions_per_mac
from perfmodel.kinds.slots import bits_of, family_of
from perfmodel.workload.lower import OperatorTable


def issue_rate(setting: Setting, slot: str, most: Value) -> Value:
    """Return operations per second (two per MAC) at which packed weights of a slot are multiplied.

    ``2 * units * clock * macs_per_clock_per_unit``, or on a vector unit ``2 * units * clock *
    vector_issue * issue_share / instructions_per_mac``, these stated or counted from look-ups;
    ``None`` where the runtime states none for their format.

    Parameters
    ----------
    most
        What the engine's multipliers do: a rate that was counted on others is no more than that.
        Look-ups multiply nothing, and may be faster.
    """
    engine, runtime, xp = setting.engine, setting.runtime, setting.xp
    if engine.clock is None or not slot.startswith("weight"):
        return None
    clocks = 2.0 * engine.units * engine.clock
    each = _of_format(setting, slot, runtime.macs_per_clock_per_unit, inverse=True)
    if each is not None:
        return xp.minimum(clocks / each, most)
    if engine.vector_issue is None:
        return None
    issued = clocks * engine.vector_issue * or_else(runtime.issue_share, 1.0)
    each = _of_format(setting, slot, runtime.instructions_per_mac)
    if each is not None:
        return xp.minimum(issued / each, most)
    each = _looked_up(setting, slot)
    return None if each is None else issued / each


def _looked_up(setting: Setting, slot: str) -> Value:
    """Return instructions a multiply-accumulate of weights looked up in tables, or ``None``.

    By the law of `perfmodel.kinds.lookup_table`, where the runtime's kernels look products up and
    the weights are integers or ternary.
    """
    gemm = setting.kernel("gemm", LookupKernel)
    if gemm.lookup_instructions is None or family_of(setting, slot) not in ("int", "ternary"):
        return None
    return instructions_per_mac(
        bits_of(setting, slot), gemm.lookup_group, gemm.lookup_outputs, gemm.lookup_instructions
    )


def unpack_times(table: OperatorTable, setting: Setting) -> Value:
    """Return seconds a unit of the engine takes to unpack the weights of each row.

    ``weights / (unpack_weights_per_clock_per_unit * unpack_speedup * units * clock)``, of shape
    ``(rows, points)``; ``None`` where the runtime states no such rate for the weights' formats.
    """
    engine, stated = setting.engine, setting.runtime.unpack_weights_per_clock_per_unit
    if engine.clock is None or not stated:
        return None
    rate = engine.units * engine.clock * or_else(engine.unpack_speedup, 1.0)
    total: Value = None
    for slot in _weights(table):
        rows, weights = table.moved[slot]
        each = _of_format(setting, slot, stated, inverse=True)
        if each is None:
            continue
        seconds = weights * (each / rate)
        whole = _placed(rows, seconds, len(table.rows), setting)
        total = whole if total is None else total + whole
    return total


def _weights(table: OperatorTable) -> tuple[str, ...]:
    """Return the slots of weights that products read."""
    return table.once(
        "weights",
        lambda: tuple(s for s in table.moved if s.startswith("weight") and s != "weight:vector"),
    )


def _of_format(
    setting: Setting, slot: str, stated: Mapping[str, Value], *, inverse: bool = False
) -> Value:
    """Return a number per weight: shares of a mixed tensor add; None where a part has none."""
    if "=" in slot:
        parts: tuple[tuple[float, str], ...] = ((1.0, setting.precision.format_of(slot).name),)
    else:
        weights = setting.precision.weights
        mixed = weights.overrides and weights.name != weights.block
        own = stated.get(weights.name) if mixed else None
        if own is not None:
            return 1.0 / own if inverse else own
        parts = weights.parts_of(slot.partition(":")[2])
    total: Value = 0.0
    for share, name in parts:
        each = or_else(stated.get(name), stated.get(_ungrouped(name)))
        if each is None:
            return None
        total = total + (share / each if inverse else share * each)
    return total


def _placed(rows: Value, values: Value, count: int, setting: Setting) -> Value:
    """Return values in their rows of a column of zeros."""
    xp = setting.xp
    whole = xp.zeros((count, values.shape[1]))
    if xp is np:
        whole[rows] = values
        return whole
    return whole.at[rows].set(values)


def _ungrouped(name: str) -> str:
    """Return ``int4`` for ``int4g128``."""
    base, mark, group = name.rpartition("g")
    return base if mark and group.isdigit() else name


def multiplied_in(setting: Setting, slot: str) -> str:
    """Return the compute format that the runtime's kernels bring weights of a slot to, or ``""``.

    As a runtime says by the weights' format; the tensors of a mixture go by the mixture's.
    """
    said: Mapping[str, str] = setting.choices.get("multiplies_in", {})
    if setting.bare or not said or not slot.startswith("weight"):
        return ""
    return said.get(setting.precision.format_of(slot).name, "")


def summed_in(setting: Setting, name: str) -> Value:
    """Return the factor on the peak of a format by what the runtime's kernels sum products in."""
    accumulator = setting.choices.get("accumulator")
    if not accumulator or name not in ("fp16", "bf16"):
        return 1.0
    return setting.engine.accumulator_speedup.get(accumulator, 1.0)


def power_limited(setting: Setting, rate: Value) -> Value:
    """Return a rate of long matrix products under the board's power.

    ``(rate**-p + (busy / sustained_energy_per_op)**-p)**(-1/p)``: the clock falls until the board
    draws what it may.
    """
    each, busy = setting.sustained_energy_per_op, setting.power.busy
    if each is None or busy is None:
        return rate
    p = setting.runtime.pnorm
    return (rate**-p + (busy / each) ** -p) ** (-1.0 / p)


def expanded_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes that each row moves to write quantised weights out in half precision.

    Read packed and written in two bytes each, once a micro-batch (the product reads them in its own
    time); none up to
    ``runtime.expands_above`` tokens. ``None`` where the runtime does no such thing.
    """
    above = setting.runtime.expands_above
    if above is None:
        return None
    xp = setting.xp
    packed = [s for s in _weights(table) if setting.precision.format_of(s).family != "float"]
    if not packed:
        return None
    # All slots at once: their arrays are small, and a call for each of them takes longer.
    slots = tuple(packed)
    places = table.once(
        ("packed", slots), lambda: np.concatenate([table.moved[s][0] for s in slots])
    )
    width = max(table.moved[slot][1].shape[1] for slot in slots)
    weights = xp.concatenate(
        [
            xp.broadcast_to(w, (len(rows), width)) if w.shape[1] != width else w
            for rows, w in (table.moved[slot] for slot in slots)
        ]
    )
    tokens = table.macs[places] / xp.maximum(weights, 1.0)
    moved = xp.where(tokens > above, _passes(setting, tokens), 0.0) * weights
    total: Value = None
    at = 0
    for slot in slots:
        rows = table.moved[slot][0]
        here = moved[at : at + len(rows)] * (setting.precision.bits(slot) / 8.0 + 2.0)
        at += len(rows)
        if xp is not np or total is None or here.shape[1] != total.shape[1]:
            whole = _placed(rows, here, len(table.rows), setting)
            total = whole if total is None else total + whole
        else:
            total[rows] += here
    return total


def _passes(setting: Setting, tokens: Value) -> Value:
    """Return micro-batches of a prompt: a staircase, or its continuous form."""
    size = setting.runtime.micro_batch
    if size is None:
        return tokens * 0.0 + 1.0
    xp = setting.xp
    passes = tokens / size
    return xp.maximum(passes if setting.relaxed else xp.ceil(passes), 1.0)


def pipeline_share(table: OperatorTable, setting: Setting) -> Value:
    """Return the share of its time on one device that a run takes with its layers split over many.

    Micro-batches follow each other through the parts like work through a pipeline (GPipe, arXiv
    1811.06965): ``(passes + parts - 1) / (passes * parts)``; one token passes through all parts one
    after the other. ``None`` for one device.
    """
    parts: Value = setting.runtime.split
    if not is_array(parts) and parts == 1.0:
        return None
    xp = setting.xp
    weights: Value = None
    for slot in _weights(table):
        rows, moved = table.moved[slot]
        tokens = xp.max(table.macs[rows] / xp.maximum(moved, 1.0), axis=0)
        weights = tokens if weights is None else xp.maximum(weights, tokens)
    if weights is None:
        return None
    passes = _passes(setting, weights)
    return (passes + parts - 1.0) / (passes * parts)
