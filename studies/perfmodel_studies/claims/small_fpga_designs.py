"""A bound on Synetgy, and a linear classifier of an assumed size in a Zynq-7020."""

from __future__ import annotations

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.workload import Workload

#: Clock and look-up tables that the paper states.
SYNETGY_HZ, SYNETGY_LUTS = 250e6, 51776.0
#: Features of the classifier: assumed.
FEATURES = 30


def linear_svm(features: int) -> Workload:
    """Return one decision of a linear support vector machine: a dot product and a bias."""
    g = GraphBuilder("linear_svm")
    g.output(g.linear(g.input("features", (1, features)), 1, name="decision"))
    graph = g.build()
    return Workload("linear_svm", lambda _: graph, {})


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    part = hardware("zu3eg").machine().vary({"engines.fabric.clock": SYNETGY_HZ})
    zynq = hardware("xc7z020").machine().vary({"engines.fabric.design.reuse_factor": FEATURES})
    taken = predict(linear_svm(FEATURES), zynq, precision="int16").resources
    return {
        "synetgy_bound": float(part["engines.fabric.peaks.int16"]) / 1e9,
        "synetgy_lut_share": 100.0 * SYNETGY_LUTS / float(part["engines.fabric.lut"]),
        "svm_resources": 100.0 * max(float(found["share"]) for found in taken.values()),
    }
