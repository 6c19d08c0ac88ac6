"""The style `dpu`: AMD's deep-learning processing units, which run a network layer by layer.

`spec` has a core's parameters and the clocks of a layer, `style` combines time, traffic and
resources.
"""

from perfmodel.kinds.fpga.dpu.spec import Dpu
from perfmodel.kinds.fpga.dpu.style import counts

__all__ = ["DESIGN", "Dpu", "counts"]

DESIGN = Dpu
