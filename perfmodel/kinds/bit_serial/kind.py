"""The kind `bit_serial`: what a table costs on an array that takes weights few bits at a time.

Products go through the array one after the other; what follows them in one kernel is done on the
way out. All else runs on the vector units as on a roofline.
"""

from __future__ import annotations

from perfmodel.arrays import Value
from perfmodel.hardware.view import or_else
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


class BitSerial(ArrayKind[BitSerialArray]):
    """Time of a row = the slower of the array's clocks and main memory."""

    name = "bit_serial"
    spec = BitSerialArray
    laws = (array_steps,)
    prices_operations = True

    def counts(self, run: NestRun, engine: BitSerialArray) -> Counts:
        """Return clocks of products in their terms, and bytes of operands."""
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
        found = fetches(
            p.weight_bytes,
            p.input_bytes,
            engine.weight_buffer,
            engine.input_buffer,
            relaxed=relaxed,
        )
        # Several arrays share output channels and the bandwidth.
        arrays = engine.units
        clocks, taken = rows(steps * each * times), rows(steps * times)
        weights = rows(found.weights * p.weight_bytes * p.groups * nests.times)
        inputs = rows(found.inputs * p.input_bytes * p.groups * nests.times)
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
            {setting.levels[-1]: written + run.outside},
            detail,
            _energies(p, clocks, steps, written, run, engine),
            vector=run.table.vector_ops * run.alone,
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
    """Return joules of each row that the spec prices; empty where it prices no element.

    In a clock every element works; in a step every row reads its weights and every column its
    inputs; what comes from main memory, and outputs, are written to the buffers.
    """
    if engine.element_energy is None:
        return {}
    tall, broad = engine.rows, engine.columns
    bits = engine.lanes * (tall * p.serial_bits + broad * p.input_bits)
    read = run.rows(steps * run.times * bits) / 8.0
    return {
        "array": clocks * tall * broad * engine.element_energy,
        "buffer reads": read * or_else(engine.read_energy, 0.0),
        "buffer writes": written * or_else(engine.write_energy, 0.0),
    }


KIND = BitSerial()
