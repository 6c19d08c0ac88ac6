"""Styles of a design in an FPGA's fabric, looked up by name; a new style is a new module.

A style's module has ``DESIGN`` (its spec class) and ``counts``, whose docstring contains the
equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from perfmodel.catalog import module_of
from perfmodel.hardware.quantity import Confidence, Spec

if TYPE_CHECKING:
    from perfmodel.kinds.array import Counts, NestRun

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
    """Base class of every style: a design configured into the fabric."""

    style: str
    """Style of the design, which selects the module that costs it."""
    note: str | None = None
    """Note for the reader of the spec."""
    source: str | None = None
    """Source of all numbers that state no other."""
    confidence: Confidence | None = None
    """Confidence of all numbers that state no other."""


class Style(Protocol):
    """Interface of a style's module."""

    DESIGN: type[FpgaDesign]

    def counts(self, run: NestRun) -> Counts:
        """Return the counts of every row; `Counts.resources` are the resources of the design."""
        ...


@cache
def style(name: str) -> Style:
    """Return the module of a style.

    Raises
    ------
    KeyError
        No style of that name.
    """
    return module_of(STYLES[name])
