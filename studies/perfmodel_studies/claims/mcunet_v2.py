"""What patches make of MobileNetV2's memory and multiply-accumulates."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.schedule.tiling import Patches, network, run_stage

#: Its output of 28 x 28 is the first that the paper's per-layer stage reads.
_LAST = "stage3.0.project"


def predicted() -> dict[str, float]:
    """Return claim -> KiB, quotient or share."""
    net = network(pm.workload("mobilenet_v2"), "w8a8")
    end = len(net.layers)
    cut = next(i for i, layer in enumerate(net.layers) if layer.name == _LAST) + 1
    plain = run_stage(net, Patches(0, end, (1, 1)), in_place_depthwise=True)
    first = run_stage(
        net, Patches(0, cut, (4, 4), input_on_chip=False, clipped=False), in_place_depthwise=True
    )
    remainder = run_stage(net, Patches(cut, end, (1, 1)), in_place_depthwise=True)
    peak = max(first.peak_bytes, remainder.peak_bytes)
    return {
        "layer_by_layer_kib": plain.peak_bytes / 1024,
        "patched_kib": peak / 1024,
        "reduction": plain.peak_bytes / peak,
        "extra_macs": first.extra_macs / net.macs,
    }
