"""Optimal cut at one rate as a minimum s-t cut, for graphs with too many cuts to enumerate.

After Hu et al., "Dynamic adaptive DNN surgery for inference acceleration on the edge" (INFOCOM
2019): the source side of a minimum s-t cut is the device's part. Each stage has an edge to the sink
with its seconds on the device, and an edge from the source with its seconds on the server; a tensor
is a separate node, so that it is sent once for any number of readers; edges of infinite capacity
keep the inputs of the device's stages on the device.
"""

from __future__ import annotations

import math

from perfmodel.optimise.maximum_flow import SINK, SOURCE, FlowNetwork
from perfmodel.system.split.cuts import CONVERSION_OPS, SplitLink, input_bytes
from perfmodel.system.split.stages import SplitStageCosts, Stages

#: Seconds are converted to integer attoseconds: sums are exact, so that the algorithm terminates.
_UNIT = 1e18


def least_cut(
    stages: Stages,
    device: SplitStageCosts,
    server: SplitStageCosts,
    channel: SplitLink,
    seconds_per_byte: float,
) -> int:
    """Return the stages that the device runs in an optimal cut, as a bit set.

    Minimises the seconds of both parts and of transfers. Constant terms (an empty message in each
    direction, overheads of a runtime per run) affect only the comparison with the two cuts that
    lack them, which is left to the caller.

    Parameters
    ----------
    seconds_per_byte
        Reciprocal rate upwards; the rate downwards is separate if `channel` states one.
    """
    network = FlowNetwork(2 + stages.count)
    node_of = range(2, 2 + stages.count)
    inputs = input_bytes(stages, device)
    returned_s = [0.0] * stages.count
    down = seconds_per_byte
    if channel.down_bytes_per_s is not None:
        down = 1.0 / (channel.down_bytes_per_s * channel.efficiency)
    for flow in stages.flows:
        size = channel.size(flow, stages, device, inputs)
        elements = flow.elements if channel.converts(flow) else 0.0
        conversion = (
            CONVERSION_OPS
            * elements
            * (1.0 / device.vector_ops_per_s + 1.0 / server.vector_ops_per_s)
        )
        if flow.wanted:
            returned_s[flow.maker] += size * down + conversion
        maker = SOURCE if flow.maker < 0 else node_of[flow.maker]
        tensor = network.add_node()
        network.add_arc(maker, tensor, _attoseconds(size * seconds_per_byte + conversion))
        for reader in flow.readers:
            network.add_arc(tensor, node_of[reader], math.inf)
            if flow.maker >= 0:
                network.add_arc(node_of[reader], maker, math.inf)
    for stage, node in enumerate(node_of):
        network.add_arc(SOURCE, node, _attoseconds(server.seconds[stage] + returned_s[stage]))
        network.add_arc(node, SINK, _attoseconds(device.seconds[stage]))
    network.maximise_flow()
    # Of all minimum cuts the one in which the device runs the most stages.
    device_side = {node for added in network.minimum_cuts() for node in added}
    return sum(1 << stage for stage, node in enumerate(node_of) if node in device_side)


def _attoseconds(seconds: float) -> int:
    """Return seconds as an integer: maximum flows are exact on integers."""
    return round(float(seconds) * _UNIT)
