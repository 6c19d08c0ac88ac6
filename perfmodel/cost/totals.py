"""From rows to the network: weighted sums over the operator table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import activation_bytes, stored_bytes
from perfmodel.cost.setting import Setting
from perfmodel.workload.lower import OperatorTable


def total(count: Value, values: Value) -> Value:
    """Return ``sum(count * values)`` over the rows, shape ``(points,)`` or ``(1,)``."""
    if count.shape[1] == 1:
        return (count.T @ values)[0]
    return (count * values).sum(axis=0)


def network_totals(
    table: OperatorTable, setting: Setting, row_s: Value, traffic: Mapping[str, Value],
    operations: Mapping[str, Value],
) -> dict[str, Value]:  # fmt: skip
    """Return the sums that predictions are made of; each of shape ``(points,)`` or a number.

    Keys: ``latency_s``, ``macs``, ``vector_ops``, ``weight_bytes``, ``kv_bytes``,
    ``activation_bytes``, ``traffic LEVEL``, ``operations FORMAT``, ``phase NAME``.
    """
    count = table.count
    per_run = 0.0 if setting.bare else setting.fact("runtime.per_run", 0.0)
    out: dict[str, Value] = {"latency_s": total(count, row_s) + per_run}
    macs = table.macs
    if setting.causal_skips_masked:
        macs = macs - table.masked_macs
    out["macs"] = total(count, macs)
    out["vector_ops"] = total(count, table.vector_ops)
    out["weight_bytes"] = stored_bytes(table, setting, "weight")
    out["kv_bytes"] = stored_bytes(table, setting, "kv")
    out["activation_bytes"] = activation_bytes(table, setting)
    for level, moved in traffic.items():
        out[f"traffic {level}"] = total(count, moved)
    for name, done in operations.items():
        out[f"operations {name}"] = total(count, done)
    phases = {row.phase for row in table.rows}
    if len(phases) > 1:
        for phase in sorted(phases):
            rows = np.array([i for i, row in enumerate(table.rows) if row.phase == phase])
            part = count[rows] if count.shape[0] == len(table.rows) else count
            out[f"phase {phase}"] = total(part, row_s[rows])
    return out
