"""The kind `fpga`: the cost of a table on an FPGA, by the style of its design."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from perfmodel.cost.setting import Setting
from perfmodel.kinds.array import NestRun, composed
from perfmodel.kinds.fpga.design_styles import DESIGN_STYLES, design_style
from perfmodel.kinds.fpga.fabric import with_fabric_energy
from perfmodel.kinds.fpga.spec import FpgaSpec
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.operator_table import OperatorTable


class Fpga:
    """Time and resources of a design, which the module of its style computes."""

    name = "fpga"
    traceable = True
    spec = FpgaSpec
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"wait"})

    @cached_property
    def equations(self) -> Mapping[str, Equation]:
        """Terms of all design styles."""
        out = dict(ROOFLINE.equations)
        for name in DESIGN_STYLES:
            out |= equations_of(design_style(name).counts)
        return out

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table according to the style of the design.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        engine = setting.engine_as(FpgaSpec, self.name)
        assert table.nests is not None
        run = NestRun(table, table.nests, setting)
        terms = composed(table, setting, design_style(engine.design.style).counts(run))
        return self.combined(terms, table, setting)

    def combined(self, terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
        """Return the terms of a network for which a design is sized."""
        engine = setting.engine_as(FpgaSpec, self.name)
        if terms.columns:
            terms = design_style(engine.design.style).combined(terms, table, setting)
        return with_fabric_energy(terms, engine, setting)


KIND = Fpga()
