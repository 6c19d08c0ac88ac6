"""The style `dataflow`: every layer is hardware of its own, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018: a layer's reuse factor is how many products a multiplier makes for one input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import numpy as np

from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.kinds.fpga.resources import of_rows
from perfmodel.kinds.fpga.styles import Design
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.workload.lower import OperatorTable

__all__ = ["DESIGN", "EQUATIONS", "Dataflow", "LayerDesign", "cost"]

_DUARTE = "Duarte et al., JINST 13 P07027, 2018"

Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e8)]
Count: TypeAlias = Annotated[Quantity, Of("count", whole=True, ceiling=1e9)]


class LayerDesign(Spec):
    """What holds for one layer with weights; what is left out is as the design has it."""

    reuse_factor: Factor | None = None
    """Products that a multiplier makes for one input."""


class Dataflow(Design):
    """A pipeline of layers, each with multipliers of its own (hls4ml)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (LayerDesign, tuple(str(i) for i in range(1, 33)))
    }

    reuse_factor: Factor = Quantity(value=1.0)
    """Products that a multiplier makes for one input, of layers that say nothing else."""
    layers: Mapping[str, LayerDesign] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> what holds for it."""


DESIGN = Dataflow
EQUATIONS: Final[Mapping[str, Equation]] = {"multiply": Equation("cycles / clock", _DUARTE)}


def cost(table: OperatorTable, setting: Setting) -> Terms:
    """Cost every row of the table."""
    nests, xp = table.nests, setting.xp
    assert nests is not None
    head = f"engines.{setting.engine}."
    rows = len(table.rows)
    factor = setting.facts[head + "design.reuse_factor"]
    weights = nests.out_channels * nests.in_channels * nests.kernel_rows * nests.kernel_columns
    by_row: Any = xp.asarray(np.zeros((rows, 1)))
    made = xp.ceil(weights / factor)
    multipliers = by_row + sum(
        made[i] * (np.arange(rows) == row)[:, None] for i, row in enumerate(nests.row)
    )
    cycles = (multipliers > 0) * factor * 1.0
    seconds = cycles / setting.facts[head + "clock"]
    return Terms(
        {"multiply": seconds}, {}, {}, {setting.levels[-1]: 0.0 * seconds}, seconds, {}, {},
        work={"multiply": cycles}, resources=of_rows(table, {"dsp": multipliers}),
    )  # fmt: skip
