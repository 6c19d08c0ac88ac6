"""Styles of a design in an FPGA's fabric, found by name: to add a style is to add a file.

A style's module has ``DESIGN`` (its spec class), ``EQUATIONS`` and ``counts(table, setting)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from perfmodel.catalog import module_of
from perfmodel.hardware.quantity import Confidence, Spec

if TYPE_CHECKING:
    from perfmodel.cost.setting import Setting
    from perfmodel.kinds.array import Counts
    from perfmodel.kinds.protocol import Equation
    from perfmodel.workload.lower import OperatorTable

#: Style -> its module.
STYLES: Final[Mapping[str, str]] = {
    "dataflow": "perfmodel.kinds.fpga.dataflow",
    "deformable": "perfmodel.kinds.fpga.deformable",
    "dpu": "perfmodel.kinds.fpga.dpu",
    "matrix_engine": "perfmodel.kinds.fpga.matrix_engine",
    "finn": "perfmodel.kinds.fpga.finn",
    "fpgaconvnet": "perfmodel.kinds.fpga.fpgaconvnet",
}


class FpgaDesign(Spec):
    """What is configured into the fabric; the base class of every style."""

    style: str
    """Style of the design: decides which module costs it."""
    note: str | None = None
    """What a reader must know."""
    source: str | None = None
    """Source of every number below that names none."""
    confidence: Confidence | None = None
    """Confidence of every number below that names none."""


class Style(Protocol):
    """What a style's module offers."""

    DESIGN: type[FpgaDesign]
    EQUATIONS: Mapping[str, Equation]

    def counts(self, table: OperatorTable, setting: Setting) -> Counts:
        """Return what every row takes; `Counts.resources` says what the design takes."""
        ...


@cache
def style(name: str) -> Style:
    """Return the module of a style.

    Raises
    ------
    KeyError
        No such style.
    """
    return module_of(STYLES[name])
