"""The kind `spatial`: cost of a table on a row-stationary array, after Eyeriss.

Every loop nest runs under its best mapping (`best_mapping`), whose counts give clocks, words and
joules: ``seconds = max(cycles / clock, bytes / bandwidth)``, or their sum where the array waits for
feature maps. All other work runs as on a roofline.
"""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.cost.area import SiliconBlock, elements
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.rates import bandwidth
from perfmodel.kinds.silicon import buffers, first_peak, vector_units
from perfmodel.kinds.spatial.best_mapping import AccessCosts, choose
from perfmodel.kinds.spatial.counts import RowCounts, count
from perfmodel.kinds.spatial.energy import (
    RLC_WORDS_A_VALUE,
    AccessEnergy,
    energy_parts,
    scratchpad_words,
)
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray
from perfmodel.kinds.spatial.spec import RowStationaryArray
from perfmodel.workload.nest_table import Nests


class Spatial(ArrayKind[RowStationaryArray]):
    """Time of a row = max of the array's passes and main memory, plus launch."""

    name = "spatial"
    traceable = True
    spec = RowStationaryArray
    laws = (count,)
    prices_operations = True

    def structure(
        self, engine: RowStationaryArray, _weight_bytes: Value
    ) -> dict[str, SiliconBlock]:
        """Return elements with register files of inputs and sums, filter memories, the buffer."""
        name = first_peak(engine)
        count = engine.height * engine.width * engine.units
        bits = 8.0 * engine.word * (engine.input_words + engine.sum_words)
        filters = count * engine.filter_words * engine.word
        return {
            "elements": elements(count, name, bits, read_ports=1),
            "filters": SiliconBlock(memory_bytes=filters, banks=count),
            **vector_units(engine),
            **buffers(buffer=engine.buffer),
        }

    def counts(self, run: NestRun, engine: RowStationaryArray) -> Counts:
        """Return passes, words at every level and their energies, under the best mapping."""
        setting, rows, times, xp = run.setting, run.rows, run.times, run.xp
        main, clock, word = setting.main_memory, setting.clock, engine.word
        # Default if main memory states none: 200 products per word (Chen et al., ISCA 2016).
        per_byte = or_else(setting.memory(main).energy_per_byte, 200.0 * engine.mac_energy / word)
        costs = AccessCosts(
            engine.array_energy, engine.buffer_energy, per_byte * word, engine.clock_energy
        )
        array = PeArray(
            engine.height,
            engine.width,
            engine.filter_words,
            engine.input_words,
            engine.sum_words,
            engine.buffer / word,
            engine.filter_bus,
            engine.input_bus,
            engine.sum_bus,
        )
        counts = choose(
            layers_of(run.nests),
            array,
            costs,
            replicate_groups=engine.replicate_groups,
            relaxed=setting.relaxed,
        ).counts
        summed = RowCounts(*(rows(xp.asarray(v) * times) for v in counts))
        terms = {"matrix": (summed.cycles, clock)}
        inputs, filters, outputs = _dram_bytes(counts, run, engine)
        maps, loaded = rows((inputs + outputs) * times), rows(filters * times)
        dram_bytes = maps + loaded + run.outside
        if engine.feature_maps_wait:
            terms["feature_maps"] = maps, bandwidth(setting, main)
        product_share = 1.0 - engine.input_zeros if engine.zero_gating else 1.0
        each = AccessEnergy(
            engine.mac_energy,
            engine.scratchpad_energy,
            engine.array_energy,
            engine.buffer_energy,
            engine.clock_energy,
        )
        energy = energy_parts(
            summed, each, 0.0, product_share=product_share, fill=(maps + loaded) / word
        )
        del energy["clock network"]
        active = rows(counts.active * counts.cycles * times)
        return Counts(
            terms,
            {main: dram_bytes},
            _detail(summed, active, dram_bytes, run, engine, product_share),
            energy,
            {"clock network": clock * engine.clock_energy},
            vector=run.table.vector_ops,
            traffic_model="row stationary: inputs again for every group of filters that the "
            "buffer holds, filters for every strip of rows",
        )


def _detail(
    summed: RowCounts,
    active: Value,
    dram_bytes: Value,
    run: NestRun,
    engine: RowStationaryArray,
    product_share: Value,
) -> dict[str, Value]:
    """Return columns of each row; `active` is the sum over clocks of active elements."""
    cycles = run.xp.maximum(summed.cycles, 1.0)
    return {
        "passes": summed.passes,
        "cycles": summed.cycles,
        "active_elements": active / cycles,
        "element_utilization": run.macs
        / run.xp.maximum(summed.cycles * engine.height * engine.width, 1.0),
        "scratchpad_words": scratchpad_words(summed, product_share),
        "array_words": summed.array_words,
        "buffer_words": summed.buffer_input + summed.buffer_sum,
        "dram_words": dram_bytes / engine.word,
    }


def layers_of(nests: Nests) -> GroupedConvolution:
    """Return the nests of a table as layers."""
    return GroupedConvolution(
        nests.groups,
        nests.batch,
        nests.out_channels,
        nests.in_channels,
        nests.out_rows,
        nests.out_columns,
        nests.kernel_rows,
        nests.kernel_columns,
        *nests.window_steps,
        nests.in_rows,
        nests.in_columns,
    )


def _dram_bytes(
    counts: RowCounts, run: NestRun, engine: RowStationaryArray
) -> tuple[Value, Value, Value]:
    """Return bytes of inputs, filters and outputs of each nest; 0 if they stay in a kernel."""
    xp, leaving = run.xp, run.there
    x, w, y = (width * crosses for width, crosses in zip(run.widths, leaving, strict=True))
    if engine.compression:
        dense = counts.padded_input / xp.maximum(counts.dram_input, 1.0) * RLC_WORDS_A_VALUE
        x = x * xp.minimum(1.0, (1.0 - engine.input_zeros) * dense)
        y = y * xp.minimum(1.0, (1.0 - engine.output_zeros) * RLC_WORDS_A_VALUE)
    return counts.dram_input * x, counts.dram_filter * w, counts.dram_output * y


KIND = Spatial()
