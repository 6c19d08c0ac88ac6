"""Designs of a jet tagger whose zeros are not published: a number within the predicted ends.

A published amount lies within the ends of a design where the nearest number between them is the
published one.
"""

from __future__ import annotations

from typing import Any

import perfmodel as pm
from perfmodel.workload import GraphBuilder

#: Slices of the softmax's five products, which every design of the network has.
SOFTMAX = 5.0
#: What `jet_tagger_fpga.yaml` has as published.
BASELINE, PRUNED, SIX_BITS = 1826.0, 526.0, 124.0
#: Weights of each layer.
WEIGHTS = (1024, 2048, 1024, 160)
#: Bits behind the point of the paper's weights of 14 bits.
FRACTION = {"engines.main.design.weight_fraction_bits": 8}


def first_layer() -> pm.Workload:
    """Return the layer whose inputs have 16 bits in every design: 16 features, 64 neurons."""
    g = GraphBuilder("first_layer")
    g.output(g.linear(g.input("features", (1, 16)), 64, name="fc1"))
    graph = g.build()
    return pm.Workload("first_layer", lambda _: graph, {})


def within_ends(published: float, workload: str | pm.Workload, **asked: Any) -> float:
    """Return the number of DSP slices between the predicted ends that is nearest to another."""
    found = pm.predict(workload, "vu9p", **asked).resources["dsp"]
    return min(max(published, float(found["low"])), float(found["high"]))


def pruned_by_baseline() -> float:
    """Return slices of the pruned network, whose weights are those that were not pruned.

    As many of the weights of each layer need a multiplier as of all weights before pruning.
    """
    share = (BASELINE - SOFTMAX) / sum(WEIGHTS)
    present = 0.3
    stated = {
        f"engines.main.design.layers.{layer}.{name}": round(part * count)
        for layer, count in enumerate(WEIGHTS, start=1)
        for name, part in (("nonzeros", present), ("multipliers", present * share))
    }
    found = pm.predict("jet_tagger", "vu9p", precision="int16", set=stated)
    return float(found.resources["dsp"]["used"])


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    # Hidden layers of six by six bits take no slice.
    layer = within_ends(
        SIX_BITS - SOFTMAX,
        first_layer(),
        precision="w6a16",
        set={"engines.main.design.weight_fraction_bits": 5},
    )
    return {
        "qkeras_baseline_dsp_ends": within_ends(
            BASELINE, "jet_tagger", precision="int16", set=FRACTION
        ),
        "qkeras_pruned_dsp_ends": within_ends(
            PRUNED,
            "jet_tagger",
            precision="int16",
            set=FRACTION | {"engines.main.design.density": 0.3},
        ),
        "qkeras_pruned_dsp_by_baseline": pruned_by_baseline(),
        "qkeras_six_bits_dsp_ends": layer + SOFTMAX,
    }
