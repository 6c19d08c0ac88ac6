"""A bound on Synetgy, and a linear classifier of an assumed size in a Zynq-7020."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.workload import GraphBuilder

#: Clock and look-up tables that the paper states.
SYNETGY_HZ, SYNETGY_LUTS = 250e6, 51776.0
#: Features of the classifier: assumed.
FEATURES = 30


def linear_svm(features: int) -> pm.Workload:
    """Return one decision of a linear support vector machine: a dot product and a bias."""
    g = GraphBuilder("linear_svm")
    g.output(g.linear(g.input("features", (1, features)), 1, name="decision"))
    graph = g.build()
    return pm.Workload("linear_svm", lambda _: graph, {})


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    part = pm.hardware("zu3eg").machine().vary({"engines.fabric.clock": SYNETGY_HZ})
    zynq = pm.hardware("xc7z020").machine().vary({"engines.fabric.design.reuse_factor": FEATURES})
    taken = pm.predict(linear_svm(FEATURES), zynq, precision="int16").resources
    return {
        "synetgy_bound": float(part["engines.fabric.peaks.int16"]) / 1e9,
        "synetgy_lut_share": 100.0 * SYNETGY_LUTS / float(part["engines.fabric.lut"]),
        "svm_resources": 100.0 * max(float(resource["share"]) for resource in taken.values()),
    }
