"""The kind `bit_fusion`: what a table costs on a bit-composable array.

Matrix operators go through the array pass by pass, each under its fastest tiling; what follows them
in one kernel is done on the way out. All else runs on the vector units as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, outside_bytes, unmasked
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.bit_fusion.counts import BitFusionLayer, TileCounts, lanes_and_steps
from perfmodel.kinds.bit_fusion.tiles import layer_cycles
from perfmodel.kinds.operand_bits import element_bits, operations_by_format, without_nests
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import (
    bandwidth,
    executed_macs,
    vector_rates,
    with_latency,
)
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import ALWAYS_MAIN, OperatorTable
from perfmodel.workload.shapes import Nests

_SHARMA = "Sharma et al., Bit Fusion, ISCA 2018"


class BitFusion:
    """Time of a row = the slower of the array's clocks with both ends, and main memory."""

    name = "bit_fusion"
    needs_nests = True
    network_wide: frozenset[str] = frozenset()
    equations: Mapping[str, Equation] = {
        "matrix": Equation("cycles / clock", _SHARMA),
        "ends": Equation(
            "(first tiles + last tile) / bandwidth", f"{_SHARMA}, simulator; docs/bit_fusion.md"
        ),
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
        need_engine(setting, "first_layer_unrolled", self.name, "is no bit-composable array")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        main, clock = setting.levels[-1], facts[f"engines.{setting.engine}.clock"]
        rate = bandwidth(setting, main)
        layer, passes, operands = _layers(table, nests, setting)
        # Several arrays share the passes and the bandwidth.
        arrays = facts[head + "units"]
        found, _ = layer_cycles(layer, 8.0 * rate / clock / arrays, relaxed=setting.relaxed)
        times = passes * nests.times * unmasked(table, setting)
        rows = RowSums(nests.row, len(table.rows), setting.xp)
        counts = TileCounts(*(rows(v * times) for v in found))
        busy = counts.cycles / arrays
        alone = without_nests(table, nests)
        elementwise = table.vector_ops * alone
        ends = counts.ends_bits / 8.0
        compute = {
            "matrix": busy / clock,
            "ends": ends / rate,
            "vector": elementwise / vector_rates(table, setting),
        }
        work = {"matrix": busy, "ends": ends, "vector": elementwise}
        moved = counts.memory_bits / 8.0 + outside_bytes(table, setting)
        memory = {main: with_latency(moved / rate, moved, setting, main)}
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap)
        macs = executed_macs(table, setting)
        operations, executed, unsupported = operations_by_format(table, macs, setting)
        energy = _energies(layer, operands, found, times, rows, setting)
        priced = tuple(f"operations {name}" for name in operations) if energy else ()
        operations["vector"] = table.vector_ops
        products = rows(layer.lanes / layer.steps * found.cycles * times)
        units = facts[head + "height"] * facts[head + "width"]
        detail = {
            "cycles": busy,
            "passes": rows(passes * nests.times + 0.0 * found.cycles),
            "products_per_unit": products / xp.maximum(counts.cycles, 1.0),
            "unit_utilization": macs / xp.maximum(products * units, 1.0),
            "input_bits": counts.input_bits,
            "weight_bits": counts.weight_bits,
            "output_bits": counts.output_bits,
            "ends_bits": counts.ends_bits,
        }
        return Terms(
            compute, memory, overhead, {main: moved}, row_s, operations, executed, unsupported,
            work=work, energy=energy, priced=priced, detail=detail,
            traffic_model="tiles of powers of two, each operand kept while it fits its buffer; "
            "outputs as partial sums, read and written",
        )  # fmt: skip


