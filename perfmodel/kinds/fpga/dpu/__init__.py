"""The style `dpu`: AMD's deep-learning processing units, cores that run a network layer by layer.

`spec` says what a core has, `cycles` how long its multipliers take for a layer, `style` puts time,
traffic and resources together.
"""

from perfmodel.kinds.fpga.dpu.spec import Dpu
from perfmodel.kinds.fpga.dpu.style import EQUATIONS, counts

__all__ = ["DESIGN", "EQUATIONS", "Dpu", "counts"]

DESIGN = Dpu
