"""The kind `mcu`: what a table costs on a microcontroller.

Rows take the clocks of their library's kernels; classes of kernels of which the library states
nothing go as on a roofline. Weights stream from flash once a run; activations live in SRAM.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.kinds.mcu.kernels import Busy, busy_clocks
from perfmodel.kinds.mcu.soft_float import soft_float
from perfmodel.kinds.protocol import Equation, Terms, need_engine
from perfmodel.kinds.rates import copy_shares, executed_macs, memory_seconds, vector_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.lower import OperatorTable

_LAI = "loops of CMSIS-NN, Lai et al., arXiv:1801.06601; docs/mcu.md"
_AMDAHL = "Amdahl, AFIPS 1967"

#: Functions that are part of bringing a sum to the output's format: folded, or a clip of its range.
_STORED_WITH = frozenset({"relu", "relu6", "clip", "batch_norm"})


class Microcontrollers:
    """Time of a row = the slower of the cores' clocks and each memory, plus entering its kernel."""

    name = "mcu"
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        "matrix": Equation(
            "max(relative_clocks * (mac_clocks * macs + edge_tap_clocks * taps) * amdahl / clock,"
            " 2 * macs / peak)",
            _LAI,
        ),
        "vector": Equation(
            "relative_clocks * operation_clocks * operations * amdahl / clock",
            "runtime spec; docs/mcu.md",
        ),
        "memory": Equation("latency + bytes / bandwidth", "word of the memory / its wait states"),
        "start": Equation("kernels * (start_clocks + fork_clocks) / clock", _AMDAHL),
        "launch": ROOFLINE.equations["launch"],
        "layer": ROOFLINE.equations["layer"],
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        if setting.bare or table.accesses is None:
            return ROOFLINE.cost(table, setting)
        need_engine(setting, "simd_macs", self.name, "is no microcontroller")
        xp, clock = setting.xp, setting.facts[f"engines.{setting.engine}.clock"]
        busy = busy_clocks(table, setting)
        macs = executed_macs(table, setting)
        rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
        operations["vector"] = table.vector_ops
        # Clocks of another core's kernels may be fewer than this one's multipliers need.
        at_peak = (2.0 * macs) / rates
        matrix = xp.where(busy.known, xp.maximum(busy.matrix / clock, at_peak), at_peak)
        vector = xp.where(busy.known_other, busy.other / clock,
                          self._elementwise(table, setting, busy))  # fmt: skip
        soft = soft_float(table, macs, setting)
        if soft is not None:
            matrix = xp.where(soft.rows, soft.matrix / clock, matrix)
            vector = xp.where(soft.elements, soft.vector / clock, vector)
            executed |= soft.executed
            unsupported = tuple(name for name in unsupported if name not in soft.executed)
        compute = {"matrix": matrix, "vector": vector}
        work = {"matrix": matrix * clock, "vector": vector * clock}
        traffic = level_traffic(table, setting)
        memory = memory_seconds(traffic, setting, copy_shares(table, setting))
        overhead = {"start": busy.start / clock, **launch_times(table, setting)}
        rule = setting.overlap if setting.choices.get("double_buffered", True) else "none"
        row_s = compose(compute, memory, overhead, "none" if rule == "none" else "full")
        energy = _energies(setting, row_s)
        priced = (
            tuple(f"operations {name}" for name in operations)
            + tuple(f"traffic {level}" for level in traffic)
        ) if energy else ()  # fmt: skip
        terms = Terms(
            compute, memory, overhead, traffic, row_s, operations, executed, unsupported,
            work=work, energy=energy, priced=priced,
        )  # fmt: skip
        return with_streams(table, setting, terms)

    def _elementwise(self, table: OperatorTable, setting: Setting, busy: Busy) -> Value:
        """Return seconds of work beside products where the library states no clocks for it.

        What a kernel does while it brings sums to the output's format is among its clocks; any
        other function that rides on it is not.
        """
        seconds = table.vector_ops / vector_rates(table, setting)
        stored = [set(row.functions) <= _STORED_WITH for row in table.rows]
        return setting.xp.where(busy.known & np.array(stored)[:, None], 0.0, seconds)


def _energies(setting: Setting, row_s: Value) -> dict[str, Value]:
    """Return joules of each row: busy clocks at a power of the supply, and leakage.

    Nothing where the engine states no energy of a clock.
    """
    facts, head = setting.facts, f"engines.{setting.engine}."
    each = facts.get(head + "clock_energy")
    if each is None:
        return {}
    nominal = facts.get(head + "nominal_supply", 1.0)
    ratio = facts.get(head + "supply", nominal) / nominal
    exponent = facts[head + "supply_exponent"]
    clocks = facts[head + "clock"] * row_s
    return {
        "clocks": each * ratio**exponent * clocks,
        "leakage": facts.get(head + "leakage", 0.0) * ratio ** (exponent / 2.0) * row_s,
    }


KIND = Microcontrollers()
