"""Effects of a runtime's kernels: quantised weights, long products, and split layers.

A vector unit that multiplies packed weights issues a number of instructions per clock, and its
inner loop needs a number per weight; a GPU that streams packed weights unpacks a number per clock.
Long prompts first expand weights to half precision, and run at the clock that the board's power
limit allows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.operand_bits import bits_of, family_of
from perfmodel.workload.operator_table import OperatorTable


def issue_rate(setting: Setting, slot: str, most: Value) -> Value:
    """Return operations per second (two per MAC) at which packed weights of a slot are multiplied.

    ``2 * units * clock * macs_per_clock_per_unit``, or on a vector unit ``2 * units * clock *
    vector_issue * issue_share / instructions_per_mac``, stated or counted from look-ups; an engine
    without `vector_issue` issues what its vector peak implies. ``None`` if the runtime states
    neither for their format.

    Parameters
    ----------
    most
        Rate of the engine's multipliers, an upper bound on rates counted on other hardware.
        Look-ups multiply nothing, and may be faster.
    """
    engine, runtime, xp = setting.engine, setting.runtime, setting.xp
    if engine.clock is None or not slot.startswith("weight"):
        return None
    clocks = 2.0 * engine.units * engine.clock
    each = _mean_by_format(setting, slot, runtime.macs_per_clock_per_unit, inverse=True)
    if each is not None:
        return xp.minimum(clocks / each, most)
    issue = or_else(engine.vector_issue, _issue_of_vector_units(setting))
    if issue is None:
        return None
    issued = clocks * issue * or_else(runtime.issue_share, 1.0)
    each = _mean_by_format(setting, slot, runtime.instructions_per_mac)
    if each is not None:
        return xp.minimum(issued / each, most)
    each = _lookup_instructions(setting, slot)
    return None if each is None else issued / each


def uncounted_instructions(setting: Setting) -> str:
    """Return which fact of the engine the runtime's counted instructions lack, or ``""``.

    Without it, products of packed weights take what peak and efficiency allow, which is less time.
    """
    engine, runtime = setting.engine, setting.runtime
    stated = (runtime.macs_per_clock_per_unit, runtime.instructions_per_mac)
    counted = [_mean_by_format(setting, "weight", rates) is not None for rates in stated]
    if not any(counted) and _lookup_instructions(setting, "weight") is None:
        return ""
    if engine.clock is None:
        return "no clock"
    issued = counted[0] or engine.vector_issue is not None
    if issued or _issue_of_vector_units(setting) is not None:
        return ""
    return "neither 'vector_issue' nor a peak in single precision"


def _issue_of_vector_units(setting: Setting) -> Value:
    """Return vector instructions per clock and unit that the vector units' peak implies.

    ``vector_peak / (units * clock) / (vector_bits / 32)``; a vector unit without a stated peak does
    half of the multiply-accumulates' operations. ``None`` if the runtime states no `vector_bits`,
    or the engine no peak in single precision.
    """
    engine, bits = setting.engine, setting.runtime.vector_bits
    products: Value = engine.peaks.get("fp32")
    if bits is None or products is None:
        return None
    peak = or_else(engine.vector_peaks.get("fp32"), products / 2.0)
    return peak / (engine.units * setting.clock) * 32.0 / bits


def _lookup_instructions(setting: Setting, slot: str) -> Value:
    """Return instructions per multiply-accumulate of weights looked up in tables, or ``None``.

    By the law of `perfmodel.kinds.lookup_table`, where the runtime's kernels use look-ups and the
    weights are integers or ternary.
    """
    from perfmodel.kinds.lookup_table.constants import LookupKernel
    from perfmodel.kinds.lookup_table.counts import instructions_per_mac

    gemm = setting.kernel("gemm", LookupKernel)
    if gemm.lookup_instructions is None or family_of(setting, slot) not in ("int", "ternary"):
        return None
    return instructions_per_mac(
        bits_of(setting, slot), gemm.lookup_group, gemm.lookup_outputs, gemm.lookup_instructions
    )


def unpack_times(table: OperatorTable, setting: Setting) -> Value:
    """Return seconds for the engine's units to unpack the weights of each row.

    ``weights / (unpack_weights_per_clock_per_unit * unpack_speedup * units * clock)``, of shape
    ``(rows, points)``; ``None`` if the runtime states no such rate for the weights' formats.
    """
    engine, stated = setting.engine, setting.runtime.unpack_weights_per_clock_per_unit
    if engine.clock is None or not stated:
        return None
    rate = engine.units * engine.clock * or_else(engine.unpack_speedup, 1.0)
    total: Value = None
    for slot in _weight_slots(table):
        rows, weights = table.transfers[slot]
        each = _mean_by_format(setting, slot, stated, inverse=True)
        if each is None:
            continue
        seconds = weights * (each / rate)
        placed = _in_rows(rows, seconds, len(table.rows), setting)
        total = placed if total is None else total + placed
    return total


def _weight_slots(table: OperatorTable) -> tuple[str, ...]:
    """Return the slots of weights that products read."""
    return table.once(
        "weights",
        lambda: tuple(
            s for s in table.transfers if s.startswith("weight") and s != "weight:vector"
        ),
    )


def _mean_by_format(
    setting: Setting, slot: str, stated: Mapping[str, Value], *, inverse: bool = False
) -> Value:
    """Return a number per weight: the mean over shares of a mixed tensor; None if one has none."""
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
        each = or_else(stated.get(name), stated.get(_without_group(name)))
        if each is None:
            return None
        total = total + (share / each if inverse else share * each)
    return total


def _in_rows(rows: Value, values: Value, count: int, setting: Setting) -> Value:
    """Return a column of zeros with values in the given rows."""
    xp = setting.xp
    out = xp.zeros((count, values.shape[1]))
    if xp is np:
        out[rows] = values
        return out
    return out.at[rows].set(values)


def _without_group(name: str) -> str:
    """Return ``int4`` for ``int4g128``."""
    base, mark, group = name.rpartition("g")
    return base if mark and group.isdigit() else name


def compute_format_of(setting: Setting, slot: str) -> str:
    """Return the compute format to which kernels convert weights of a slot, or ``""``.

    Stated by the weights' format; tensors of a mixture follow the mixture.
    """
    stated: Mapping[str, str] = setting.choices.get("multiplies_in", {})
    if setting.bare or not stated or not slot.startswith("weight"):
        return ""
    return stated.get(setting.precision.format_of(slot).name, "")


def accumulator_factor(setting: Setting, name: str) -> Value:
    """Return the factor on a format's peak by the accumulator of the runtime's kernels."""
    accumulator = setting.choices.get("accumulator")
    if not accumulator or name not in ("fp16", "bf16"):
        return 1.0
    return setting.engine.accumulator_speedup.get(accumulator, 1.0)


def power_limited(setting: Setting, rate: Value) -> Value:
    """Return a rate of long matrix products under the board's power limit.

    ``(rate**-p + (busy / sustained_energy_per_op)**-p)**(-1/p)``: the clock is reduced until the
    board draws its limit.
    """
    each, busy = setting.sustained_energy_per_op, setting.power.busy
    if each is None or busy is None:
        return rate
    p = setting.runtime.pnorm
    return (rate**-p + (busy / each) ** -p) ** (-1.0 / p)


def expanded_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return bytes that each row moves to expand quantised weights to half precision.

    Read packed and written in two bytes each, once per micro-batch (the product's own read is
    counted elsewhere); 0 up to ``runtime.expands_above`` tokens. ``None`` if the runtime does not
    expand.
    """
    above = setting.runtime.expands_above
    if above is None:
        return None
    xp = setting.xp
    packed = [s for s in _weight_slots(table) if setting.precision.format_of(s).family != "float"]
    if not packed:
        return None
    # All slots in one array: they are small, and a call per slot takes longer.
    slots = tuple(packed)
    places = table.once(
        ("packed", slots), lambda: np.concatenate([table.transfers[s][0] for s in slots])
    )
    width = max(table.transfers[slot][1].shape[1] for slot in slots)
    weights = xp.concatenate(
        [
            xp.broadcast_to(w, (len(rows), width)) if w.shape[1] != width else w
            for rows, w in (table.transfers[slot] for slot in slots)
        ]
    )
    tokens = table.macs[places] / xp.maximum(weights, 1.0)
    crossing = xp.where(tokens > above, _prompt_batches(setting, tokens), 0.0) * weights
    total: Value = None
    at = 0
    for slot in slots:
        rows = table.transfers[slot][0]
        expanded = crossing[at : at + len(rows)] * (setting.precision.bits(slot) / 8.0 + 2.0)
        at += len(rows)
        if xp is not np or total is None or expanded.shape[1] != total.shape[1]:
            placed = _in_rows(rows, expanded, len(table.rows), setting)
            total = placed if total is None else total + placed
        else:
            total[rows] += expanded
    return total


