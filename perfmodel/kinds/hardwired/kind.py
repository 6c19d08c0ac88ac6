"""The kind `hardwired`: what a table costs on chips whose weights are wires.

Weights cost area and no time; a token's time is that of streaming vectors into matrices, of the
collectives between chips, of attention over its cache, and of what is not linear. Tokens fill the
slots of the pipeline side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import level_traffic, slot_bytes, stored_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.hardwired.stages import cache_stall, crowding, link_seconds, matrix_clocks
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import executed_macs
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

_LIU = "Liu et al., HNLPU, arXiv 2508.16151 v2"
#: Blocks of a chip whose power and area a spec states.
BLOCKS = ("weight", "vector", "control", "buffer", "interconnect", "memory")


class Hardwired:
    """Time of a row = what one token takes, longer where more tokens than slots are under way."""

    name = "hardwired"
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"slots", "stall"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation("inputs / cut / inputs_per_clock / clock", f"{_LIU}; fitted"),
        "attention": Equation(
            "cache elements / (chips * cache_elements_per_clock) / clock", f"{_LIU}; fitted"
        ),
        "link": Equation(
            "layers * collectives * latency + bytes / (cut * bandwidth)", f"{_LIU}; fitted"
        ),
        "nonlinear": Equation("layers * nonlinear_time", f"{_LIU}; fitted"),
        "stall": Equation(
            "max((cache - buffers) / refill, read / bandwidth - busy)", "docs/hardwired.md"
        ),
        **{name: ROOFLINE.equations[name] for name in ("launch", "layer")},
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
        need_engine(setting, "stages_per_layer", self.name, "has no weights in its wires")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        clock, chips = facts[head + "clock"], facts[head + "units"]
        rows = RowSums(nests.row, len(table.rows), xp)
        tokens = _tokens(table, nests, setting)
        slots = _slots(table, nests, setting)
        crowd = crowding(tokens, slots)
        clocks, outputs = _matrices(table, nests, setting, rows)
        cache = _cache_elements(table, nests, setting, rows)
        width = setting.precision.bits("activation") / 8.0
        link = crowd * link_seconds(
            table.layers, outputs * width, collectives=facts[head + "collectives_per_layer"],
            latency=facts[head + "collective_latency"], bandwidth=facts[head + "link_bandwidth"],
            cut=facts[head + "grid_columns"],
        )  # fmt: skip
        lanes = chips * facts[head + "cache_elements_per_clock"]
        work = {
            "matrix": clocks * crowd,
            "attention": cache / tokens * crowd / lanes,
            "nonlinear": table.layers * crowd,
        }
        compute = {
            "matrix": work["matrix"] / clock,
            "attention": work["attention"] / clock,
            "link": link,
            "nonlinear": work["nonlinear"] * facts[head + "nonlinear_time"],
        }
        busy = (table.count * sum(compute.values())).sum(axis=0)
        traffic = _traffic(table, setting)
        stall = _stall(table, setting, traffic, busy, xp.max(crowd, axis=0))
        share = cache / xp.maximum((table.count * cache).sum(axis=0), 1.0)
        compute["stall"] = stall * share
        overhead = launch_times(table, setting)
        row_s = sum(overhead.values(), sum(compute.values()))
        macs = executed_macs(table, setting)
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        energy = _joules(row_s, setting)
        priced = (*(f"operations {n}" for n in operations), *(f"traffic {n}" for n in traffic))
        detail = {
            "slots_filled": xp.minimum(tokens / slots, 1.0) + 0.0 * row_s,
            "metal_m2": _metal(table, nests, setting, rows),
        }
        # What memory takes is in the stalls.
        hidden = dict.fromkeys(traffic, 0.0 * row_s)
        return Terms(
            compute, hidden, overhead, traffic, row_s, operations, executed, unsupported, work=work,
            energy=energy, priced=priced, detail=detail,
            traffic_model="keys, values, inputs and outputs once; weights are wires",
        )  # fmt: skip


def _fixed(nests: Nests) -> Value:
    """Return 1 for matrices of weights, 0 for products of what a run makes."""
    return np.array([s[1].startswith("weight") for s in nests.slots], dtype=float)[:, None]


def _whole(nests: Nests) -> Value:
    """Return 1 for experts, which lie on one chip each, 0 for what is cut over chips."""
    return np.array([kind == "moe" for kind in nests.kind], dtype=float)[:, None]


def _tokens(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return vectors under way in each row: its own, else those of its phase's matrices."""
    xp = setting.xp
    dense = (_fixed(nests) * (1.0 - _whole(nests)))[:, 0] > 0
    vectors = nests.batch * nests.out_rows * nests.out_columns
    vectors = vectors * np.ones((len(nests), 1))
    phases = [table.rows[int(i)].phase for i in nests.row]
    most: dict[str, Value] = {}
    for phase in dict.fromkeys(row.phase for row in table.rows):
        mine = np.array([p == phase for p in phases]) & dense
        most[phase] = xp.max(vectors[mine], axis=0) if mine.any() else setting.sequences
    own = {int(row): i for i, row in enumerate(nests.row) if dense[i]}
    points = max(vectors.shape[1], *(np.size(v) for v in most.values()))
    each = [
        vectors[own[i]] if i in own else most[row.phase] for i, row in enumerate(table.rows)
    ]  # fmt: skip
    return xp.stack([xp.broadcast_to(xp.asarray(v, dtype=float), (points,)) for v in each])