def _layers(
    table: OperatorTable, nests: Nests, setting: Setting
) -> tuple[BitFusionLayer, Value, tuple[Value, Value]]:
    """Return one pass of each nest on the array, how many passes it takes, and operand bits."""
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    slots = [tuple(s[i] for s in nests.slots) for i in range(3)]
    a, w = (element_bits(slots[i], table.points, setting) for i in range(2))
    lanes, steps = lanes_and_steps(
        a, w, facts[head + "highest_bits"], facts[head + "lowest_bits"], relaxed=setting.relaxed
    )
    width = facts[head + "width"]
    # Channels of narrow groups share a pass, as far as columns and the spec's limit allow.
    share = xp.minimum(facts[head + "depthwise_channels"] * lanes, width)
    widest = xp.maximum(nests.in_channels, nests.out_channels)
    together = xp.clip(xp.floor(share / widest + 1e-9), 1.0, xp.maximum(nests.groups, 1.0))
    passes = xp.where(together > 1.0, xp.ceil(nests.groups / together - 1e-9), nests.groups)
    there = (nests.access >= 0).astype(float)
    stored = [8.0 * slot_bytes(s, table.points, setting) for s in slots[:2]]
    sum_bits = 8.0 * facts[head + "partial_sum"]
    part = 0.5 if setting.choices["double_buffered"] else 1.0
    stride, dilation = nests.stride.astype(float), nests.dilation.astype(float)
    layer = BitFusionLayer(
        nests.batch, nests.out_channels * together, nests.in_channels * together,
        nests.out_rows, nests.out_columns, nests.kernel_rows, nests.kernel_columns,
        stride[:, :1], stride[:, 1:], dilation[:, :1], dilation[:, 1:],
        stored[0] * there[:, :1], stored[1] * there[:, 1:2], sum_bits * there[:, 2:], sum_bits,
        lanes, steps, _unrolled(table, nests, setting), facts[head + "height"], width,
        *(8.0 * part * facts[f"{head}{name}_buffer"] for name in ("input", "weight", "output")),
    )  # fmt: skip
    return layer, passes, (a, w)


def _unrolled(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return 1 for nests whose windows come laid out: taps over an input of the network."""
    access = table.accesses
    if access is None or not setting.choices["first_layer_unrolled"]:
        return 0.0
    at = nests.access[:, 0]
    first = (at >= 0) & (access.tensor[at] == ALWAYS_MAIN)
    dense = np.array([kind == "conv" for kind in nests.kind])
    taps = nests.kernel_rows * nests.kernel_columns
    return (first & dense)[:, None] * (taps > 1.0)


def _energies(
    layer: BitFusionLayer,
    operands: tuple[Value, Value],
    found: TileCounts,
    times: Value,
    rows: RowSums,
    setting: Setting,
) -> dict[str, Value]:
    """Return joules of each row that the spec prices; empty where it prices no clock.

    In a clock every unit reads its weights, every row of units its inputs, and every column reads
    and writes its sum.
    """
    facts, head = setting.facts, f"engines.{setting.engine}."
    if head + "cycle_energy" not in facts:
        return {}
    highest, xp = facts[head + "highest_bits"], setting.xp
    a, w = (xp.minimum(bits, highest) for bits in operands)
    inputs = found.cycles * layer.height * layer.lanes * a
    weights = found.cycles * layer.height * layer.width * layer.lanes * w
    sums = found.cycles * layer.width * layer.held_bits
    bits = {
        "input buffer": (("input_read", inputs), ("input_write", found.input_bits)),
        "weight buffer": (("weight_read", weights), ("weight_write", found.weight_bits)),
        "output buffer": (
            ("output_read", sums + 0.5 * found.output_bits),
            ("output_write", sums + 0.5 * found.output_bits),
        ),
    }  # fmt: skip
    out = {"array": rows(found.cycles * times) * facts[head + "cycle_energy"]}
    for name, accesses in bits.items():
        joule: Value = 0.0
        for kind, moved in accesses:
            joule = joule + rows(moved * times) / 8.0 * facts.get(f"{head}{kind}_energy", 0.0)
        out[name] = joule
    return out


KIND = BitFusion()