def _prompt_batches(setting: Setting, tokens: Value) -> Value:
    """Return micro-batches of a prompt: rounded up, or in the continuous form."""
    size = setting.runtime.micro_batch
    if size is None:
        return tokens * 0.0 + 1.0
    xp = setting.xp
    passes = tokens / size
    return xp.maximum(passes if setting.relaxed else xp.ceil(passes), 1.0)


def pipeline_share(table: OperatorTable, setting: Setting) -> Value:
    """Return the time of a run with its layers split over devices, relative to one device.

    Micro-batches pass through the parts as in a pipeline (GPipe, arXiv 1811.06965): ``(passes +
    parts - 1) / (passes * parts)``; a single token passes through the parts in sequence. ``None``
    for one device.
    """
    parts: Value = setting.runtime.split
    if not is_array(parts) and parts == 1.0:
        return None
    xp = setting.xp
    weights: Value = None
    for slot in _weight_slots(table):
        rows, elements = table.transfers[slot]
        tokens = xp.max(table.macs[rows] / xp.maximum(elements, 1.0), axis=0)
        weights = tokens if weights is None else xp.maximum(weights, tokens)
    if weights is None:
        return None
    passes = _prompt_batches(setting, weights)
    return (passes + parts - 1.0) / (passes * parts)
