"""The kind `spatial`: what a table costs on a row-stationary array."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, outside_bytes, unmasked
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import bandwidth, executed_macs, vector_rates, with_latency
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.spatial.choose import AccessCosts, choose
from perfmodel.kinds.spatial.counts import RowCounts
from perfmodel.kinds.spatial.energy import AccessEnergy, energy_parts, scratchpad_words
from perfmodel.kinds.spatial.rlc import RLC_WORDS_A_VALUE
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.shapes import Nests

_CHEN = "Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1), 2017"


class Spatial:
    """Time of a row = the slower of the array's passes and main memory, plus launch."""

    name = "spatial"
    needs_nests = True
    network_wide: frozenset[str] = frozenset()
    equations: Mapping[str, Equation] = {
        "matrix": Equation("cycles / clock", _CHEN),
        "feature_maps": Equation("feature_map_bytes / bandwidth", _CHEN),
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
        need_engine(setting, "feature_maps_wait", self.name, "is no row-stationary array")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        main = setting.levels[-1]
        word, clock = facts[head + "word"], facts[head + "clock"]
        per_byte = setting.fact(f"memories.{main}.energy_per_byte")
        if per_byte is None:
            # Where main memory states none: 200 products a word (Chen et al., ISCA 2016).
            per_byte = 200.0 * facts[head + "mac_energy"] / word
        costs = AccessCosts(facts[head + "array_energy"], facts[head + "buffer_energy"],
                            per_byte * word, facts[head + "clock_energy"])  # fmt: skip
        counts = choose(
            layers_of(nests), _array(setting), costs,
            replicate_groups=setting.choices["replicate_groups"], relaxed=setting.relaxed,
        ).counts  # fmt: skip
        rows = RowSums(nests.row, len(table.rows), setting.xp)
        times = nests.times * unmasked(table, setting)
        cycles = rows(counts.cycles * times)
        vector = table.vector_ops / vector_rates(table, setting)
        compute = {"matrix": cycles / clock, "vector": vector}
        work = {"matrix": cycles, "vector": table.vector_ops}
        inputs, filters, outputs = _dram_bytes(counts, nests, table, setting)
        maps = rows((inputs + outputs) * times)
        moved = maps + rows(filters * times) + outside_bytes(table, setting)
        rate = bandwidth(setting, main)
        if setting.choices["feature_maps_wait"]:
            compute["feature_maps"] = maps / rate
            work["feature_maps"] = maps
        memory = {main: with_latency(moved / rate, moved, setting, main)}
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap)
        macs = executed_macs(table, setting)
        _, operations, executed, unsupported = matrix_rates(table, macs, setting)
        priced = tuple(f"operations {name}" for name in operations)
        operations["vector"] = table.vector_ops
        kept = 1.0 - facts[head + "input_zeros"] if setting.choices["zero_gating"] else 1.0
        summed = RowCounts(*(rows(xp.asarray(v) * times) for v in counts))
        energy = energy_parts(
            summed,
            AccessEnergy(*(facts[f"{head}{part}_energy"] for part in AccessEnergy._fields)),
            row_s * clock,
            kept=kept,
            fill=(maps + rows(filters * times)) / word,
        )
        detail = {
            "passes": summed.passes,
            "cycles": cycles,
            "active_elements": rows(counts.active * counts.cycles * times)
            / xp.maximum(cycles, 1.0),
            "element_utilization": macs
            / xp.maximum(cycles * facts[head + "height"] * facts[head + "width"], 1.0),
            "scratchpad_words": scratchpad_words(summed, kept),
            "array_words": summed.array_words,
            "buffer_words": summed.buffer_input + summed.buffer_sum,
            "dram_words": moved / word,
        }
        return Terms(
            compute, memory, overhead, {main: moved}, row_s, operations, executed, unsupported,
            work=work, energy=energy, priced=priced, detail=detail,
            traffic_model="row stationary: inputs again for every group of filters that the "
            "buffer holds, filters for every strip of rows",
        )  # fmt: skip


def layers_of(nests: Nests) -> GroupedConvolution:
    """Return the nests of a table as layers."""
    stride, dilation = nests.stride.astype(float), nests.dilation.astype(float)
    return GroupedConvolution(
        nests.groups, nests.batch, nests.out_channels, nests.in_channels, nests.out_rows,
        nests.out_columns, nests.kernel_rows, nests.kernel_columns, stride[:, :1], stride[:, 1:],
        dilation[:, :1], dilation[:, 1:], nests.in_rows, nests.in_columns,
    )  # fmt: skip


def _array(setting: Setting) -> PeArray:
    facts, head = setting.facts, f"engines.{setting.engine}."
    own = {name: facts[head + name] for name in PeArray._fields if name != "buffer_words"}
    return PeArray(**own, buffer_words=facts[head + "buffer"] / facts[head + "word"])


def _dram_bytes(
    counts: RowCounts, nests: Nests, table: OperatorTable, setting: Setting
) -> tuple[Value, Value, Value]:
    """Return bytes of inputs, filters and outputs of each nest; none for what stays in a kernel."""
    facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
    x, w, y = (
        slot_bytes(tuple(s[i] for s in nests.slots), table.points, setting) for i in range(3)
    )
    there = (nests.access >= 0).astype(float)
    coded_in = coded_out = 1.0
    if setting.choices["compression"]:
        dense = counts.padded_input / xp.maximum(counts.dram_input, 1.0) * RLC_WORDS_A_VALUE
        coded_in = xp.minimum(1.0, (1.0 - facts[head + "input_zeros"]) * dense)
        coded_out = xp.minimum(1.0, (1.0 - facts[head + "output_zeros"]) * RLC_WORDS_A_VALUE)
    return (
        counts.dram_input * x * coded_in * there[:, :1],
        counts.dram_filter * w * there[:, 1:2],
        counts.dram_output * y * coded_out * there[:, 2:],
    )


KIND = Spatial()