def _slots(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return tokens that the pipeline holds: stages of all layers, else one a row of weights."""
    xp = setting.xp
    stages = _fact(setting, "stages_per_layer")
    phases = np.array([row.phase for row in table.rows])
    # Decode steps of a request go through the layers of its prompt, again and again.
    counted: Value = np.inf
    for phase in dict.fromkeys(phases.tolist()):
        mine = (phases == phase)[:, None]
        layers = (table.count * table.layers * mine).sum(axis=0)
        counted = xp.minimum(counted, xp.where(layers > 0, layers, np.inf))
    counted = xp.where(xp.isfinite(counted), counted, 0.0)
    count = table.count[nests.row] * _fixed(nests)
    return xp.where(counted > 0, stages * counted, xp.maximum(count.sum(axis=0), 1.0))


def _fact(setting: Setting, name: str) -> Value:
    return setting.facts[f"engines.{setting.engine}.{name}"]


def _first_readers(table: OperatorTable, nests: Nests) -> Value:
    """Return 1 for matrices that take their input into the chips, 0 for those beside them.

    Matrices of the same input (queries, keys, values) listen together; experts after the router.
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


def _matrices(
    table: OperatorTable, nests: Nests, setting: Setting, rows: RowSums
) -> tuple[Value, Value]:
    """Return clocks of one vector through each row's matrices, and the results that it makes."""
    inner = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    cut = _fact(setting, "grid_rows")
    whole, fixed = _whole(nests), _fixed(nests)
    clocks = matrix_clocks(
        inner, _fact(setting, "inputs_per_clock"), whole + (1.0 - whole) * cut,
        relaxed=setting.relaxed,
    )  # fmt: skip
    clocks = clocks * nests.times * _first_readers(table, nests)
    return rows(clocks * fixed), rows(nests.out_channels * nests.times * fixed)


def _cache_elements(table: OperatorTable, nests: Nests, setting: Setting, rows: RowSums) -> Value:
    """Return elements of second factors that a run makes, of all sequences and positions."""
    elements = nests.groups * nests.out_channels * nests.in_channels
    # A prompt's positions look at the cache one after another.
    positions = nests.out_rows * nests.out_columns * unmasked(table, setting)
    return rows(elements * positions * nests.times * (1.0 - _fixed(nests)))


def _traffic(table: OperatorTable, setting: Setting) -> dict[str, Value]:
    """Return bytes of each memory but the one that is wires."""
    moved = level_traffic(table, replace(setting, warm=False))
    apart = setting.weights_memory != setting.levels[-1]
    return {name: v for name, v in moved.items() if not (apart and name == setting.weights_memory)}


def _stall(
    table: OperatorTable, setting: Setting, traffic: Mapping[str, Value], busy: Value, crowd: Value
) -> Value:
    """Return seconds of the step in which keys and values are waited for, ``(points,)``."""
    main = setting.levels[-1]
    read = (table.count * traffic[main]).sum(axis=0)
    near = [name for name in setting.levels[:-1] if name != setting.weights_memory]
    sequence = stored_bytes(table, setting, "kv") / setting.sequences
    room, refill = sequence, setting.facts.get(f"engines.{setting.engine}.refill_bandwidth")
    if refill is not None and near:
        room = setting.facts[f"memories.{near[0]}.capacity"]
    return cache_stall(
        sequence, room, 1.0 if refill is None else refill, read,
        setting.facts[f"memories.{main}.bandwidth"], busy, crowd,
    )  # fmt: skip


def _joules(row_s: Value, setting: Setting) -> dict[str, Value]:
    """Return joules of each row by block: powers of chips that run all the time."""
    chips = _fact(setting, "units")
    out: dict[str, Value] = {}
    whole: Value = 0.0
    for block in BLOCKS:
        watts = chips * _fact(setting, f"{block}_power")
        out[block] = row_s * watts
        whole = whole + watts
    out["supply"] = row_s * whole * (_fact(setting, "supply_factor") - 1.0)
    return out


def _metal(table: OperatorTable, nests: Nests, setting: Setting, rows: RowSums) -> Value:
    """Return the area of each row's weights, of the experts that the run touches."""
    slots = [s[1] for s in nests.slots]
    bits = 8.0 * slot_bytes(tuple(slots), table.points, setting)
    inner = nests.in_channels * nests.kernel_rows * nests.kernel_columns
    weights = nests.groups * inner * nests.out_channels * _fixed(nests)
    return rows(weights * bits) * _fact(setting, "weight_area")


KIND = Hardwired()
