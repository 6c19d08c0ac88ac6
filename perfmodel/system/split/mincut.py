"""Optimal cut at one rate as a minimum s-t cut, for graphs with too many cuts to enumerate.

After Hu et al., "Dynamic adaptive DNN surgery for inference acceleration on the edge" (INFOCOM
2019): the source side of a minimum s-t cut is the device's part. Each stage has an edge to the sink
with its seconds on the device, and an edge from the source with its seconds on the server; a tensor
is a separate node, so that it is sent once for any number of readers; edges of infinite capacity
keep the inputs of the device's stages on the device.
"""

from __future__ import annotations

from typing import Any

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
    import networkx as nx

    module: Any = nx
    network = module.DiGraph()
    network.add_nodes_from(["device", "server"])
    inputs = input_bytes(stages, device)
    wanted = [0.0] * stages.count
    down = seconds_per_byte
    if channel.down_bytes_per_s is not None:
        down = 1.0 / (channel.down_bytes_per_s * channel.efficiency)
    for i, flow in enumerate(stages.flows):
        size = channel.size(flow, stages, device, inputs)
        elements = flow.elements if channel.converts(flow) else 0.0
        conversion = (
            CONVERSION_OPS
            * elements
            * (1.0 / device.vector_ops_per_s + 1.0 / server.vector_ops_per_s)
        )
        if flow.wanted:
            wanted[flow.maker] += size * down + conversion
        source = "device" if flow.maker < 0 else flow.maker
        network.add_edge(
            source, ("tensor", i), capacity=_attoseconds(size * seconds_per_byte + conversion)
        )
        for reader in flow.readers:
            network.add_edge(("tensor", i), reader)
            if flow.maker >= 0:
                network.add_edge(reader, flow.maker)
    for stage in range(stages.count):
        network.add_edge(
            "device", stage, capacity=_attoseconds(server.seconds[stage] + wanted[stage])
        )
        network.add_edge(stage, "server", capacity=_attoseconds(device.seconds[stage]))
    device_side = module.minimum_cut(network, "device", "server")[1][0]
    return sum(1 << node for node in device_side if isinstance(node, int))


def _attoseconds(seconds: float) -> int:
    return round(float(seconds) * _UNIT)
