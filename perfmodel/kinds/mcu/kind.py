"""The kind `mcu`: cost of a table on a microcontroller.

Rows cost the clocks of their library's kernels; classes of kernels for which the library states no
constants are costed as on a roofline. Weights stream from flash once per run; activations are in
SRAM.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import Counts, composed
from perfmodel.kinds.mcu.cores import amdahl
from perfmodel.kinds.mcu.kernels import busy_clocks
from perfmodel.kinds.mcu.soft_float import soft_float
from perfmodel.kinds.mcu.spec import Microcontroller
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import copy_shares, executed_macs, memory_seconds, vector_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import matrix_rates
from perfmodel.kinds.streams import with_streams
from perfmodel.workload.operator_table import OperatorTable

#: Functions that are part of requantising a sum: folded into it, or a clip of its range.
_STORED_WITH = frozenset({"relu", "relu6", "clip", "batch_norm"})


class Microcontrollers:
    """Time of a row = max of core clocks and each memory, plus the entry of its kernel."""

    name = "mcu"
    spec = Microcontroller
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        **equations_of(busy_clocks, amdahl),
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
        engine = setting.engine_as(Microcontroller, self.name)
        xp, clock = setting.xp, setting.clock
        busy = busy_clocks(table, setting, engine)
        macs = executed_macs(table, setting)
        rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
        # Clocks scaled from another core may fall below the limit of this one's multipliers.
        at_peak = (2.0 * macs) / rates
        matrix = xp.where(busy.known, xp.maximum(busy.matrix / clock, at_peak), at_peak)
        # Functions that are part of requantising the sums are included in the kernel's clocks;
        # other fused functions are not.
        stored = np.array([set(row.functions) <= _STORED_WITH for row in table.rows])[:, None]
        other = xp.where(busy.known & stored, 0.0, table.vector_ops / vector_rates(table, setting))
        vector = xp.where(busy.known_other, busy.other / clock, other)
        soft = soft_float(table, macs, setting, engine)
        if soft is not None:
            matrix = xp.where(soft.rows, soft.matrix / clock, matrix)
            vector = xp.where(soft.elements, soft.vector / clock, vector)
            executed |= soft.executed
            unsupported = tuple(name for name in unsupported if name not in soft.executed)
        traffic = level_traffic(table, setting)
        watts = _watts(clock, engine)
        counts = Counts(
            {"matrix": (matrix * clock, clock), "vector": (vector * clock, clock)},
            traffic,
            watts=watts,
            memory=memory_seconds(traffic, setting, copy_shares(table, setting)),
            overhead={"start": busy.start / clock},
            operations=(operations, executed, unsupported),
            overlap="full" if engine.double_buffered and setting.overlap != "none" else "none",
        )
        terms = composed(table, setting, counts)
        if watts:
            terms.priced = (
                *(f"operations {name}" for name in terms.operations),
                *(f"traffic {level}" for level in traffic),
            )
        return with_streams(table, setting, terms)


def _watts(clock: Value, engine: Microcontroller) -> dict[str, Value]:
    """Return watts of a row while it runs: energy per busy clock at the supply, and leakage.

    Empty where the engine states no energy per clock.
    """
    if engine.clock_energy is None:
        return {}
    nominal = or_else(engine.nominal_supply, 1.0)
    ratio = or_else(engine.supply, nominal) / nominal
    exponent = engine.supply_exponent
    return {
        "clocks": engine.clock_energy * ratio**exponent * clock,
        "leakage": or_else(engine.leakage, 0.0) * ratio ** (exponent / 2.0),
    }


KIND = Microcontrollers()
