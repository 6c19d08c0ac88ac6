"""The kind `npu`: cost of a table on a vendor's neural processor.

An operator's time is the maximum of its multiplications and its activation traffic, plus a constant
per operator; weights are loaded in parallel or before. Constants are those of the runtime's
kernels; a class without any is costed at the runtime's efficiency, as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import access_bytes, stored_bytes, sum_by_row
from perfmodel.cost.residency import level_traffic, usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.kinds.array import Counts, composed
from perfmodel.kinds.npu.functions import extra_passes, function_times, result_bytes, results
from perfmodel.kinds.npu.rates import by_class, kernel_constant, padded_macs, stated
from perfmodel.kinds.npu.spec import NeuralProcessor
from perfmodel.kinds.npu.weights import loaded_share
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import (
    SecondsExpression,
    bandwidth,
    efficiency,
    executed_macs,
    vector_rates,
    with_latency,
)
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import ALWAYS_MAIN, WEIGHT, OperatorTable


class NeuralProcessors:
    """Time of a row = max of arithmetic and memory, plus terms that overlap with nothing."""

    name = "npu"
    traceable = True
    spec = NeuralProcessor
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory", "weights"})
    equations: Mapping[str, Equation] = equations_of(padded_macs, loaded_share, function_times)

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        if setting.bare or table.accesses is None:
            return ROOFLINE.cost(table, setting)
        engine = setting.engine_as(NeuralProcessor, self.name)
        macs = executed_macs(table, setting)
        rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
        steps = 2.0 * padded_macs(table, setting, engine)
        main, store = setting.main_memory, setting.weights_memory
        share = stated(table, setting, lambda kernel: kernel.bandwidth_share, 1.0)
        traffic, loaded = _traffic(table, setting, engine)
        activations = traffic[main]
        arrival = loaded / bandwidth(setting, store)
        memory: dict[str, Value] = {}
        with_weights = engine.weights_overlap and store == main
        for level, size in traffic.items():
            seconds = size / bandwidth(setting, level)
            if level == main:
                seconds = (seconds + arrival if with_weights else seconds) / share
            memory[level] = with_latency(seconds, size, setting, level)
        overhead: dict[str, Value] = {}
        if not engine.weights_overlap:
            overhead["weights"] = arrival
        elif store != main:
            memory[store] = arrival
        further = extra_passes(table, setting)
        if further is not None:
            traffic[main] = traffic[main] + further
            overhead["functions"] = further / bandwidth(setting, main)
        beside = function_times(table, setting)
        if beside is not None:
            overhead["functions"] = overhead.get("functions", 0.0) + beside
        traffic[store] = traffic[store] + loaded if store in traffic else loaded
        vector = table.vector_ops / _vector_rates(table, setting, engine)
        counts = Counts(
            {
                "matrix": (steps, rates * _kernel_rate_factors(table, setting, engine)),
                "vector": (None, None),
            },
            traffic,
            {
                "peak_s": steps / rates,
                "loaded_bytes": loaded,
                "activation_bytes": activations,
                "results": results(table, setting),
                "result_bytes": result_bytes(table, setting),
            },
            seconds={"vector": vector},
            memory=memory,
            overhead=overhead,
            operations=(operations, executed, unsupported),
            expressions={main: SecondsExpression(memory[main], traffic[main])},
            launches=_launches(table, setting, engine),
        )
        return composed(table, setting, counts)


def _kernel_rate_factors(table: OperatorTable, setting: Setting, engine: NeuralProcessor) -> Value:
    """Return the factor from a row's rate under an efficiency to that of its kernels."""
    units = engine.units

    def share(row: OperatorRow) -> Value:
        factor: Value = 1.0
        if row.products:
            own = kernel_constant(setting, row, lambda kernel: kernel.peak_share)
            if own is not None:
                factor = own / efficiency(setting, row.kind, row.pair)
            cores = kernel_constant(setting, row, lambda kernel: kernel.cores)
            if cores is not None:
                factor = factor * setting.xp.minimum(cores, units) / units
        return factor

    return by_class(table, setting, share)


def _vector_rates(table: OperatorTable, setting: Setting, engine: NeuralProcessor) -> Value:
    """Return vector operations per second of each row: the engine's, or those of its host."""
    rates = vector_rates(table, setting)
    # 0 means the rate of the engine.
    host_rates = stated(table, setting, lambda kernel: kernel.host_rate, 0.0)
    if setting.xp is np and not np.any(host_rates):
        return rates
    return setting.xp.where(host_rates > 0.0, host_rates / engine.host_slowdown, rates)


def _launches(table: OperatorTable, setting: Setting, engine: NeuralProcessor) -> dict[str, Value]:
    out = launch_times(table, setting)
    own = stated(table, setting, lambda kernel: kernel.launch, 0.0)
    if not (setting.xp is np and not np.any(own)):
        out["launch"] = out.get("launch", 0.0) + table.kernels * own
    return {name: seconds * engine.host_slowdown for name, seconds in out.items()}


def _traffic(
    table: OperatorTable, setting: Setting, engine: NeuralProcessor
) -> tuple[dict[str, Value], Value]:
    """Return level -> bytes excluding weight loads, and bytes of weights loaded.

    Weights pass through the levels between their memory and the engine like other data; loads from
    their own memory follow the engine's policy.
    """
    access = table.accesses
    assert access is not None
    main, store = setting.main_memory, setting.weights_memory
    traffic = dict(level_traffic(table, replace(setting, warm=False)))
    accessed = access_bytes(table, setting)
    weights = sum_by_row(accessed * (access.tensor == WEIGHT)[:, None], table, setting)
    if engine.pipelined:
        outside = accessed * (access.tensor == ALWAYS_MAIN)[:, None]
        traffic = {level: 0.0 * seen for level, seen in traffic.items()}
        traffic[main] = sum_by_row(outside, table, setting)
        if store != main:
            del traffic[store]
    elif store == main:
        traffic[main] = setting.xp.maximum(traffic[main] - weights, 0.0)
    else:
        del traffic[store]
    near = (*setting.levels, store)[: -1 if store == main else None][-2:]
    if not setting.warm or engine.weights == "streamed" or len(near) < 2:
        return traffic, weights
    taken = engine.operator_room * setting.xp.sum(table.count, axis=0)
    room = setting.xp.maximum(usable_capacity(setting, near[0]) - taken, 0.0)
    stored = stored_bytes(table, setting, "weight")
    return traffic, weights * loaded_share(engine.weights, stored, room)


KIND = NeuralProcessors()
