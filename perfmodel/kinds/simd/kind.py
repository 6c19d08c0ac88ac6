"""The kind `simd`: what a table costs on CPU cores with vector units.

A class of kernels of which the runtime states no constants is costed as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.lower import OperatorTable

__all__ = ["KIND", "SimdCores"]


class SimdCores:
    """Time of a row = the slowest of arithmetic and each memory level, plus launch."""

    name = "simd"
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = ROOFLINE.equations

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        return ROOFLINE.cost(table, setting)


KIND = SimdCores()
