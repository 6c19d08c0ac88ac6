"""The kind `hardwired`: cost of a table on chips with hardwired weights.

Weights cost area but no time. A token's time is the sum of streaming vectors into matrices, of
collectives between chips, of attention over its cache, and of non-linear functions. Tokens fill the
slots of the pipeline in parallel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.area import SiliconBlock
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.operand_bytes import stored_bytes
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import total
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.hardwired.spec import HardwiredChips
from perfmodel.kinds.hardwired.stages import cache_stall, crowding, link_seconds, matrix_clocks
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable


class Hardwired(ArrayKind[HardwiredChips]):
    """Time of a row = latency of one token, longer where tokens outnumber pipeline slots."""

    name = "hardwired"
    traceable = True
    spec = HardwiredChips
    laws = (matrix_clocks, link_seconds, cache_stall)
    network_wide = frozenset({"slots", "stall"})
    prices_operations = True

    @cached_property
    def equations(self) -> Mapping[str, Equation]:
        """Term -> equation and source."""
        beside = {name: ROOFLINE.equations[name] for name in ("launch", "layer")}
        return {**equations_of(*self.laws), **beside}

    def structure(self, engine: HardwiredChips, weight_bytes: Value) -> dict[str, SiliconBlock]:
        """Return the blocks of all chips, and the metal of the network's weights."""
        areas = {name: engine.units * area for name, area in engine.block_areas.items()}
        areas["weights"] = 8.0 * weight_bytes * engine.weight_area
        return {name: SiliconBlock(stated_m2=area) for name, area in areas.items()}

    def counts(self, run: NestRun, engine: HardwiredChips) -> Counts:
        """Return the clocks of a vector in every stage, and the traffic of the rows."""
        table, nests, setting = run.table, run.nests, run.setting
        rows = np.zeros((len(table.rows), 1))
        traffic = _traffic(table, setting)
        clocks, outputs = _matrices(run, engine)
        return Counts(
            {},
            traffic,
            {"metal_m2": _metal(run) * engine.weight_area},
            # Memory time is part of the stalls.
            memory=dict.fromkeys(traffic, rows),
            traffic_model="keys, values, inputs and outputs once; weights are wires",
            columns={
                "layers": table.layers,
                "cache": _cache_elements(run),
                "sequences": setting.sequences + rows,
            },
            nest_columns={
                "vectors": nests.positions * np.ones((len(nests), 1)),
                "clocks": clocks,
                "outputs": outputs,
            },
        )

    def combined(self, terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
        """Return the seconds of a token in every stage of the pipeline, and its stalls."""
        assert table.nests is not None
        engine, columns, xp = setting.engine_as(self.spec, self.name), terms.columns, setting.xp
        rows = RowSums(table.nests.row, len(table.rows), xp)
        tokens = _tokens(terms, table, xp)
        slots = _pipeline_slots(columns["layers"], table, engine, xp)
        crowd = crowding(tokens, slots)
        width = setting.precision.bits("activation") / 8.0
        link = crowd * link_seconds(
            columns["layers"],
            rows(terms.nest_columns["outputs"]) * width,
            collectives=engine.collectives_per_layer,
            latency=engine.collective_latency,
            bandwidth=engine.link_bandwidth,
            cut=engine.grid_columns,
        )
        lanes, cache = engine.units * engine.cache_elements_per_clock, columns["cache"]
        first = _first_readers(table, table.nests)
        work = {
            "matrix": rows(terms.nest_columns["clocks"] * first) * crowd,
            "attention": cache / tokens * crowd / lanes,
            "nonlinear": columns["layers"] * crowd,
        }
        nonlinear_s = work["nonlinear"] * engine.nonlinear_time
        spent = (work["matrix"] + work["attention"]) / setting.clock + link + nonlinear_s
        busy = total(table.count, spent)
        stall = _cache_stall_seconds(terms, table, setting, engine, busy, xp.max(crowd, axis=0))
        compute = {
            "matrix": work["matrix"] / setting.clock,
            "attention": work["attention"] / setting.clock,
            "link": link,
            "nonlinear": nonlinear_s,
            "stall": stall * (cache / xp.maximum(total(table.count, cache), 1.0)),
        }
        row_s = compose(compute, terms.memory, terms.overhead, setting.overlap)
        watts = {name: engine.units * power for name, power in engine.block_powers.items()}
        watts["supply"] = sum(watts.values()) * (engine.supply_factor - 1.0)
        slots_filled = xp.minimum(tokens / slots, 1.0) + 0.0 * spent
        return replace(
            terms,
            compute=compute,
            row_s=row_s,
            work=work,
            energy={name: row_s * power for name, power in watts.items()},
            powered=tuple(watts),
            detail={"slots_filled": slots_filled, **terms.detail},
        )

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; the powers include those of memories."""
        terms = super().cost(table, setting)
        if terms.energy:
            terms.priced = (
                *(f"operations {name}" for name in terms.operations),
                *(f"traffic {name}" for name in terms.traffic),
            )
        return terms


def _is_weight_matrix(nests: Nests) -> Value:
    """Return 1 for weight matrices, 0 for products of two activations."""
    return np.array([s[1].startswith("weight") for s in nests.slots], dtype=float)[:, None]


def _is_expert(nests: Nests) -> Value:
    """Return 1 for experts, each located on one chip, 0 for matrices split over chips."""
    return np.array([kind == "moe" for kind in nests.kind], dtype=float)[:, None]


def _tokens(terms: Terms, table: OperatorTable, xp: Any) -> Value:
    """Return vectors in flight in each row: its own, else those of the matrices of its phase."""
    nests, vectors = table.nests, terms.nest_columns["vectors"]
    assert nests is not None
    dense = (_is_weight_matrix(nests) * (1.0 - _is_expert(nests)))[:, 0] > 0
    phases = [table.rows[int(i)].phase for i in nests.row]
    most: dict[str, Value] = {}
    sequences = terms.columns["sequences"][0]
    for phase in dict.fromkeys(row.phase for row in table.rows):
        in_phase = np.array([p == phase for p in phases]) & dense
        most[phase] = xp.max(vectors[in_phase], axis=0) if in_phase.any() else sequences
    own = {int(row): i for i, row in enumerate(nests.row) if dense[i]}
    points = max(vectors.shape[1], *(np.size(v) for v in most.values()))
    each = [vectors[own[i]] if i in own else most[row.phase] for i, row in enumerate(table.rows)]
    return xp.stack([xp.broadcast_to(xp.asarray(v, dtype=float), (points,)) for v in each])


def _pipeline_slots(layers: Value, table: OperatorTable, engine: HardwiredChips, xp: Any) -> Value:
    """Return the tokens that the pipeline can hold: stages of all layers, else weight rows."""
    nests = table.nests
    assert nests is not None
    phases = np.array([row.phase for row in table.rows])
    # Decode steps of a request traverse the layers of its prompt again.
    counted: Value = np.inf
    for phase in dict.fromkeys(phases.tolist()):
        in_phase = (phases == phase)[:, None]
        own = total(table.count, layers * in_phase)
        counted = xp.minimum(counted, xp.where(own > 0, own, np.inf))
    counted = xp.where(xp.isfinite(counted), counted, 0.0)
    count = table.count[nests.row] * _is_weight_matrix(nests)
    return xp.where(
        counted > 0, engine.stages_per_layer * counted, xp.maximum(count.sum(axis=0), 1.0)
    )


def _first_readers(table: OperatorTable, nests: Nests) -> Value:
    """Return 1 for matrices that stream their input into the chips, 0 for those that share it.

    Matrices with the same input (queries, keys, values) receive it together; experts receive it
    after the router.
    """

    def make() -> Value:
        access, seen, first = table.accesses, set[tuple[int, bool]](), list[float]()
        for i, kind in enumerate(nests.kind):
            at = int(nests.access[i, 0])
            tensor = -1 if access is None or at < 0 else int(access.tensor[at])
            key = (tensor, kind == "moe")
            again = tensor >= 0 and key in seen and nests.slots[i][1].startswith("weight")
            seen.add(key)
            first.append(0.0 if again else 1.0)
        return np.array(first)[:, None]

    return table.once("first_readers", make)


def _matrices(run: NestRun, engine: HardwiredChips) -> tuple[Value, Value]:
    """Return clocks of one vector through each matrix, and the elements of its results."""
    nests, on_one_chip, fixed = run.nests, _is_expert(run.nests), _is_weight_matrix(run.nests)
    clocks = matrix_clocks(
        nests.summed,
        engine.inputs_per_clock,
        on_one_chip + (1.0 - on_one_chip) * engine.grid_rows,
        relaxed=run.setting.relaxed,
    )
    return clocks * nests.times * fixed, nests.out_channels * nests.times * fixed


def _cache_elements(run: NestRun) -> Value:
    """Return elements of key and value matrices that are read, over all sequences and positions."""
    nests = run.nests
    elements = nests.groups * nests.out_channels * nests.in_channels
    # The positions of a prompt read the cache one after another.
    positions = nests.out_rows * nests.out_columns * run.times
    return run.rows(elements * positions * (1.0 - _is_weight_matrix(nests)))


def _traffic(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return bytes of each memory other than the hardwired one."""
    traffic = level_traffic(table, replace(setting, warm=False))
    separate = setting.weights_memory != setting.main_memory
    return {
        name: v for name, v in traffic.items() if not (separate and name == setting.weights_memory)
    }


def _cache_stall_seconds(
    terms: Terms,
    table: OperatorTable,
    setting: Setting,
    engine: HardwiredChips,
    busy: Value,
    crowd: Value,
) -> Value:
    """Return seconds of the step spent waiting for keys and values, ``(points,)``."""
    main = setting.main_memory
    read = total(table.count, terms.traffic[main])
    near = [name for name in setting.levels[:-1] if name != setting.weights_memory]
    sequence = stored_bytes(table, setting, "kv") / terms.columns["sequences"][0]
    room, refill = sequence, engine.refill_bandwidth
    if refill is not None and near:
        room = setting.memory(near[0]).capacity
    return cache_stall(
        sequence, room, or_else(refill, 1.0), read, setting.memory(main).bandwidth, busy, crowd
    )


def _metal(run: NestRun) -> Value:
    """Return bits of each row's weights, of the experts that the run uses."""
    nests = run.nests
    weights = nests.groups * nests.summed * nests.out_channels * _is_weight_matrix(nests)
    return run.rows(weights * 8.0 * run.widths[1])


KIND = Hardwired()
