"""The hierarchical roofline: the basic kind of hardware, and the fallback of all others.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; several levels as in Ilic, Pratas and Sousa, "Cache-aware
Roofline model", IEEE CAL 13(1), 2014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.compose import compose
from perfmodel.cost.residency import cold_weight_bytes, level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.distinct_columns import Places, places_of
from perfmodel.kinds.kernel_effects import (
    accumulator_factor,
    compute_format_of,
    expanded_bytes,
    issue_rate,
    pipeline_share,
    power_limited,
    unpack_times,
)
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.rates import (
    alike,
    bandwidth,
    best_format,
    copy_shares,
    efficiency,
    executed_format,
    executed_macs,
    memory_seconds,
    pair_format,
    sparse_speedup,
    units_in_step,
    vector_rates,
)
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable

_WILLIAMS = "Williams et al., CACM 52(4), 2009"
_LLAMA_CPP = "ggml-org/llama.cpp, ggml_cuda_op_mul_mat_cublas"
_ILIC = "Ilic et al., IEEE CAL 13(1), 2014"


class Roofline:
    """Time of a row = max of arithmetic and each memory level, plus launch."""

    name = "roofline"
    any_algorithm = True
    traceable = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation("2 * macs / (peak * efficiency)", _WILLIAMS),
        "vector": Equation("vector_ops / (vector_peak * efficiency)", _WILLIAMS),
        "expand": Equation("micro_batches * weights * (packed + 2) / bandwidth", _LLAMA_CPP),
        "memory": Equation("latency + bytes / bandwidth", _ILIC),
        "launch": Equation("kernels * overhead", "runtime or device spec"),
        "layer": Equation(
            "layers * (per_layer + per_layer_clocks / clock + per_layer_doubling * log2(units))"
            " * host_slowdown",
            "runtime spec",
        ),
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        macs = executed_macs(table, setting)
        rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
        vector = table.vector_ops / vector_rates(table, setting)
        compute = {"matrix": (2.0 * macs) / rates, "vector": vector}
        operations["vector"] = table.vector_ops
        work: dict[str, Value] = {}
        self.further(table, setting, compute, work)
        expanded = None if setting.bare else expanded_bytes(table, setting)
        if expanded is not None:
            work["expand"] = expanded
            compute["expand"] = expanded / bandwidth(setting, setting.weights_memory)
        traffic = level_traffic(table, setting)
        memory = memory_seconds(traffic, setting, copy_shares(table, setting))
        unpack = None if setting.bare else unpack_times(table, setting)
        if unpack is not None:
            # The memory that stores the weights is limited by the units that unpack them.
            p = setting.runtime.pnorm
            store = setting.weights_memory
            memory[store] = (memory[store] ** p + unpack**p) ** (1.0 / p)
        overhead = launch_times(table, setting)
        cold: Value = None
        if setting.overlap == "cold_weights_add":
            cold_bytes = cold_weight_bytes(table, setting)
            cold = (
                None
                if cold_bytes is None
                else cold_bytes / bandwidth(setting, setting.weights_memory)
            )
        share = None if setting.bare else pipeline_share(table, setting)
        if share is not None:
            parts = (compute, memory, overhead)
            compute, memory, overhead = (
                {name: seconds * share for name, seconds in terms.items()} for terms in parts
            )
            cold = None if cold is None else cold * share
        pnorm = None if setting.bare else setting.runtime.overlap_pnorm
        row_s = compose(compute, memory, overhead, setting.overlap, cold, pnorm)
        if table.executed_macs is not None:
            work["matrix"] = 2.0 * macs
        terms = Terms(
            compute, memory, overhead, traffic, row_s, operations, executed, unsupported, cold, work
        )
        return with_streams(table, setting, terms)

    def further(
        self,
        table: OperatorTable,
        setting: Setting,
        compute: dict[str, Value],
        work: dict[str, Value],
    ) -> None:
        """Add arithmetic terms, and their work; a hook for subclasses, empty here."""


#: Terms that array kinds leave to the roofline: work without products, and overheads.
BESIDE_PRODUCTS: Mapping[str, Equation] = {
    name: Roofline.equations[name] for name in ("vector", "memory", "launch", "layer")
}


def launch_times(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return seconds of launches and of layers; empty where the machine states neither."""
    if setting.bare:
        return {}
    out: dict[str, Value] = {}
    runtime, engine = setting.runtime, setting.engine
    each: Value = or_else(engine.launch_overhead, 0.0) + runtime.per_operator
    if is_array(each) or each:
        out["launch"] = table.kernels * each * runtime.host_slowdown
    layer, clocks, clock = runtime.per_layer, runtime.per_layer_clocks, engine.clock
    if clock is not None and (is_array(clocks) or clocks):
        layer = layer + clocks / clock
    doubling: Value = runtime.per_layer_doubling
    if is_array(doubling) or doubling:
        layer = layer + doubling * setting.xp.log2(engine.units)
    slowdown: Value = runtime.host_slowdown
    if is_array(slowdown) or slowdown != 1.0:
        layer = layer * slowdown
    if is_array(layer) or layer:
        out["layer"] = table.layers * layer
    return out


