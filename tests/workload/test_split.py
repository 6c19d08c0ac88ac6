"""Heads of split networks: what the device computes and what crosses the link, as published."""

from __future__ import annotations

import pytest

import perfmodel as pm


@pytest.mark.parametrize(("channels", "mmac", "crossing"), [(3, 118.66, 2523), (12, 120.60, 10092)])
def test_bottlefit(channels: int, mmac: float, crossing: int) -> None:
    """118.66 and 120.60 MMAC; 2523 and 10092 numbers of 8 bits for an image of 224 x 224."""
    head = pm.workload("bottlefit_encoder", bottleneck=channels)
    assert round(head.macs / 1e6, 2) == mmac
    graph = head.graph()
    assert head.number(graph.tensors[graph.outputs[0]].elements) == crossing
