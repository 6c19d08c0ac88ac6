"""The design style `dpu`: AMD's deep-learning processing units, which run layer after layer.

`spec` has a core's parameters and the clocks of a layer, `layer_costs` combines time, traffic and
resources.
"""

from perfmodel.kinds.fpga.dpu.layer_costs import counts
from perfmodel.kinds.fpga.dpu.spec import Dpu

__all__ = ["DESIGN", "Dpu", "counts"]

DESIGN = Dpu
