"""Neurons as truth tables in look-up tables: LogicNets' sparse networks.

Umuroglu, Akhauri, Fraser and Blott, "LogicNets: Co-designed neural networks and circuits for
extreme-throughput applications", FPL 2020. A neuron reads few inputs of few bits, so that each of
its output bits is a function of few bits, whatever its weights.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import total
from perfmodel.hardware.field_types import LargeCount
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.layers import check_supported
from perfmodel.kinds.fpga.pipeline import pipeline_counts, pipelined, slowest_row_and_waits
from perfmodel.kinds.protocol import Terms
from perfmodel.workload.operator_table import OperatorTable


class TruthTables(FpgaDesign):
    """A pipeline of layers of truth tables, each with a register behind it (LogicNets)."""

    fan_in: LargeCount
    """Inputs that a neuron reads: the others have no weight."""


class Tables(NamedTuple):
    """Look-up tables of six inputs for one output bit.

    Attributes
    ----------
    least
        If the synthesis reduces the function to a chain, whose tables take five further inputs
        each, and two bits share a table, which has two outputs of five inputs.
    most
        If it reduces nothing, the estimate of LogicNets: ``(2 ** (n - 4) - (-1) ** n) / 3``.
    """

    least: Value
    most: Value


DESIGN = TruthTables


def tables_of_bit(inputs: Value) -> Tables:
    """Return the look-up tables of a function of `inputs` bits; one for up to six."""
    xp = namespace(inputs)
    sign = 1.0 - 2.0 * (inputs - 2.0 * xp.floor(inputs / 2.0))
    most = xp.where(inputs > 6.0, (2.0 ** (inputs - 4.0) - sign) / 3.0, 1.0)
    return Tables(xp.maximum(xp.ceil((inputs - 1.0) / 5.0), 1.0) / 2.0, most)


def counts(run: NestRun) -> Counts:
    """Return the clocks and resources of every row; rows without weights are in the tables.

    Raises
    ------
    InputError
        A layer that no circuit supports.

    Notes
    -----
    ``depth = one clock of each layer, for its tables and the register behind them``
        Umuroglu et al., LogicNets, FPL 2020
    """
    check_supported(run)
    nests, xp, rows = run.nests, run.xp, run.rows
    design = run.setting.inside(TruthTables, "design")
    outputs = nests.out_channels * nests.groups * run.bits(2)
    tables = tables_of_bit(xp.minimum(design.fan_in, nests.summed) * run.bits(0))
    none = 0.0 * outputs
    return pipeline_counts(
        run,
        {
            "interval": rows(nests.positions / run.setting.sequences),
            "lut": rows(outputs * tables.most),
            "lut low": rows(outputs * tables.least),
            "ff": rows(outputs),
            "dsp": rows(none),
        },
    )


def combined(terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of a network: a clock a layer and pixel, and the wait of its frames."""
    interval = terms.columns["interval"]
    slowest, wait = slowest_row_and_waits(interval, terms.columns["waiting"], setting.xp)
    by_row = {name: terms.columns[name] for name in ("lut", "ff")}
    detail = {"clocks": interval, "interval": interval}
    clocks = {"depth": interval, "wait": wait}
    out = pipelined(terms, table, setting, clocks, by_row, detail, slowest)
    least = total(table.count, terms.columns["lut low"])
    out.resources |= {"lut low": least, "lut high": out.resources["lut"]}
    return out
