"""The kind `bit_serial`: what a table costs on an array that takes weights few bits at a time.

Products go through the array one after the other; what follows them in one kernel is done on the
way out. All else runs on the vector units as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, outside_bytes, unmasked
from perfmodel.cost.setting import Setting
from perfmodel.kinds.bit_serial.counts import (
    array_steps,
    clocks_a_step,
    fetches,
    most_terms,
    terms,
)
from perfmodel.kinds.bit_serial.products import BitSerialGemms, products
from perfmodel.kinds.operand_bits import operations_by_format, without_nests
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import bandwidth, executed_macs, vector_rates, with_latency
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import OperatorTable

_CHEN = "Chen et al., BitMoD, HPCA 2025"


class BitSerial:
    """Time of a row = the slower of the array's clocks and main memory."""

    name = "bit_serial"
    needs_nests = True
    network_wide: frozenset[str] = frozenset()
    equations: Mapping[str, Equation] = {
        "matrix": Equation("cycles / clock", _CHEN),
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
        need_engine(setting, "joined_heads", self.name, "is no bit-serial array")
        facts, head, xp = setting.facts, f"engines.{setting.engine}.", setting.xp
        main, clock = setting.levels[-1], facts[f"engines.{setting.engine}.clock"]
        p = products(table, nests, setting)
        of_terms, each = _clocks(p, setting)
        steps = p.groups * array_steps(
            p.outer, p.inner, p.tokens, facts[head + "rows"], facts[head + "columns"],
            facts[head + "lanes"], folds=facts[head + "folds"], relaxed=setting.relaxed,
        )  # fmt: skip
        found = fetches(
            p.weight_bytes, p.input_bytes, facts[head + "weight_buffer"],
            facts[head + "input_buffer"], relaxed=setting.relaxed,
        )  # fmt: skip
        times = nests.times * unmasked(table, setting)
        rows = RowSums(nests.row, len(table.rows), xp)
        # Several arrays share output channels and the bandwidth.
        arrays = facts[head + "units"]
        busy = rows(steps * each * times) / arrays
        weights = rows(found.weights * p.weight_bytes * p.groups * nests.times)
        inputs = rows(found.inputs * p.input_bytes * p.groups * nests.times)
        outputs = rows(p.output_bytes * p.groups * nests.times)
        moved = weights + inputs + outputs + outside_bytes(table, setting)
        elementwise = table.vector_ops * without_nests(table, nests)
        compute = {
            "matrix": busy / clock,
            "vector": elementwise / vector_rates(table, setting),
        }
        memory = {main: with_latency(moved / bandwidth(setting, main), moved, setting, main)}
        overhead = launch_times(table, setting)
        row_s = compose(compute, memory, overhead, setting.overlap)
        macs = executed_macs(table, setting)
        operations, executed, unsupported = operations_by_format(table, macs, setting)
        written = weights + inputs + outputs
        energy = _energies(p, rows(steps * each * times), steps * times, written, rows, setting)
        priced = tuple(f"operations {name}" for name in operations) if energy else ()
        operations["vector"] = table.vector_ops
        places = facts[head + "rows"] * facts[head + "columns"] * facts[head + "lanes"] * arrays
        counted = rows(nests.macs)
        detail = {
            "cycles": busy,
            "steps": rows(steps * times) / arrays,
            "terms": rows(of_terms * nests.macs) / xp.maximum(counted, 1.0),
            "array_utilization": macs / xp.maximum(rows(steps * times) * places, 1.0),
            "weight_bytes": weights,
            "input_bytes": inputs,
            "output_bytes": outputs,
        }
        return Terms(
            compute, memory, overhead, {main: moved}, row_s, operations, executed, unsupported,
            work={"matrix": busy, "vector": elementwise}, energy=energy, priced=priced,
            detail=detail,
            traffic_model="every operand once; where neither weights nor inputs fit their buffer, "
            "the cheaper of both again for each part of the other",
        )  # fmt: skip


def _clocks(p: BitSerialGemms, setting: Setting) -> tuple[Value, Value]:
    """Return terms of a weight of each product, and clocks of a step of the array."""
    facts, head = setting.facts, f"engines.{setting.engine}."
    count = terms(p.serial_bits, facts[head + "bits_a_clock"], relaxed=setting.relaxed)
    density = facts.get(head + "term_density")
    if density is not None:
        count = most_terms(count, density, facts[head + "in_step"])
    each = clocks_a_step(
        count, facts[head + "lanes"], facts[head + "group"], facts[head + "dequantise"]
    )
    return count, each


def _energies(
    p: BitSerialGemms, busy: Value, steps: Value, written: Value, rows: RowSums, setting: Setting
) -> dict[str, Value]:
    """Return joules of each row that the spec prices; empty where it prices no element.

    In a clock every element works; in a step every row reads its weights and every column its
    inputs; what comes from main memory, and outputs, are written to the buffers.
    """
    facts, head = setting.facts, f"engines.{setting.engine}."
    if head + "element_energy" not in facts:
        return {}
    tall, broad = facts[head + "rows"], facts[head + "columns"]
    bits = facts[head + "lanes"] * (tall * p.serial_bits + broad * p.input_bits)
    return {
        "array": busy * tall * broad * facts[head + "element_energy"],
        "buffer reads": rows(steps * bits) / 8.0 * facts.get(head + "read_energy", 0.0),
        "buffer writes": written * facts.get(head + "write_energy", 0.0),
    }


KIND = BitSerial()
