"""The kind `fpga`: hands a table to the style of the design that is in the fabric."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from perfmodel.cost.setting import Setting
from perfmodel.kinds.array import composed
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.fpga.styles import STYLES, style
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import OperatorTable


class Fpga:
    """Time and resources as the style of the design has them."""

    name = "fpga"
    spec = FpgaSpec
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"wait"})

    @cached_property
    def equations(self) -> Mapping[str, Equation]:
        """Terms of every style."""
        out = dict(ROOFLINE.equations)
        for name in STYLES:
            out |= style(name).EQUATIONS
        return out

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table as the style of the design does.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        engine = setting.engine_as(FpgaSpec, self.name)
        return composed(table, setting, style(engine.design.style).counts(table, setting))


KIND = Fpga()
