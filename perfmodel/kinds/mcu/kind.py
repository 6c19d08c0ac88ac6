"""The kind `mcu`: seconds and watts of the rows of an operator table on a microcontroller.

The clocks of a product are counted from the loops of its library's kernels, not from a peak; of
each row, in seconds::

    t_matrix = max(clocks / f, 2 macs / peak)       products, `busy_clocks`
    t_vector = clocks / f                           elementwise work, `busy_clocks`
    t_memory = latency + bytes / bandwidth          SRAM for activations, flash for weights
    t_row    = t_start + max(t_matrix + t_vector, t_memory ...)   if a DMA fills the SRAM
    t_row    = t_start + t_matrix + t_vector + sum of t_memory    if the cores wait for it

with the cores' clock f in Hz. Classes of kernels for which the library states no constants are
costed as on a roofline; every weight is read from flash once per run. Constants and their
measurements: ``docs/mcu.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import Counts, Operations, composed
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

#: Fused functions that take no clocks of their own: requantising a sum folds or clips them in.
_REQUANTISED_FUNCTIONS = frozenset({"relu", "relu6", "clip", "batch_norm"})


class Microcontrollers:
    """Time of a row = clocks of its kernel on the cores, overlapped with memories or added."""

    name = "mcu"
    traceable = True
    spec = Microcontroller
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {
        **equations_of(busy_clocks, amdahl),
        "launch": ROOFLINE.equations["launch"],
        "layer": ROOFLINE.equations["layer"],
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; the equations are at the top of this module.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        if setting.bare or table.accesses is None:
            return ROOFLINE.cost(table, setting)
        engine = setting.engine_as(Microcontroller, self.name)
        clock = setting.clock
        matrix, vector, start, operations = _core_seconds(table, setting, engine)
        traffic = level_traffic(table, setting)
        watts = _watts(clock, engine)
        counts = Counts(
            {"matrix": (matrix * clock, clock), "vector": (vector * clock, clock)},
            traffic,
            watts=watts,
            memory=memory_seconds(traffic, setting, copy_shares(table, setting)),
            overhead={"start": start},
            operations=operations,
            overlap="full" if engine.double_buffered and setting.overlap != "none" else "none",
        )
        terms = composed(table, setting, counts)
        if watts:
            # Energy per busy clock was measured with the work and the transfers of that clock.
            terms.priced = (
                *(f"operations {name}" for name in terms.operations),
                *(f"traffic {level}" for level in traffic),
            )
        return with_streams(table, setting, terms)


def _core_seconds(
    table: OperatorTable, setting: Setting, engine: Microcontroller
) -> tuple[Value, Value, Value, Operations]:
    """Return seconds of products, of elementwise work and of kernel entries, and the operations.

    Seconds are clocks over the clock frequency, with ``t_matrix = max(clocks / f, 2 macs / peak)``.
    Floating-point operations that the core emulates have the clocks of the emulation instead.
    """
    xp, clock = setting.xp, setting.clock
    busy = busy_clocks(table, setting, engine)
    macs = executed_macs(table, setting)
    rates, operations, executed, unsupported = matrix_rates(table, macs, setting)
    # Clocks scaled from another core may fall below the limit of this one's multipliers.
    at_peak = (2.0 * macs) / rates
    matrix = xp.where(busy.known, xp.maximum(busy.matrix / clock, at_peak), at_peak)
    requantised = [set(row.functions) <= _REQUANTISED_FUNCTIONS for row in table.rows]
    in_kernel = busy.known & np.array(requantised)[:, None]
    other = xp.where(in_kernel, 0.0, table.vector_ops / vector_rates(table, setting))
    vector = xp.where(busy.known_other, busy.other / clock, other)
    soft = soft_float(table, macs, setting, engine)
    if soft is not None:
        matrix = xp.where(soft.rows, soft.matrix / clock, matrix)
        vector = xp.where(soft.elements, soft.vector / clock, vector)
        executed |= soft.executed
        unsupported = tuple(name for name in unsupported if name not in soft.executed)
    return matrix, vector, busy.start / clock, (operations, executed, unsupported)


def _watts(clock: Value, engine: Microcontroller) -> dict[str, Value]:
    """Return the power of a row while it runs, in watts; empty without a stated energy per clock.

    ``P = E_clock (V / V0)^e f + P_leakage (V / V0)^(e / 2)``, with the energy of a busy clock in
    joules, the clock f in Hz, and the supply V and its nominal value V0 in volts. A switched
    capacitance takes ``C V^2`` per clock, ``e = 2``; leakage is a current that is assumed not to
    depend on the voltage, hence ``V I``: half the exponent. Behind a linear regulator ``e`` is 1,
    behind a switching one 0 (``docs/mcu.md``).
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
