"""Network totals: sums over the rows of the operator table, weighted by their counts.

With n the executions of a row and t its seconds, the latency of a run is

    latency = sum over rows of n t + per run + steps sequences per_sequence
              + calls per_subgraph + prompts per_prompt

in seconds; bytes, operations and joules are sums over the rows only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row, is_array, least
from perfmodel.cost.operand_bytes import (
    activation_bytes,
    copied_weight_bytes,
    stored_bytes,
)
from perfmodel.cost.setting import Setting
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable


def total(count: Value, values: Value) -> Value:
    """Return ``sum(count * values)`` over the rows, shape ``(points,)`` or ``(1,)``.

    One point is summed in the order of the rows, as a replay sums it (`perfmodel.tracing`): a
    question that is asked again has the same answer to the last bit.
    """
    if type(values) is np.ndarray and values.shape[1] == 1 == count.shape[1]:
        return np.add.accumulate(count * values, axis=0)[-1]
    if count.shape[1] == 1:
        return (count.T @ values)[0]
    return (count * values).sum(axis=0)


def per_run_s(facts: Mapping[str, Value]) -> Value:
    """Return the seconds per run outside the rows: runtime overhead, and transfers of a split."""
    transfers = facts.get("runtime.split", 1.0) - 1.0
    return facts.get("runtime.per_run", 0.0) + _charge(facts, "per_split", transfers)


def _charge(facts: Mapping[str, Value], name: str, count: Value) -> Value:
    """Return the seconds of a number of events at the runtime's time for each; 0 if not stated."""
    each = facts.get(f"runtime.{name}", 0.0)
    return each * count if is_array(each) or each else 0.0


def pair_bits(table: OperatorTable, setting: Setting) -> Value:
    """Return the product of the element bits of both multiplied operands of each row.

    One number if all rows share it, else ``(rows, points)``.
    """
    precision = setting.precision
    known: dict[tuple[str, str], Value] = {}
    for pair in table.once("pairs", lambda: tuple(dict.fromkeys(row.pair for row in table.rows))):
        left, right = (precision.format_of(slot).element_bits for slot in pair)
        known[pair] = left * right
    values = list(known.values()) or [1.0]
    if len(values) == 1 or (not any(map(is_array, values)) and len(set(values)) == 1):
        return values[0]
    return by_row([known[row.pair] for row in table.rows], table.points, setting.xp)


def network_totals(
    table: OperatorTable,
    setting: Setting,
    row_s: Value,
    traffic: Mapping[str, Value],
    operations: Mapping[str, Value],
    energy: Mapping[str, Value] | None = None,
) -> tuple[dict[str, Value], bool]:
    """Return the totals that predictions consist of, each a number or of shape ``(points,)``.

    Returns
    -------
    totals
        Keys: ``latency_s``, ``macs``, ``bit_operations``, ``vector_ops``, ``weight_bytes``,
        ``kv_bytes``, ``activation_bytes``, ``traffic LEVEL``, ``operations FORMAT``,
        ``energy NAME``, ``phase NAME``; ``copied_weight_bytes`` if the runtime keeps copies.
    sound
        Whether the seconds of every row and all sums are non-negative numbers; checked during
        summation, while the values are in the CPU cache.
    """
    count = table.count
    out: dict[str, Value] = {}
    signs: list[bool] = []

    def add_checked(key: str, value: Value) -> None:
        out[key] = value
        signs.append(least(value) >= 0.0)

    add_checked("latency_s", total(count, row_s) + per_run_overhead_s(setting))
    signs.append(least(row_s) >= 0.0)
    macs = table.macs
    if setting.causal_skips_masked:
        macs = macs - table.masked_macs
    add_checked("macs", total(count, macs))
    # Products of values that are checked elsewhere need no check of their signs.
    out["bit_operations"] = total(count, macs * pair_bits(table, setting))
    add_checked("vector_ops", total(count, table.vector_ops))
    add_checked("weight_bytes", stored_bytes(table, setting, "weight"))
    if setting.runtime.weight_copies:
        add_checked("copied_weight_bytes", copied_weight_bytes(table, setting))
    add_checked("kv_bytes", stored_bytes(table, setting, "kv"))
    add_checked("activation_bytes", activation_bytes(table, setting))
    for level, bytes_ in traffic.items():
        add_checked(f"traffic {level}", total(count, bytes_))
    for name, row_operations in operations.items():
        if row_operations is table.vector_ops:
            out[f"operations {name}"] = out["vector_ops"]
        else:
            add_checked(f"operations {name}", total(count, row_operations))
    for name, joule in (energy or {}).items():
        add_checked(f"energy {name}", total(count, joule))
    phases = table.once("phases", lambda: _phases(table.rows))
    if len(phases) > 1:
        for phase, rows in phases.items():
            part = count[rows] if count.shape[0] == len(table.rows) else count
            seconds = total(part, row_s[rows])
            if phase in {"prefill", "decode"}:
                steps = 1.0 if phase == "prefill" or setting.steps is None else setting.steps
                seconds = seconds + steps * sequence_s(setting)
            if phase == "prefill":
                seconds = seconds + prompt_s(setting)
            out[f"phase {phase}"] = seconds
    return out, all(signs)


def _phases(rows: Sequence[OperatorRow]) -> dict[str, npt.NDArray[np.intp]]:
    """Return a mapping from phase to its rows."""
    phases = [row.phase for row in rows]
    return {
        phase: np.array([i for i, each in enumerate(phases) if each == phase], dtype=np.intp)
        for phase in sorted(set(phases))
    }


def per_run_overhead_s(setting: Setting) -> Value:
    """Return the seconds per run outside the rows.

    ``per_run + steps sequences per_sequence + calls per_subgraph + prompts per_prompt``: fixed
    overhead of a run, host time per sequence of each step, entries into control-flow bodies, and
    the preparation of a prompt's shapes.
    """
    if setting.bare:
        return 0.0
    steps = 1.0 if setting.steps is None else 1.0 + setting.steps
    once = per_run_s(setting.facts) + prompt_s(setting) + subgraph_calls_s(setting)
    return once + steps * sequence_s(setting)


def subgraph_calls_s(setting: Setting) -> Value:
    """Return the seconds for entering the control-flow bodies of a run."""
    return 0.0 if setting.bare else _charge(setting.facts, "per_subgraph", setting.calls)


def prompt_s(setting: Setting) -> Value:
    """Return the seconds for the passes over prompts of a run, in addition to their operators."""
    return 0.0 if setting.bare else _charge(setting.facts, "per_prompt", setting.prompts)


def sequence_s(setting: Setting) -> Value:
    """Return the host seconds for the sequences of a step."""
    return 0.0 if setting.bare else _charge(setting.facts, "per_sequence", setting.sequences)
