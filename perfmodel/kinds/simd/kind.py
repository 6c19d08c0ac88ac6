"""The kind `simd`: seconds of the rows of an operator table on CPU cores with vector units.

A roofline (Williams, Waterman and Patterson, CACM 52(4), 2009) with two additions: products cost
the clocks of the loops that their runtime's kernels execute (Georganas et al., SC 2018), and cold
weights delay arithmetic. In seconds, for one row::

    t_matrix = clocks / f                             products, `nest_clocks`
    t_vector = operations / rate                      elementwise work, `vector_seconds`
    t_level  = bytes / bandwidth + latency            each memory level
    t_body   = max(t_matrix + t_vector, t_1, ..., t_m)
    t_load   = W / (rate_W share)                     all weights, from where they are stored
    t_cold   = missed max(t_load - t_body, (1 - hidden) t_load)
    t_launch = kernels (overhead + lines latency)     dispatch by the runtime
    t_row    = t_body + t_cold + t_launch

with the clock f in Hz, rates in operations per second, bandwidths in bytes per second, and W the
bytes of the row's weights; without overlap, ``t_body`` is the sum of its terms. Tables without
accesses, ideal ("bare") runs and runtimes that state no constants of kernels are costed by the kind
`roofline`. Measurements behind the constants are in ``docs/cpu.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums, unmasked
from perfmodel.cost.operand_bytes import footprint_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import SecondsExpression, copy_shares, with_latency
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.kernels import KERNEL_OF, nest_clocks, share_on_image
from perfmodel.kinds.simd.spec import Simd
from perfmodel.kinds.simd.streams import Streams, cache_miss_share, level_bandwidth, streams
from perfmodel.kinds.simd.vector import by_kernel, vector_seconds
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.operator_table import OperatorTable


class SimdCores:
    """Time of a row = max of arithmetic and each memory level, plus cold weights and launches."""

    name = "simd"
    traceable = True
    spec = Simd
    any_algorithm = True
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory", "cold_weights", "launch"})
    equations: Mapping[str, Equation] = {
        **equations_of(nest_clocks, cache_miss_share),
        **{name: ROOFLINE.equations[name] for name in ("vector", "memory", "layer")},
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; the equations are at the top of this module.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        if setting.bare or table.accesses is None:
            return ROOFLINE.cost(table, setting)
        engine = setting.engine_as(Simd, self.name)
        if all(setting.kernel(name, SimdKernel).tile_rows is None for name in KERNEL_OF.values()):
            return ROOFLINE.cost(table, setting)
        products = _products(table, setting, engine)
        compute = {"matrix": products.seconds, "vector": vector_seconds(table, setting)}
        level_bytes = streams(table, setting)
        memory = _memory_seconds(table, setting, level_bytes, products.seconds)
        rule = "none" if setting.overlap == "none" else "full"
        body = compose(compute, memory, {}, rule)
        overhead = {
            "cold_weights": _cold_weight_seconds(table, setting, level_bytes, body),
            **_launch_seconds(table, setting),
        }
        terms = Terms(
            compute=compute,
            memory=memory,
            overhead=overhead,
            traffic=level_bytes.traffic,
            row_s=compose(compute, memory, overhead, rule),
            operations={**products.operations, "vector": table.vector_ops},
            executed=products.executed,
            unsupported=products.unsupported,
            work=products.work,
            expressions={
                level: SecondsExpression(seconds, level_bytes.charged[level])
                for level, seconds in memory.items()
            },
            left_out=products.skipped,
        )
        return with_streams(table, setting, terms)


class _Products(NamedTuple):
    """Time and operations of the products of each row; the last five fields are as in `Terms`."""

    seconds: Value
    work: dict[str, Value]
    operations: dict[str, Value]
    executed: dict[str, str]
    unsupported: tuple[str, ...]
    skipped: Value = None


def _products(table: OperatorTable, setting: Setting, engine: Simd) -> _Products:
    """Return the time of products, and the operations that are executed.

    ``t_matrix = clocks / f`` for rows with a nest that has a kernel, clocks summed over the row's
    nests; ``2 macs / rate``, as on a roofline, for all other rows. Kernels that skip taps on the
    padding execute only the share of the operations that is on the image.
    """
    nests, xp = table.nests, setting.xp
    macs = table.macs - table.masked_macs if setting.causal_skips_masked else table.macs
    rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
    at_peak: Value = (2.0 * macs) / rates
    if nests is None or not len(nests):
        return _Products(at_peak, {}, operations, executed, unsupported)
    nest_sums, has_kernel = nest_clocks(table, setting, engine)
    rows = RowSums(nests.row, len(table.rows), xp)
    clocks = rows(nest_sums * unmasked(table, setting))
    modelled = np.zeros((len(table.rows), 1), dtype=bool)
    modelled[nests.row[has_kernel]] = True
    nest_macs = nests.macs * nests.times
    on_image = rows(nest_macs * share_on_image(nests)) / xp.maximum(rows(nest_macs), 1.0)
    on_image = xp.where(modelled, on_image, 1.0)
    return _Products(
        xp.where(modelled, clocks / setting.clock, at_peak),
        {"matrix": xp.where(modelled, clocks, 2.0 * macs)},
        {name: amount * on_image for name, amount in operations.items()},
        executed,
        unsupported,
        skipped=2.0 * macs * (1.0 - on_image),
    )


def _memory_seconds(
    table: OperatorTable, setting: Setting, level_bytes: Streams, matrix_seconds: Value
) -> dict[str, Value]:
    """Return ``t_level = bytes / (bandwidth share) + latency`` in seconds, for each level.

    The share of the bandwidth is that which copies reach. Loads from the nearest cache are part of
    the clocks of a product's kernel, so that this level takes no time in rows with products.
    """
    share = copy_shares(table, setting)
    nearest = setting.nearest_memory
    memory: dict[str, Value] = {}
    for level, size in level_bytes.charged.items():
        seconds = size / level_bandwidth(setting, level) / share
        seconds = with_latency(seconds, size, setting, level)
        if level == nearest and len(level_bytes.charged) > 1:
            seconds = setting.xp.where(matrix_seconds > 0, 0.0, seconds)
        memory[level] = seconds
    return memory


def _cold_weight_seconds(
    table: OperatorTable, setting: Setting, level_bytes: Streams, body: Value
) -> Value:
    """Return the seconds by which loading cold weights delays a row.

    ``t_cold = missed max(t_load - t_body, (1 - hidden) t_load)`` with ``t_load = W / (rate share)``
    for W bytes of weights at `rate` bytes per second. Here `missed` is the share of the weights
    that no cache holds, and `hidden` the share of the load that a kernel overlaps with its
    arithmetic, which otherwise waits for the weights; 1 for runtimes with another overlap rule than
    ``cold_weights_add``. A kernel reaches only its `share` of main memory's bandwidth, whereas a
    drive writes into memory without the core, at its full rate.
    """
    xp = setting.xp
    rate = level_bandwidth(setting, setting.weights_memory)
    from_main = setting.weights_memory == setting.main_memory
    share = by_kernel(table, setting, lambda kernel: kernel.bandwidth_share) if from_main else 1.0
    hidden = by_kernel(table, setting, lambda kernel: kernel.hidden_share)
    load = level_bytes.weights / (rate * share)
    if setting.overlap != "cold_weights_add":
        return level_bytes.missed * xp.maximum(load - body, 0.0)
    return level_bytes.missed * xp.maximum(load - body, (1.0 - hidden) * load)


def _launch_seconds(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return ``t_launch = kernels (overhead + lines wait)``, seconds to dispatch the kernels.

    A dispatched operator touches `lines` cache lines of the runtime's state, which a run of the
    network evicts like any other data. A line waits for the latency of the cache where it is
    found: ``wait = sum over caches of the share found there times the cache's latency`` in warm
    runs, the latency of the last cache otherwise.
    """
    out = launch_times(table, setting)
    lines: Value = setting.runtime.lines_per_operator
    if not is_array(lines) and not lines:
        return out
    caches = setting.levels[:-1]
    wait: Value = or_else(setting.memory(caches[-1]).latency, 0.0) if caches else 0.0
    if setting.warm and len(caches) > 1:
        footprint = setting.xp.asarray(footprint_bytes(table, setting), dtype=float)
        footprint = footprint.reshape(1, -1)
        wait, reaching = 0.0, 1.0
        for inner, level in pairwise(caches):
            # State survives between runs in the nearest cache that holds all data.
            missing = reaching * cache_miss_share(setting, inner, footprint)
            missed_next = (
                0.0
                if level == caches[-1]
                else missing * cache_miss_share(setting, level, footprint)
            )
            wait = wait + (missing - missed_next) * or_else(setting.memory(level).latency, 0.0)
            reaching = missing
    out["launch"] = out.get("launch", 0.0) + table.kernels * lines * wait
    return out


KIND = SimdCores()