def matrix_rates(
    table: OperatorTable, macs: Value, setting: Setting
) -> tuple[Value, dict[str, Value], dict[str, str], tuple[str, ...]]:
    """Return operations per second of each row, and the operations of each executed format.

    Returns
    -------
    rates
        One number, or an array of shape ``(rows, points)``.
    operations
        Format -> operations (two per MAC), shape ``(rows, points)``.
    executed
        Requested compute format -> format that the engine runs it in.
    unsupported
        Requested formats without any executable form; such rows run at the engine's best rate.
    """
    # Tensors with the common format of a mixture need no separate rate.
    separate_tags = tuple(tag for tag, _ in setting.precision.weights.overrides)
    keys = table.once(
        ("matrix_rates", separate_tags), lambda: _matrix_rows(table.rows, separate_tags)
    )
    by_value: list[tuple[Places, str, Value]] = []
    executed: dict[str, str] = {}
    unsupported: list[str] = []
    for (kind, pair), rows in keys.items():
        wanted = compute_format_of(setting, pair[0]) or pair_format(setting, pair)
        name = executed_format(setting, wanted)
        if not name:
            unsupported.append(wanted)
            name = best_format(setting)
        executed[wanted] = name
        rate: Value = setting.engine.peaks[name]
        most = rate if setting.bare else rate * accumulator_factor(setting, name)
        counted = None if setting.bare else issue_rate(setting, pair[0], most)
        if counted is not None:
            rate = counted * (setting.runtime.efficiency.get("moe", 1.0) if kind == "moe" else 1.0)
        elif not setting.bare:
            rate = most * efficiency(setting, kind, pair)
            rate = power_limited(setting, rate) * units_in_step(setting)
        rate = rate * sparse_speedup(setting, pair)
        by_value.append((rows, name, rate))
    if not by_value:
        return 1.0, {}, executed, ()
    formats = {name for _, name, _ in by_value}
    rates = [rate for _, _, rate in by_value]
    if len(formats) == 1:
        operations: dict[str, Value] = {next(iter(formats)): 2.0 * macs}
    else:
        operations = {}
        for name in formats:
            mask = np.zeros((len(table.rows), 1))
            for rows, other, _ in by_value:
                if other == name:
                    mask[rows] = 2.0
            operations[name] = macs * mask
    first = rates[0]
    if all(alike(rate, first) for rate in rates):
        return first, operations, executed, tuple(dict.fromkeys(unsupported))
    # Rows without products have no operations to divide by a rate.
    per_row: list[Value] = [1.0] * len(table.rows)
    for rows, _, rate in by_value:
        for i in rows:
            per_row[i] = rate
    return (
        by_row(per_row, table.points, setting.xp),
        operations,
        executed,
        tuple(dict.fromkeys(unsupported)),
    )


def _matrix_rows(
    rows: Sequence[OperatorRow], apart: Sequence[str]
) -> dict[tuple[str, tuple[str, str]], Places]:
    """Return kind and pair -> rows; tags of weights without a separate format are dropped."""

    def slot(name: str) -> str:
        role, _, tag = name.partition(":")
        return name if "=" in name or tag in apart else role

    return places_of(
        (row.kind, (slot(row.pair[0]), slot(row.pair[1]))) if row.products else None for row in rows
    )


KIND = Roofline()
