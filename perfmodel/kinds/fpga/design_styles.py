"""Design styles of accelerators in an FPGA's fabric, looked up by the key ``style`` of a spec.

A design style is how a network is brought into the fabric: as a pipeline of circuits, one for each
layer (hls4ml, FINN, fpgaConvNet), or as an overlay that runs layer after layer (DPU, FlightLLM,
CoDeNet). Its module has ``DESIGN``, the spec class of such a design, and ``counts``, the cost of a
table on it, whose docstring contains the equations. A new style is a new module and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from perfmodel.catalog import module_of
from perfmodel.hardware.quantity import Confidence, Spec

if TYPE_CHECKING:
    from perfmodel.cost.setting import Setting
    from perfmodel.kinds.array import Counts, NestRun
    from perfmodel.kinds.protocol import Terms
    from perfmodel.workload.operator_table import OperatorTable

#: Name of a design style -> its module.
DESIGN_STYLES: Final[Mapping[str, str]] = {
    "dataflow": "perfmodel.kinds.fpga.dataflow",
    "deformable": "perfmodel.kinds.fpga.deformable",
    "dpu": "perfmodel.kinds.fpga.dpu",
    "matrix_engine": "perfmodel.kinds.fpga.matrix_engine",
    "finn": "perfmodel.kinds.fpga.finn",
    "fpgaconvnet": "perfmodel.kinds.fpga.fpgaconvnet",
    "truth_tables": "perfmodel.kinds.fpga.truth_tables",
}


class FpgaDesign(Spec):
    """Base class of the specs of designs: what is configured into the fabric."""

    style: str
    """Design style, which selects the module that costs the design."""
    note: str | None = None
    """Note for the reader of the spec."""
    source: str | None = None
    """Source of all numbers that state no other."""
    confidence: Confidence | None = None
    """Confidence of all numbers that state no other."""


class DesignStyle(Protocol):
    """Interface of the module of a design style."""

    DESIGN: type[FpgaDesign]

    def counts(self, run: NestRun) -> Counts:
        """Return the counts of every row; `Counts.resources` are the resources of the design."""
        ...

    def combined(self, terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
        """Return the terms of a network (`Kind.combined`); for styles that count columns."""
        ...


@cache
def design_style(name: str) -> DesignStyle:
    """Return the module of a design style.

    Raises
    ------
    KeyError
        No style of that name.
    """
    return module_of(DESIGN_STYLES[name])
