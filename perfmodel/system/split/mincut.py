"""The least cut at a rate as a minimum cut of a flow network, for graphs of too many cuts to list.

After Hu et al., "Dynamic adaptive DNN surgery for inference acceleration on the edge" (INFOCOM
2019): the source side of a minimum s-t cut is what the device runs. A stage costs its seconds on
the device on an edge to the sink, and its seconds on the server on one from the source; a tensor is
a node of its own, so that it is sent once however many read it; edges that cannot be cut keep what
a stage of the device reads on the device.
"""

from __future__ import annotations

from typing import Any

from perfmodel.system.split.cuts import CONVERSION_OPS, SplitLink, input_bytes
from perfmodel.system.split.stages import SplitStageCosts, Stages

#: Seconds are counted in whole attoseconds: sums are exact, so that the flow ends.
_UNIT = 1e18


def least_cut(
    stages: Stages,
    device: SplitStageCosts,
    server: SplitStageCosts,
    channel: SplitLink,
    seconds_per_byte: float,
) -> int:
    """Return the stages that the device runs in a least cut, as a set of bits.

    Least in the seconds of both parts and of what crosses. What is taken once whatever the cut (an
    empty message each way, a runtime's own seconds of a run) moves no cut but the two that have
    none of it, which the caller compares.

    Parameters
    ----------
    seconds_per_byte
        Of the way up; the way down has its own rate where `channel` says so.
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
            source, ("tensor", i), capacity=_whole(size * seconds_per_byte + conversion)
        )
        for reader in flow.readers:
            network.add_edge(("tensor", i), reader)
            if flow.maker >= 0:
                network.add_edge(reader, flow.maker)
    for stage in range(stages.count):
        network.add_edge("device", stage, capacity=_whole(server.seconds[stage] + wanted[stage]))
        network.add_edge(stage, "server", capacity=_whole(device.seconds[stage]))
    device_side = module.minimum_cut(network, "device", "server")[1][0]
    return sum(1 << node for node in device_side if isinstance(node, int))


def _whole(seconds: float) -> int:
    return round(float(seconds) * _UNIT)
