"""The kind `bit_serial`: cost of a table on an array that processes weights few bits per clock.

Products run on the array one after another; operators fused behind them are applied on the way
out. All other work runs on the vector units, as on a roofline.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace
from perfmodel.cost.area import SiliconBlock
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.technology.blocks import register_area
from perfmodel.hardware.technology.operations import mac_area, multiplier_area, width
from perfmodel.kinds.array import ArrayKind, Counts, NestRun
from perfmodel.kinds.bit_serial.counts import (
    array_steps,
    clocks_a_step,
    fetches,
    most_terms,
    terms,
)
from perfmodel.kinds.bit_serial.products import BitSerialGemms, products
from perfmodel.kinds.bit_serial.spec import BitSerialArray
from perfmodel.kinds.operand_bits import operations_by_format
from perfmodel.kinds.silicon import buffers, first_peak, vector_units


class BitSerial(ArrayKind[BitSerialArray]):
    """Time of a row = max of the array's clocks and main-memory time."""

    name = "bit_serial"
    traceable = True
    spec = BitSerialArray
    laws = (array_steps,)
    prices_operations = True

    def structure(self, engine: BitSerialArray, _weight_bytes: Value) -> dict[str, SiliconBlock]:
        """Return elements, vector lanes and buffers.

        The multiplier of a lane has as many rows as bits of a weight that it takes per clock; the
        lanes of an element add up, as aligned integers, in one register of 32 bits.
        """
        name = first_peak(engine)
        bits = width(name)[1]
        share = namespace(engine.bits_a_clock).minimum(engine.bits_a_clock / bits, 1.0)
        lane = share * multiplier_area(name) + bits * register_area()
        adders = mac_area("int32") - multiplier_area("int32")
        element = engine.lanes * (lane + adders) + 32.0 * register_area()
        count = engine.rows * engine.columns * engine.units
        return {
            "elements": SiliconBlock(logic_m2=count * element),
            **vector_units(engine),
            **buffers(weight_buffer=engine.weight_buffer, input_buffer=engine.input_buffer),
        }

    def counts(self, run: NestRun, engine: BitSerialArray) -> Counts:
        """Return clocks of products by terms of their weights, and bytes of operands."""
        setting, nests, rows, xp = run.setting, run.nests, run.rows, run.xp
        relaxed, times = setting.relaxed, run.times
        p = products(run, engine)
        of_terms = terms(p.serial_bits, engine.bits_a_clock, relaxed=relaxed)
        if engine.term_density is not None:
            of_terms = most_terms(of_terms, engine.term_density, engine.in_step)
        each = clocks_a_step(of_terms, engine.lanes, engine.group, engine.dequantise)
        steps = p.groups * array_steps(
            p.outer,
            p.inner,
            p.tokens,
            engine.rows,
            engine.columns,
            engine.lanes,
            folds=engine.folds,
            relaxed=relaxed,
        )
        fetched = fetches(
            p.weight_bytes,
            p.input_bytes,
            engine.weight_buffer,
            engine.input_buffer,
            relaxed=relaxed,
        )
        # Several arrays share output channels and the bandwidth.
        arrays = engine.units
        clocks, taken = rows(steps * each * times), rows(steps * times)
        weights = rows(fetched.weights * p.weight_bytes * p.groups * nests.times)
        inputs = rows(fetched.inputs * p.input_bytes * p.groups * nests.times)
        outputs = rows(p.output_bytes * p.groups * nests.times)
        written = weights + inputs + outputs
        places = engine.rows * engine.columns * engine.lanes * arrays
        detail = {
            "cycles": clocks / arrays,
            "steps": taken / arrays,
            "terms": rows(of_terms * nests.macs) / xp.maximum(rows(nests.macs), 1.0),
            "array_utilization": run.macs / xp.maximum(taken * places, 1.0),
            "weight_bytes": weights,
            "input_bytes": inputs,
            "output_bytes": outputs,
        }
        return Counts(
            {"matrix": (clocks / arrays, setting.clock)},
            {setting.main_memory: written + run.outside},
            detail,
            _energies(p, clocks, steps, written, run, engine),
            vector=run.table.vector_ops * run.without_nests,
            operations=operations_by_format(run.table, run.macs, setting),
            traffic_model="every operand once; where neither weights nor inputs fit their buffer, "
            "the cheaper of both again for each part of the other",
        )


def _energies(
    p: BitSerialGemms,
    clocks: Value,
    steps: Value,
    written: Value,
    run: NestRun,
    engine: BitSerialArray,
) -> dict[str, Value]:
    """Return joules of each row by component; empty where the spec states no energy per element.

    In each clock every element is active; in each step every row reads its weights and every column
    its inputs; data from main memory, and outputs, are written to the buffers.
    """
    if engine.element_energy is None:
        return {}
    rows, columns = engine.rows, engine.columns
    bits = engine.lanes * (rows * p.serial_bits + columns * p.input_bits)
    read = run.rows(steps * run.times * bits) / 8.0
    return {
        "array": clocks * rows * columns * engine.element_energy,
        "buffer reads": read * or_else(engine.read_energy, 0.0),
        "buffer writes": written * or_else(engine.write_energy, 0.0),
    }


KIND = BitSerial()
