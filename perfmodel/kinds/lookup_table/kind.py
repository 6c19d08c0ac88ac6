"""The kind `lookup_table`: what a table of operators costs on tables of sums in fabric.

Products by weights that the tables take are looked up; attention runs on units of its own; other
products at the peak of their format. Elementwise work that follows a product in its kernel is done
on the way out. On a CPU the same law is a runtime's: `perfmodel.kinds.unpack.issue_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, outside_bytes, unmasked
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.lookup_table.counts import (
    blocks,
    engine_clocks,
    index_bits,
    packed_bytes,
    passes,
    uram_blocks,
    uram_columns,
)
from perfmodel.kinds.lookup_table.spec import LookupTableEngine
from perfmodel.kinds.operand_bits import element_bits, without_nests
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import bandwidth, executed_macs, vector_rates, with_latency
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.slots import family_of
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

__all__ = ["KIND", "LookupTable", "LookupTableEngine"]

_QIAO = "Qiao et al., TeLLMe v2, arXiv 2510.15926"


class LookupTable:
    """Time of a row = weights into their buffer, then the slower of look-ups and all its bytes."""

    name = "lookup_table"
    needs_nests = True
    network_wide: frozenset[str] = frozenset()
    equations: Mapping[str, Equation] = {
        "matrix": Equation("2 * macs / peak", "products whose weights the tables do not take"),
        "look_up": Equation("cycles / clock", _QIAO),
        "attention": Equation("macs / (attention_macs * clock)", _QIAO),
        **BESIDE_PRODUCTS,
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        nests = table.nests
        if nests is None or not len(nests):
            return ROOFLINE.cost(table, setting)
        need_engine(setting, "takes", self.name, "has no tables to look products up in")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        main, clock = setting.levels[-1], facts[f"engines.{setting.engine}.clock"]
        units, rate = facts[head + "units"], bandwidth(setting, setting.levels[-1])
        rows = RowSums(nests.row, len(table.rows), xp)
        looked, attending = _masks(nests, setting)
        kept = unmasked(table, setting)
        found = _counts(table, nests, setting)
        cycles = rows(found["cycles"] * nests.times * looked) / units
        attention = rows(nests.macs * kept * attending) / units
        macs = executed_macs(table, setting)
        rest = macs * (1.0 - _of_rows(table, nests, looked | attending))
        rates, operations, executed, unsupported = matrix_rates(table, rest, setting)
        alone = without_nests(table, nests)
        elementwise = table.vector_ops * alone
        compute = {
            "matrix": 2.0 * rest / rates,
            "look_up": cycles / clock,
            "attention": attention / (facts[head + "attention_macs"] * clock),
            "vector": elementwise / vector_rates(table, setting),
        }
        weights = rows(found["weight_bytes"] * nests.times * looked)
        others = rows(found["other_bytes"] * nests.times)
        moved = weights + others + outside_bytes(table, setting)
        memory = {main: with_latency(moved / rate, moved, setting, main)}
        cold = None if setting.choices["double_buffered"] else weights / rate
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap, cold)
        name = next(p for p in facts if p.startswith(head + "peaks."))[len(head) + 6 :]
        by_tables = 2.0 * (macs - rest)
        operations[name] = operations[name] + by_tables if name in operations else by_tables
        operations["vector"] = table.vector_ops
        detail = {
            "cycles": cycles,
            "passes": rows(found["passes"] * looked * (nests.times + 0.0 * kept)),
            "look_ups": rows(found["look_ups"] * nests.times * looked),
            "tables_built": rows(found["tables"] * nests.times * looked),
            "index_bytes": weights,
            "weights_s": weights / rate,
        }
        return Terms(
            compute, memory, overhead, {main: moved}, row_s, operations, executed, unsupported,
            cold, work={"matrix": 2.0 * rest, "look_up": cycles, "attention": attention,
                        "vector": elementwise}, detail=detail,
            traffic_model="every operand once; weights of tables as vectors of indices",
            resources=_resources(nests, looked, setting),
        )  # fmt: skip


def _masks(nests: Nests, setting: Setting) -> tuple[Value, Value]:
    """Return which nests the tables take, and which are attention; ``(nests, 1)``."""
    families = ("ternary",) if setting.choices["takes"] == "ternary" else ("ternary", "int")
    attending = np.array([kind == "attention" for kind in nests.kind])[:, None]
    looked = np.array(
        [slots[1].startswith(("weight", "=")) and family_of(setting, slots[1]) in families
         for slots in nests.slots]
    )[:, None]  # fmt: skip
    return looked & ~attending, attending


def _counts(table: OperatorTable, nests: Nests, setting: Setting) -> dict[str, Value]:
    """Return clocks, look-ups, tables and bytes of each nest as if it were looked up."""
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    ternary, relaxed = setting.choices["takes"] == "ternary", setting.relaxed
    group, tables = facts[head + "group"], facts[head + "tables"]
    slots = [tuple(s[i] for s in nests.slots) for i in range(3)]
    bytes_of = [slot_bytes(s, table.points, setting) for s in slots]
    there = (nests.access >= 0).astype(float)
    planes = passes(element_bits(slots[1], table.points, setting), ternary=ternary, relaxed=relaxed)
    k = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    n = nests.out_channels
    m = nests.batch * nests.out_rows * nests.out_columns
    cycles = nests.groups * engine_clocks(
        m, k, n, planes, group=group, tables=tables, reads=facts[head + "reads"],
        build=facts[head + "build"], relaxed=relaxed,
    )  # fmt: skip
    index = index_bits(group, ternary=ternary, relaxed=relaxed)
    weights = packed_bytes(
        k, n, group=group, tables=tables, transfer=facts[head + "transfer"], index=index,
        relaxed=relaxed,
    )  # fmt: skip
    looked, _ = _masks(nests, setting)
    inputs = nests.batch * nests.in_channels * nests.in_rows * nests.in_columns * bytes_of[0]
    stored = k * n * bytes_of[1] * there[:, 1:2] * (1.0 - looked)
    outputs = m * n * bytes_of[2]
    built = blocks(k, group, relaxed=relaxed)
    return {
        "cycles": cycles,
        "passes": planes,
        "look_ups": nests.groups * m * n * planes * built,
        "tables": nests.groups * m * built + 0.0 * planes,
        "weight_bytes": nests.groups * planes * weights * there[:, 1:2],
        "other_bytes": nests.groups
        * (inputs * there[:, :1] + stored + outputs * there[:, 2:] + 0.0 * xp.asarray(0.0)),
    }


def _of_rows(table: OperatorTable, nests: Nests, mask: Value) -> Value:
    """Return 1 for rows with a nest of the mask, else 0; ``(rows, 1)``."""
    out = np.zeros((len(table.rows), 1))
    out[nests.row[mask[:, 0]]] = 1.0
    return out


def _resources(nests: Nests, looked: Value, setting: Setting) -> dict[str, Value]:
    """Return what the design takes of its part, for the largest matrix of the network."""
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    out: dict[str, Value] = {}
    tables, reads, group = (facts[head + n] for n in ("tables", "reads", "group"))
    if head + "lut_a_read" in facts:
        used = tables * reads * facts[head + "lut_a_read"] + facts[head + "lut_beside"]
        out["lut"] = xp.atleast_1d(xp.asarray(used))
    if head + "dsp" in facts:
        out["dsp"] = xp.atleast_1d(xp.asarray(facts[head + "dsp_used"]))
    if head + "uram" in facts and looked.any():
        k = nests.in_channels * nests.kernel_rows * nests.kernel_columns
        n, wide = nests.out_channels + 0.0 * k, group * tables
        index = index_bits(group, ternary=setting.choices["takes"] == "ternary")
        x, y = (blocks(side, wide) * wide for side in (xp.maximum(k, n), xp.minimum(k, n)))
        each = uram_blocks(
            x, y, group=group, tables=tables, reads=reads,
            columns=uram_columns(tables, index), copies=facts[head + "uram_copies"],
        )  # fmt: skip
        out["uram"] = xp.max(xp.where(looked, each, 0.0), axis=0)
    return out


KIND = LookupTable()
